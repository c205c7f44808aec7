"""The doctor: proves on this very checkpoint the facts that every patch relies on.

It uses plain hooks of its own, so that it does not share a mistake with the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ivx.models.finite import cure
from ivx.models.model import Model
from ivx.models.precision import HALF, error_of

TOLERANCE = {torch.float64: 1e-10, torch.float32: 5e-5, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""Largest deviation allowed, relative to the largest value compared."""


FINITE = "logits are finite"
PRECISION = "half precision"
"""Name of the check that a checkpoint in half-precision arithmetic has besides."""
PROMPTS = (
    "Name the colour of the animal. Animal: crow. Answer:",
    "Give the comparative form of the adjective that follows. Adjective: happy. Answer:",
    "Animal: crow. Answer:",
    "Here is your task. Read the word below with care, think of what it means, and then write the one word that the "
    "instruction asks for, without a sentence around it. Word: river. Answer:",
)
"""Prompts as the tasks ask them, short and long."""


@dataclass(frozen=True)
class Check:
    """One fact: its deviation is relative to the largest value compared; None where there is nothing to measure."""

    name: str
    passed: bool
    deviation: float | None
    tolerance: float | None
    detail: str


@dataclass(frozen=True)
class Report:
    """All checks of a checkpoint, and what its tokenizer does to a prompt."""

    checkpoint: str
    model_type: str
    dtype: str
    device: str
    checks: tuple[Check, ...]
    quantisation: str | None = None
    merged: str | None = None

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """The report, ready for JSON."""
        return {**asdict(self), "passed": self.passed}


_reports: WeakKeyDictionary[nn.Module, tuple[tuple[Any, ...], Report]] = WeakKeyDictionary()


def report_of(model: Model) -> Report:
    """The report of this model in memory: of the checks at load, or, where it was loaded without, of the first call."""
    about = (model.name, model.source, model.tokenizer)  # what a report tells beside the modules
    known = _reports.get(model.hf)
    if known is None or known[0] != about:
        known = _reports[model.hf] = (about, checkup(model))
    return known[1]


def checkup(model: Model) -> Report:
    """Run every check, in the model's own dtype, on two short rows of token ids."""
    tolerance = TOLERANCE[model.dtype]

    def measured(name: str, deviation: float, good: str, bad: str) -> Check:
        passed = deviation <= tolerance
        return Check(name, passed, deviation, tolerance, good if passed else bad)

    ids = (torch.arange(14, device=model.device).reshape(2, 7) * 7 + 3) % model.vocabulary
    with torch.inference_mode():
        plain = _logits(model, ids)
        seen: dict[tuple[str, int], Tensor] = {}
        with _watched(model, lambda site, layer, state: seen.__setitem__((site, layer), state)):
            hooked = _logits(model, ids)
        with _watched(model, lambda site, layer, state: seen[site, layer].clone()):
            patched = _logits(model, ids)
        single = torch.cat([_logits(model, row[None]) for row in ids])
        layers = range(model.layers)
        account = max(
            _apart(
                seen["resid_post", i],
                seen["resid_pre", i] + seen["attn_out", i] + seen["mlp_out", i],
            )
            for i in layers
        )
        silent = _without_heads(model, ids, seen)
        reads = _mlp_reads_attention(model, ids, seen)
    width = seen["z", 0].shape[-1]
    parallel = model.anatomy.parallel
    return Report(
        checkpoint=model.name,
        model_type=model.hf.config.model_type,
        dtype=str(model.dtype).removeprefix("torch."),
        device=str(model.device),
        quantisation=model.quantisation,
        merged=model.merged,
        checks=(
            Check("weights are whole", True, None, None, _weights(model)),
            measured(
                "logits match Hugging Face",
                _apart(hooked, plain),
                "watching every site leaves the logits as they are",
                "watching the sites changes the logits",
            ),
            measured(
                "self-patch is a no-op",
                _apart(patched, plain),
                "every site overwritten with its own state changes nothing",
                "overwriting sites with their own states changes the logits",
            ),
            measured(
                "the stream adds up",
                account,
                "resid_post = resid_pre + attn_out + mlp_out in every block",
                "resid_post is not resid_pre + attn_out + mlp_out: what is added to the stream is not known rightly",
            ),
            Check(
                "MLP reads beside attention" if parallel else "MLP reads after attention",
                reads != parallel,
                None,
                None,
                "the MLP's input is the block's own, there is no resid_mid"
                if parallel
                else "resid_mid = resid_pre + attn_out is what the MLP reads",
            ),
            Check(
                "heads are whole",
                width == model.heads * model.head_dim and silent <= tolerance,
                silent,
                tolerance,
                f"z is {model.heads} heads of {model.head_dim}, and without it attention adds the same to every token"
                if silent <= tolerance
                else "attention adds something that does not come through the input of its output projection",
            ),
            measured(
                "batch = single",
                _apart(single, plain),
                "a row gives the same alone and in a batch",
                "a row gives other logits alone than in a batch",
            ),
            _tokens(model),
            _finite(model),
            *_half(model, ids),
        ),
    )


