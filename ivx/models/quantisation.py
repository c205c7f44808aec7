"""Quantised checkpoints: their weights are made floating point again as they are loaded, or one sentence says why not.

Everything else then finds the modules of an unquantised model: nothing reads a weight in another form.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from ivx.errors import CheckpointError, UnsupportedArchitecture

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from ivx.models.headers import Held


class Method(NamedTuple):
    """How transformers makes a quantisation's weights floating point: while it reads them, or by `dequantize` after;
    and the packages that it needs, by their names on the index and in Python."""

    while_reading: bool
    needs: Mapping[str, str] = {}


METHODS = {
    "fp8": Method(while_reading=True),
    "compressed-tensors": Method(while_reading=True, needs={"compressed-tensors": "compressed_tensors"}),
    "bitsandbytes": Method(while_reading=False, needs={"bitsandbytes": "bitsandbytes", "accelerate": "accelerate"}),
}
"""Quantisations (`quant_method`) that are loaded."""
EIGHT_BITS = ("F8_E4M3", "F8_E5M2", "I8")
"""Dtypes, by their names in a file, that a weight is multiplied by a scale from."""
ELSE = "use the checkpoint it was made from, or a dequantised copy"


def method_of(config: Any) -> str:
    """The quantisation that a config, of transformers or of a file, names; empty where it names none."""
    told = (config if isinstance(config, dict) else vars(config)).get("quantization_config")
    if not told:
        return ""
    told = told.to_dict() if hasattr(told, "to_dict") else told if isinstance(told, dict) else {}
    named = told.get("quant_method")
    if told.get("load_in_4bit") or told.get("load_in_8bit"):
        return "bitsandbytes"
    return str(getattr(named, "value", named) or "by a method that is not named")


def refuse_unreadable(config: dict[str, Any], *, name: str) -> None:
    """Refuse a file's config whose quantisation cannot be undone here; raises `CheckpointError` saying what to do."""
    method = method_of(config)
    if not method:
        return
    about = f"{name}: its weights are quantised ({method})"
    if method not in METHODS:
        raise CheckpointError(
            f"{about}, and ivx reads weights in floating point, which transformers "
            f"does not make them (it does for {', '.join(METHODS)}): {ELSE}"
        )
    lacking = [package for package, module in METHODS[method].needs.items() if find_spec(module) is None]
    if lacking:
        raise CheckpointError(f"{about}, which needs a package: `pip install {' '.join(lacking)}`, or {ELSE}")
    reason = _mixed(config["quantization_config"]) if method == "compressed-tensors" else ""
    if reason:
        raise CheckpointError(f"{about} {reason}, which transformers does not undo rightly: {ELSE}")


def refuse_unscaled(config: Any, held: Mapping[str, Held], *, name: str) -> None:
    """Refuse quantised weights in whose place transformers would take other numbers: those without a scale, which it
    reads as they lie, and those whose last block is narrower than the others, which it widens.

    Args:
        held: the tensors of the files.
    """
    method = method_of(config)
    block = tuple(config.quantization_config.get("weight_block_size") or ()) if method == "fp8" else ()
    for tensor, weight in held.items() if method else ():
        if weight.dtype not in EIGHT_BITS:
            continue
        beside = [tensor + end for end in ("_scale_inv", "_scale")]
        beside += [tensor.removesuffix("weight") + end for end in ("scale", "qscale_weight", "SCB")]
        scale = next((held[other] for other in beside if other in held), None)
        about = f"{name}: its weights are quantised ({method}), and"
        if scale is None:
            raise CheckpointError(f"{about} its files hold no scale for {tensor}: copy them again, or {ELSE}")
        grid = scale.shape[-2:]
        if block and any(n != size // b for n, size, b in zip(grid, weight.shape[-2:], block, strict=False) if n > 1):
            raise CheckpointError(f"{about} {tensor} is no whole number of blocks of {block}: {ELSE}")


def told(config: Any) -> str | None:
    """How the weights were kept before they were dequantised, in words; None where they were not."""
    method = method_of(config)
    return f"{method}, dequantised (activations are not quantised)" if method else None


def asked_in_full(config: Any) -> Any:
    """The config with which transformers dequantises the weights while it reads them, where it can."""
    method = method_of(config)
    if not method or not METHODS[method].while_reading:
        return config
    asked = copy.deepcopy(config)
    asked.quantization_config = {**config.quantization_config, "dequantize": True}
    return asked


def in_full(
    hf: PreTrainedModel, plain: PreTrainedModel, *, method: str, dtype: torch.dtype, name: str
) -> PreTrainedModel:
    """A model that was read from quantised weights, as an unquantised one.

    Args:
        plain: an unquantised model of the same config, without weights.

    Raises:
        UnsupportedArchitecture: a module or a parameter is not the unquantised model's.
    """
    if not METHODS[method].while_reading:
        hf = hf.dequantize(dtype)
    hf = hf.to(dtype)  # type: ignore[arg-type]  # wrong stub
    made, meant = ([(path, type(module)) for path, module in net.named_modules()] for net in (hf, plain))
    sizes, wanted = ({path: p.shape for path, p in net.named_parameters()} for net in (hf, plain))
    odd = [path for (path, kind), own in zip(made, meant, strict=False) if (path, kind) != own]
    odd += [path for path in {**sizes, **wanted} if sizes.get(path) != wanted.get(path)]
    if odd or len(made) != len(meant):
        raise UnsupportedArchitecture(
            f"{name}: its weights are quantised ({method}), and {(odd or ['one of its modules'])[0]} is not that of an "
            f"unquantised model after they were dequantised, so a patch could be wrong: {ELSE}"
        )
    if hasattr(hf.config, "quantization_config"):
        del hf.config.quantization_config
    return hf


def refuse_in_memory(hf: PreTrainedModel, *, name: str) -> None:
    """Refuse a model whose parameters are not plain floating point numbers, which is what every computation reads."""
    import torch  # late: what a page asks of a config does without

    plain = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
    odd = next((tensor for tensor, value in hf.named_parameters() if value.dtype not in plain), None)
    method = method_of(hf.config)
    if odd is not None or method not in ("", "gguf"):
        which = f"{odd} is {str(hf.get_parameter(odd).dtype).removeprefix('torch.')}" if odd else f"by {method}"
        raise UnsupportedArchitecture(
            f"{name}: its weights are quantised ({which}), and ivx computes with weights in floating point: dequantise "
            f"it (`model.dequantize()`) where its library can, or {ELSE}"
        )


def _mixed(told: dict[str, Any]) -> str:
    """What of a compressed-tensors config is not one way of quantising all weights; empty where it is."""
    groups = told.get("config_groups") or {}
    ways = (
        {repr((group.get("weights"), group.get("format"))) for group in groups.values() if isinstance(group, dict)}
        if isinstance(groups, dict)
        else set()
    )
    status = told.get("quantization_status")
    if len(ways) != 1:
        return f"in {len(ways)} different ways"
    if status not in (None, "compressed"):
        return f"and not compressed ({status})"
    other = next((part for part in ("transform_config", "sparsity_config") if told.get(part)), None)
    return f"with a {other}" if other else ""
