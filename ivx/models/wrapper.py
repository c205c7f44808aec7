"""Wrappers: a text model beside others (images, audio) in one checkpoint, of which the text part is loaded.

The seams of patching are those of the text model by itself, so that is what is built; the files' other tensors are not
read.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from transformers import CONFIG_MAPPING, PreTrainedModel

from ivx.errors import UnsupportedArchitecture
from ivx.models.anatomy import ALIKE, WRAPPERS, anatomy_of

LAYOUTS = (
    ("language_model.model.", "language_model.lm_head."),
    ("model.language_model.", "lm_head."),
    ("model.text_model.", "lm_head."),
    ("model.", "lm_head."),
)
"""What stands before the names of the text part's tensors and of its head's, as transformers old or new writes them."""
_BODY, _HEAD = "model.", "lm_head."


@dataclass(frozen=True)
class Part:
    """The text part of a checkpoint.

    Attributes:
        config: the text model's own.
        form: what was taken, in words; empty where it is the whole.
        body, head: what stands before the names of its tensors in the files.
    """

    config: Any
    form: str = ""
    body: str = _BODY
    head: str = _HEAD

    def own(self, tensor: str) -> str | None:
        """A tensor's name in the text model; None where it belongs to another part."""
        if not self.form:
            return tensor
        for there, here in ((self.body, _BODY), (self.head, _HEAD)):
            if tensor.startswith(there):
                return here + tensor.removeprefix(there)
        return None

    @property
    def renamed(self) -> dict[str, str]:
        """Patterns of names in the files, and what the text model has in their place, as `from_pretrained` takes it."""
        told = ((self.body, _BODY), (self.head, _HEAD))
        return {f"^{re.escape(there)}": here for there, here in told if self.form and there != here}


def text_part(config: Any, raw: dict[str, Any], held: Collection[str], *, name: str) -> Part:
    """The text part of a checkpoint, or the whole where it is no wrapper.

    Args:
        config: as transformers reads it; `raw` is what its file says.
        held: the names of the tensors in its files.

    Raises:
        UnsupportedArchitecture: it is a wrapper, and its text part is not described, or not a model of its own.
    """
    if config.model_type not in WRAPPERS:
        return Part(config)
    wrapper = (raw.get("architectures") or [config.model_type])[0]
    about = f"{name} is a {wrapper}, a wrapper of a text model and others (images, audio)"
    text = config.get_text_config(decoder=True)
    flat = raw.get("num_hidden_layers") == text.num_hidden_layers and raw.get("hidden_size") == text.hidden_size
    if text is config or not (raw.get("text_config") or flat):
        raise UnsupportedArchitecture(f"{about}, and its config.json has no text_config that describes its text part")
    text = _plain(text)
    # The wrapper's head is the wrapper's own, so its config says whether that is the embeddings.
    text.tie_word_embeddings = getattr(config, "tie_word_embeddings", text.tie_word_embeddings)
    text.dtype = getattr(config, "dtype", None) or text.dtype
    if getattr(config, "quantization_config", None) is not None:
        text.quantization_config = config.quantization_config
    if anatomy_of(text).blocks != f"{_BODY}layers":
        raise UnsupportedArchitecture(f"{about}, whose text part ({text.model_type}) has its blocks elsewhere")
    layout = next((layout for layout in LAYOUTS if f"{layout[0]}embed_tokens.weight" in held), None)
    if layout is None:
        raise UnsupportedArchitecture(
            f"{about}, and its files hold no {LAYOUTS[0][0]}embed_tokens.weight, nor the same under a newer name, so "
            "its text part is not found: save its language model by itself"
        )
    return Part(text, f"text part of {wrapper}", *layout)


def refuse_own_head(hf: PreTrainedModel, part: Part, *, name: str) -> None:
    """Refuse a text part that does something to its logits behind its head, which its wrapper leaves out."""
    if not part.form:
        return
    ids = torch.arange(7, device=hf.device)[None] * 5 % hf.config.vocab_size
    with torch.inference_mode():
        base: Any = hf.base_model
        states = base(input_ids=ids, use_cache=False).last_hidden_state
        head: Any = hf.get_output_embeddings()
        if not torch.equal(head(states), hf(input_ids=ids, use_cache=False).logits):
            raise UnsupportedArchitecture(
                f"{name}: {hf.config.model_type} by itself scales or caps its logits and the wrapper does not, so its "
                "text part would give other numbers: save its language model by itself"
            )


def _plain(text: Any) -> Any:
    """The config of the architecture that a text part is on text."""
    if text.model_type not in ALIKE:
        return text
    told = text.to_dict()
    rope = {key: value for key, value in told["rope_parameters"].items() if not key.startswith("mrope_")}
    return CONFIG_MAPPING[ALIKE[text.model_type]](
        **{key: value for key, value in told.items() if key != "model_type"} | {"rope_parameters": rope}
    )
