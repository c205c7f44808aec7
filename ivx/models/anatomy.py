"""Anatomy: the facts of an architecture that a patch relies on.

A table of names, no code: where the blocks lie, which module's output is *added* to the residual stream by
attention and by the MLP, and what the input of the output projection is called. `ivx.models.doctor` proves the facts
on the very checkpoint that was loaded; an architecture without facts is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ivx.errors import UnsupportedArchitecture


@dataclass(frozen=True)
class Anatomy:
    """Facts of one architecture. `blocks` is a path from the causal LM, the other paths start at a block.

    Attributes:
        projection: its input is `z`, the heads' outputs side by side.
        attn_added, mlp_added: modules whose output, times the config's `multiplier`, is added to the stream.
        parallel: attention and MLP read the same input, so there is no `resid_mid`.
        parallel_key: the config's switch for `parallel`, where it has one.
        multiplier: name of the config's factor on what is added, where it has one.
    """

    blocks: str = "model.layers"
    projection: str = "self_attn.o_proj"
    attn_added: str = "self_attn"
    mlp_added: str = "mlp"
    parallel: bool = False
    parallel_key: str | None = None
    multiplier: str | None = None

    def scale_of(self, config: Any) -> float:
        """The factor between a module's output and what is added to the stream."""
        return 1.0 if self.multiplier is None else float(getattr(config, self.multiplier))


_PRE_NORM = Anatomy()
_POST_NORM = Anatomy(attn_added="post_attention_layernorm", mlp_added="post_feedforward_layernorm")

_PARALLEL = Anatomy(parallel=True)

ANATOMIES: dict[str, Anatomy] = {
    "apertus": _PRE_NORM,
    "arcee": _PRE_NORM,
    "biogpt": Anatomy(blocks="biogpt.layers", projection="self_attn.out_proj", mlp_added="fc2"),
    "bitnet": _PRE_NORM,
    "cohere": _PARALLEL,
    "cohere2": _PARALLEL,
    "cwm": _PRE_NORM,
    "deepseek_v2": _PRE_NORM,
    "deepseek_v3": _PRE_NORM,
    "diffllama": _PRE_NORM,
    "doge": _PRE_NORM,
    "dots1": _PRE_NORM,
    "ernie4_5": _PRE_NORM,
    "ernie4_5_moe": _PRE_NORM,
    "exaone4": _POST_NORM,
    "flex_olmo": _POST_NORM,
    "gemma": _PRE_NORM,
    "gemma2": _POST_NORM,
    "gemma3_text": _POST_NORM,
    "glm": _PRE_NORM,
    "glm4": Anatomy(attn_added="post_self_attn_layernorm", mlp_added="post_mlp_layernorm"),
    "gpt2": Anatomy(blocks="transformer.h", projection="attn.c_proj", attn_added="attn"),
    "gpt_neox": Anatomy(
        blocks="gpt_neox.layers",
        projection="attention.dense",
        attn_added="attention",
        parallel=True,
        parallel_key="use_parallel_residual",
    ),
    "gpt_oss": _PRE_NORM,
    "granite": replace(_PRE_NORM, multiplier="residual_multiplier"),
    "granitemoe": replace(_PRE_NORM, multiplier="residual_multiplier", mlp_added="block_sparse_moe"),
    "helium": _PRE_NORM,
    "hunyuan_v1_dense": _PRE_NORM,
    "hunyuan_v1_moe": _PRE_NORM,
    "hy_v3": _PRE_NORM,
    "internlm3": _PRE_NORM,
    "iquestcoder": _PRE_NORM,
    "jais2": _PRE_NORM,
    "llama": _PRE_NORM,
    "mellum": _PRE_NORM,
    "ministral": _PRE_NORM,
    "ministral3": _PRE_NORM,
    "mistral": _PRE_NORM,
    "mixtral": _PRE_NORM,
    "nanochat": _PRE_NORM,
    "nemotron": _PRE_NORM,
    "olmo": _PRE_NORM,
    "olmo2": _POST_NORM,
    "olmo3": _POST_NORM,
    "olmoe": _PRE_NORM,
    "persimmon": Anatomy(projection="self_attn.dense"),
    "phi": Anatomy(projection="self_attn.dense", parallel=True),
    "phi3": _PRE_NORM,
    "phimoe": _PRE_NORM,
    "qwen2": _PRE_NORM,
    "qwen2_moe": _PRE_NORM,
    "qwen3": _PRE_NORM,
    "qwen3_moe": _PRE_NORM,
    "seed_oss": _PRE_NORM,
    "smollm3": _PRE_NORM,
    "stablelm": Anatomy(parallel_key="use_parallel_residual"),
    "starcoder2": _PRE_NORM,
    "vaultgemma": _PRE_NORM,
}

WRAPPERS = frozenset(
    {
        *("gemma3", "got_ocr2", "idefics2", "idefics3", "internvl", "janus", "lighton_ocr", "llava", "llava_next"),
        *("llava_next_video", "llava_onevision", "mistral3", "ovis2", "qwen2_5_vl", "qwen2_vl", "qwen3_vl", "smolvlm"),
        *("video_llama_3", "video_llava", "vipllava"),
    }
)
"""Wrappers (`model_type`) of a text model and others whose logits on text alone are those of their text part by itself.

Others do more to a text: PaliGemma reads a prompt in both directions, Aya Vision gives its logits another scale."""
ALIKE = {"qwen2_vl_text": "qwen2", "qwen2_5_vl_text": "qwen2", "qwen3_vl_text": "qwen3"}
"""Text parts that have no class of their own, and the architecture that they are on text: the axes of their rotary
embedding, which differ in an image, are one there."""


def refuse_misfit(hf: Any, facts: Anatomy, *, name: str) -> None:
    """Refuse a model that has no module where the facts say; raises `UnsupportedArchitecture` naming it."""
    kind = hf.config.model_type
    try:
        blocks = list(hf.get_submodule(facts.blocks).children())
    except AttributeError:
        blocks = []
    if not blocks:
        raise UnsupportedArchitecture(
            f"{name}: {kind} has no blocks at {facts.blocks} in this version of transformers, so nothing can be patched"
        )
    for layer, block in enumerate(blocks):
        for path in (facts.projection, facts.attn_added, facts.mlp_added):
            try:
                block.get_submodule(path)
            except AttributeError as error:
                raise UnsupportedArchitecture(
                    f"{name}: block {layer} of {kind} has no {path}, so what it adds to the stream is not known"
                ) from error


def anatomy_of(config: Any) -> Anatomy:
    """The facts for a checkpoint's config; raises `UnsupportedArchitecture` naming what is not known."""
    kind = getattr(config, "model_type", None)
    if kind not in ANATOMIES:
        raise UnsupportedArchitecture(
            f"{kind or 'this model'}: what its attention and MLP add to the residual stream, and where, is not known "
            f"to ivx, so a patch could be wrong; add its facts to ivx/models/anatomy.py and `doctor` will prove them "
            f"(known: {', '.join(sorted(ANATOMIES))})"
        )
    facts = ANATOMIES[kind]
    if facts.parallel_key is not None:
        facts = replace(facts, parallel=bool(getattr(config, facts.parallel_key)))
    return facts