def is_partial(check: Check) -> bool:
    """Whether a check failed on some prompts and passed on others, which are left out where they are asked."""
    return check.name == FINITE and check.deviation is not None and check.deviation < 1


def report_text(report: Report) -> str:
    """The report as lines for a terminal."""
    told = (report.model_type, report.merged, report.quantisation, report.dtype, report.device)
    about = ", ".join(filter(None, told))
    lines = [f"{report.checkpoint} ({about})"]
    for check in report.checks:
        mark = "passed" if check.passed else "FAILED"
        size = "" if check.deviation is None else f" ({check.deviation:.0e} of {check.tolerance:.0e} allowed)"
        lines.append(f"  {mark}  {check.name}: {check.detail}{size}")
    lines.append("every check passed" if report.passed else "some checks FAILED")
    return "\n".join(lines)


def _logits(model: Model, ids: Tensor) -> Tensor:
    return model.hf(input_ids=ids, use_cache=False).logits


def _apart(one: Tensor, other: Tensor) -> float:
    scale = max(float(other.abs().max()), 1e-12)
    return float((one - other).abs().max()) / scale


def _weights(model: Model) -> str:
    """What was compared before this model was handed out: loading refuses it otherwise."""
    if model.source == "memory":
        return "they were given in memory, and all are finite"
    unused = ", ".join(model.surplus[:3]) + f" and {len(model.surplus) - 3} more" * (len(model.surplus) > 3)
    return (
        "every tensor came from its file, and all are finite"
        + "".join(f"; {told}" for told in (model.part, model.quantisation, model.merged) if told)
        + f"; its file also holds {unused}" * bool(unused)
    )


def _tokens(model: Model) -> Check:
    name = "tokens and BOS shown"
    if model.tokenizer is None:
        return Check(name, True, None, None, "no tokenizer: token ids only")
    text = "the colour"
    ids = model.tokenizer(text)["input_ids"]
    bare = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    shown = " ".join(repr(token) for token in model.tokenizer.convert_ids_to_tokens(ids))
    added = len(ids) - len(bare)
    bos = "no BOS added" if not added else f"{added} special token added by the tokenizer"
    return Check(name, bool(bare), None, None, f"{text!r} is {shown}; {bos}")


def _finite(model: Model) -> Check:
    """Whether half precision overflows, on prompts as they are asked: of a few short ids it mostly does not."""
    if model.tokenizer is None:
        return Check(FINITE, True, None, None, "no tokenizer: no prompt to try")
    lost = 0
    with torch.inference_mode():
        for text in PROMPTS:
            ids = torch.tensor([model.tokenizer(text)["input_ids"][: model.reach]], device=model.device)
            lost += not bool(_logits(model, ids)[:, -1].isfinite().all())
    told = f"logits are finite on {len(PROMPTS) - lost} of {len(PROMPTS)} prompts"
    return Check(FINITE, not lost, lost / len(PROMPTS), 0.0, told + f", {cure(model)}" * bool(lost))


