# ivx: two commands, `make run` and `make test`; each makes its own virtual environment the first time.

PYTHON ?= python3
VENV   ?= .venv
PORT   ?= 8501
WORKERS ?= 2
BIN    := $(VENV)/bin

.PHONY: run test test-slow test-gpu test-ray soak real lint docs tiny taught bench clean

run: $(VENV)/.installed
	@echo "ivx: http://127.0.0.1:$(PORT)"
	$(BIN)/python -m ivx app --port $(PORT)

test: $(VENV)/.installed-dev lint docs
	@command -v chromium >/dev/null 2>&1 || [ -n "$$IVX_CHROMIUM" ] || { \
	  echo "ivx: the browser tests need Chromium: 'apt-get install chromium', or set IVX_CHROMIUM to its path" >&2; exit 2; }
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow

test-gpu: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m gpu

test-ray: $(VENV)/.installed-dev $(VENV)/.installed-ray
	$(BIN)/python -m pytest -m ray

soak: $(VENV)/.installed-dev
	$(BIN)/python tests/support/soak.py --sessions 50 --minutes 10

real: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m real

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

tiny: $(VENV)/.installed
	$(BIN)/python -m ivx.tiny

taught: $(VENV)/.installed
	$(BIN)/python -m ivx get smollm2
	$(BIN)/python -m ivx.taught

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/sweeps.py --quick

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt requirements-gguf.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-gguf.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(VENV)/.installed-ray: requirements-ray.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-ray.txt
	@touch $@

clean:
	rm -rf $(VENV) site .pytest_cache .ruff_cache .mypy_cache .hypothesis
