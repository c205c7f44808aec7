"""What one sweep of the surrogate costs, forward pass included, as a multiple of a plain forward and backward pass.

python benchmarks/pathways.py
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import ivx  # noqa: E402  (the folder is not a package that is installed)
from ivx.engine.linear.surrogate import Surrogate  # noqa: E402

SAMPLES, TOKENS, ROUNDS = 16, 20, 5


def fastest(run: Callable[[], object]) -> float:
    """Seconds of the fastest of some runs, after one to warm up."""
    run()
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    """Measure and print."""
    model = ivx.load("tiny-sft")
    prompts = [[(7 * i + j) % 1500 for i in range(TOKENS)] for j in range(SAMPLES)]
    ids = torch.tensor(prompts)

    def plain() -> None:
        hook = model.hf.get_input_embeddings().register_forward_hook(lambda m, a, out: out.detach().requires_grad_())
        try:
            model.hf(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1, 5].sum().backward()
        finally:
            hook.remove()

    swept = fastest(lambda: Surrogate(model, prompts).sweep([5] * SAMPLES, [6] * SAMPLES))
    print(f"one sweep: {swept / fastest(plain):.2f} of a forward and backward pass")


if __name__ == "__main__":
    main()