def _half(model: Model, ids: Tensor) -> tuple[Check, ...]:
    """What half-precision arithmetic costs: its error relative to the effects' spread; nothing to say in full."""
    if model.dtype not in HALF:
        return ()
    found, dtype = error_of(model, ids), str(model.dtype).removeprefix("torch.")
    if found is None:
        return (Check(PRECISION, True, None, None, f"{dtype}: too large for a copy in float32, so not compared"),)
    told = (
        f"computed in {dtype}, effects differ from float32's by rms {found.rms:.2g} and up to {found.most:.2g} logits, "
        f"where they spread by {found.spread:.2g}; dtype float32 has no such error"
    )
    return (Check(PRECISION, True, found.rms / max(found.spread, 1e-12), None, told),)


@contextmanager
def _watched(model: Model, visit: Callable[[str, int, Tensor], Tensor | None]) -> Iterator[None]:
    """Call `visit(site, layer, state)` at every site; what it returns replaces the state, as added to the stream."""
    scale = model.anatomy.scale_of(model.hf.config)

    def entering(site: str, layer: int) -> Callable:
        def hook(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
            if args:
                new = visit(site, layer, args[0])
                return None if new is None else ((new, *args[1:]), kwargs)
            new = visit(site, layer, kwargs["hidden_states"])
            return None if new is None else (args, {**kwargs, "hidden_states": new})

        return hook

    def leaving(site: str, layer: int, factor: float = 1.0) -> Callable:
        def hook(module: nn.Module, args: tuple, output: Any) -> Any:
            state = output if isinstance(output, Tensor) else output[0]
            new = visit(site, layer, state * factor)
            if new is None:
                return None
            return new / factor if isinstance(output, Tensor) else (new / factor, *output[1:])

        return hook

    facts = model.anatomy
    with ExitStack() as stack:
        for layer, block in enumerate(model.blocks):
            for handle in (
                block.register_forward_pre_hook(entering("resid_pre", layer), with_kwargs=True),
                model.module(layer, facts.projection).register_forward_pre_hook(entering("z", layer), with_kwargs=True),
                model.module(layer, facts.attn_added).register_forward_hook(leaving("attn_out", layer, scale)),
                model.module(layer, facts.mlp_added).register_forward_hook(leaving("mlp_out", layer, scale)),
                block.register_forward_hook(leaving("resid_post", layer)),
            ):
                stack.callback(handle.remove)
        yield


def _without_heads(model: Model, ids: Tensor, seen: dict[tuple[str, int], Tensor]) -> float:
    """How far attn_out still varies between tokens when every head is zero: only a bias may be left of it."""
    left: dict[int, Tensor] = {}

    def visit(site: str, layer: int, state: Tensor) -> Tensor | None:
        if site == "attn_out":
            left[layer] = state
        return torch.zeros_like(state) if site == "z" else None

    with _watched(model, visit):
        _logits(model, ids)
    return max(
        float((state - state[:1, :1]).abs().max()) / max(float(seen["attn_out", layer].abs().max()), 1e-12)
        for layer, state in left.items()
    )


def _mlp_reads_attention(model: Model, ids: Tensor, seen: dict[tuple[str, int], Tensor]) -> bool:
    """Whether the MLP of block 0 changes when attention's contribution is doubled: if so, it reads after attention."""
    changed: dict[tuple[str, int], Tensor] = {}

    def visit(site: str, layer: int, state: Tensor) -> Tensor | None:
        if layer == 0 and site == "attn_out":
            return state * 2
        changed[site, layer] = state
        return None

    with _watched(model, visit):
        _logits(model, ids)
    return _apart(changed["mlp_out", 0], seen["mlp_out", 0]) > TOLERANCE[model.dtype]
