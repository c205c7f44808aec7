"""The same states in other tools: the largest difference between ivx's and theirs, by site, on one checkpoint.

    python benchmarks/parity.py [tiny-sft [nnsight,nnterp]]

Needs transformer_lens 4 (TransformerBridge), nnsight or nnterp; whichever is not installed is left out. All wrap the
same weights in float32, without folding or centring; a state is looked up by the name that `ivx.names` gives it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer

import ivx
from ivx.engine.hooks.sites import read
from ivx.errors import AddressError
from ivx.names import name_of

SITES = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z")
TEXT = "give the new animal its colour . animal : limpet . answer :"


def bridge(model: ivx.Model, ids: Tensor) -> Callable[[str], Tensor]:
    """TransformerBridge's states by their names."""
    from transformer_lens.model_bridge import TransformerBridge

    wrapped = TransformerBridge.boot_transformers(model.source, hf_model=model.hf, dtype=torch.float32)
    _, cache = wrapped.run_with_cache(ids)
    return lambda name: cache[name]


def envoy(tool: str) -> Callable[[ivx.Model, Tensor], Callable[[str], Tensor]]:
    """States of nnsight, or of nnterp, by the expression that names them."""

    def opened(model: ivx.Model, ids: Tensor) -> Callable[[str], Tensor]:
        if tool == "nnsight":
            from nnsight import LanguageModel as Wrapper
        else:
            from nnterp import StandardizedTransformer as Wrapper
        kept: dict[str, Any] = {"tokenizer": AutoTokenizer.from_pretrained(model.source)}
        wrapped = Wrapper(model.hf, **kept)

        def state(name: str) -> Tensor:
            with wrapped.trace(ids):
                # The name is an expression, made by `ivx.names` of a site and a number, and of nothing that is read.
                found = eval(name, {"model": wrapped} | {n: getattr(wrapped, n, None) for n in ACCESSORS}).save()
            return found  # noqa: RET504  nnsight fills it when the trace ends

        return state

    return opened


ACCESSORS = ("layers_input", "layers_output", "attentions_output", "mlps_output")
TOOLS = {"transformer_bridge": ("transformer_lens", bridge)} | {
    tool: (tool, envoy(tool)) for tool in ("nnsight", "nnterp")
}


def main() -> None:
    """Print the table."""
    checkpoint = sys.argv[1] if len(sys.argv) > 1 else "tiny-sft"
    model = ivx.load(checkpoint, dtype="float32", device="cpu")
    ids = torch.tensor([model.tokenizer(TEXT)["input_ids"]])
    places = [(site, layer) for site in SITES for layer in range(model.layers)]
    with torch.inference_mode(), read(model, places) as seen:
        model.hf(ids)
    own = {place: state.clone() for place, state in seen.items()}
    kind = model.hf.config.model_type
    print(f"| site | {' | '.join(TOOLS)} |\n|---|{'---|' * len(TOOLS)}")
    found: dict[str, dict[str, str]] = {site: {} for site in SITES}
    chosen = sys.argv[2].split(",") if len(sys.argv) > 2 else list(TOOLS)
    for tool, (package, opened) in TOOLS.items():
        if tool not in chosen or find_spec(package) is None:
            continue
        with torch.inference_mode():
            state = opened(model, ids)
            for site in SITES:
                try:
                    names = [name_of(f"{site}.{i}", tool, model_type=kind) for i in range(model.layers)]
                except AddressError:
                    found[site][tool] = "no equal"
                    continue
                found[site][tool] = f"{max(_apart(own[site, i], state(name)) for i, name in enumerate(names)):.1e}"
    for site in SITES:
        print(f"| `{site}` | {' | '.join(found[site].get(tool, 'not installed') for tool in TOOLS)} |")


def _apart(mine: Tensor, theirs: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    theirs = theirs.detach().reshape(mine.shape)
    return float((mine - theirs).abs().max() / mine.abs().max())


if __name__ == "__main__":
    main()
