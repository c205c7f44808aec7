# ivx on a CPU, as a user without rights. Nothing but the package registry is needed to build it:
#
#   docker build -t ivx .
#   docker run --rm -p 127.0.0.1:8501:8501 -v ivx-cache:/home/ivx/.cache/ivx ivx
#
# On x86_64 the registry's torch brings the libraries of CUDA, which a CPU does not use. A smaller torch, or one for a
# certain CUDA, comes from the index that serves it:
#
#   docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu -t ivx .
#   docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 -t ivx:cuda .

FROM python:3.11-slim

ARG TORCH_INDEX=""

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

RUN useradd --create-home --uid 1000 ivx
WORKDIR /src

# The dependencies first: they change less often than the code.
COPY requirements.txt requirements-gguf.txt ./
RUN if [ -n "$TORCH_INDEX" ]; then pip install --index-url "$TORCH_INDEX" "$(grep '^torch==' requirements.txt)"; fi \
 && pip install -r requirements.txt -r requirements-gguf.txt

COPY pyproject.toml requirements-ray.txt MANIFEST.in README.md LICENSE ./
COPY ivx ivx
RUN pip install --no-deps . && rm -rf /src/*

USER ivx
RUN mkdir -p /home/ivx/.cache/ivx
WORKDIR /home/ivx
EXPOSE 8501

# Inside the container the app listens to the container's own network; `-p 127.0.0.1:…` keeps it to this machine.
ENV STREAMLIT_SERVER_ADDRESS=0.0.0.0
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9464/health', timeout=4)"]
# Told inside the container only.
ENV IVX_METRICS=127.0.0.1:9464
CMD ["ivx", "app"]
