"""A skeleton: a model's modules without the weights of its blocks, embeddings and head, which a stream brings."""

from __future__ import annotations

import torch
from torch import nn
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from ivx.errors import CheckpointError, UnsupportedArchitecture, boundary
from ivx.models import weights
from ivx.models.anatomy import anatomy_of, refuse_misfit
from ivx.models.contents import GENERATION, Contents
from ivx.models.stream import Stream
from ivx.models.tensors import Files, Memory, Piece
from ivx.models.wrapper import Part

_RENAMED = {"lm_head.weight": "embed_out.weight"}
"""Older names of the same tensor, as transformers reads them: those of GPT-NeoX."""


def streamed(
    part: Part, contents: Contents, *, name: str, dtype: torch.dtype, device: str, on_disk: bool
) -> tuple[PreTrainedModel, Stream, tuple[str, ...]]:
    """A model whose weights are streamed from its files, or from memory; and the tensors it rightly has no use for.

    Raises:
        CheckpointError: a tensor is missing, or one is left over that should have had a place.
        UnsupportedArchitecture: its files hold its weights in another form than its modules, or its head is no matrix.
    """
    config, files = part.config, Files(contents.folder, name=name, own=part.own)
    # Memory that is never written is never given: a skeleton of any size costs nothing.
    with no_init_weights(), boundary(CheckpointError, f"{name}: no model can be built from its config.json", "copy it"):
        hf = AutoModelForCausalLM.from_config(config, dtype=dtype)
        hf.tie_weights()
    refuse_misfit(hf, anatomy_of(config), name=name)
    found = _found(hf, files)
    other = "load it whole: weights='whole', --weights whole"
    strange = [tensor for tensor, there in found.items() if there is None]
    surplus = sorted(set(files.stored) - set(filter(None, found.values())))
    if strange and surplus and not _prefixed(strange, surplus):
        raise UnsupportedArchitecture(
            f"{name}: its files hold {surplus[0]} where the model has {strange[0]}, another form of the same weights, "
            f"and streaming reads them as they lie; {other}"
        )
    left = weights.refuse_strangers(
        {"missing_keys": strange, "unexpected_keys": surplus}, files.stored, config=config, name=name
    )
    head = hf.get_output_embeddings()
    if not isinstance(head, nn.Linear) or type(head).forward is not nn.Linear.forward:
        raise UnsupportedArchitecture(f"{name}: its head is no plain matrix, so it cannot be streamed; {other}")
    blocks = list(hf.get_submodule(anatomy_of(config).blocks).children())
    visiting = {p for block in blocks for p in block.parameters()}
    visiting |= {hf.get_input_embeddings().weight, head.weight}
    place = torch.device(device)
    for tensor, parameter in hf.named_parameters():
        if parameter not in visiting:
            parameter.data = files.read(Piece(found[tensor] or "")).to(place, dtype, copy=True)
    for module in hf.modules():
        for buffer, value in module._buffers.items():
            module._buffers[buffer] = None if value is None else value.to(place)
    if GENERATION in contents.files:
        hf.generation_config = GenerationConfig(eos_token_id=contents.ends())
    names = {parameter: found[tensor] or "" for tensor, parameter in hf.named_parameters() if parameter in visiting}
    source = files if on_disk else Memory(files, place, set(names.values()))
    return hf, Stream(hf.eval().requires_grad_(False), blocks, source, names, device=place), left


def _found(hf: PreTrainedModel, files: Files) -> dict[str, str | None]:
    """By parameter, the tensor of equal name and shape in the files; None where there is none."""
    prefix = f"{hf.base_model_prefix}."

    def stored(tensor: str, shape: torch.Size) -> str | None:
        for named in (tensor, tensor.removeprefix(prefix), _RENAMED.get(tensor, tensor)):
            if named in files.stored and files.stored[named].shape == tuple(shape):
                return named
        return None

    return {tensor: stored(tensor, parameter.shape) for tensor, parameter in hf.named_parameters()}


def _prefixed(missing: list[str], surplus: list[str]) -> bool:
    """Whether every tensor is there under a longer name: that is said better elsewhere."""
    return all(any(tensor.endswith(name) for tensor in surplus) for name in missing)
