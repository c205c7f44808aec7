"""The request of pathways: the surrogate of two instructions, and the checks of what it names."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import ClassVar

from ivx.errors import IvxError
from ivx.request import Request, check_counts, check_word


@dataclass(frozen=True)
class PathwaysRequest(Request):
    """The pathway of an instruction's answer through the surrogate, beside the contrast instruction's.

    Attributes:
        of: what is split: `contrast`, the answer's logit minus the contrast's, or `logit`, the answer's alone.
        patch_layer: block at whose output the instruction's vector is patched into the bare prompt, at `position` and
            from `source_token`, to compare that run's pathway with the instructed one's; by default none is.
        paths: how many of the strongest paths are kept.
        traced: number of samples that paths are searched in.
        ablation: how what is outside a circuit is ablated: `mean`, `zero` or `resample`; `none` leaves the causal
            check out.
        edge_check: check circuits of edges as well as of heads.
        published: measure the published path sum beside the exact one.
        rankings: other rankings of heads that are tried beside this one, and random orders: `eap`, `eap-ig`.
    """

    kind: ClassVar[str] = "pathways"
    early: ClassVar[tuple[str, ...]] = ("wording",)
    since: ClassVar[tuple[str, ...]] = ("rankings",)
    _: KW_ONLY
    of: str = "contrast"
    patch_layer: int | None = None
    paths: int = 20
    traced: int = 4
    ablation: str = "mean"
    edge_check: bool = False
    published: bool = False
    rankings: tuple[str, ...] = ()
    dtype: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_word("of", self.of, ("contrast", "logit"))
        check_word("ablation", self.ablation, ("mean", "zero", "resample", "none"))
        for name in self.rankings:
            check_word("rankings", name, ("eap", "eap-ig"))
        if self.target_format not in ("prompt", "chat"):
            raise IvxError("pathways need the whole prompt behind the query: use the target format prompt or chat")
        if self.demonstrations:
            raise IvxError("pathways compare runs of one length, told by an instruction: leave demonstrations out")
        if self.sums:
            raise IvxError(
                "pathways split the logit of one token, and a sum over spellings is none: choose the spelling auto, or "
                "name one"
            )
        check_counts(self, paths=(0, 1_000), traced=(0, 100))

    def beside(self, checkpoint: str) -> PathwaysRequest:
        """The request that compares another checkpoint with this one: the same, without what no comparison needs, and
        without this one's adapter."""
        needless = {
            "patch_layer": None,
            "paths": 0,
            "ablation": "none",
            "edge_check": False,
            "published": False,
            "rankings": (),
        }
        return replace(self, checkpoint=checkpoint, adapter=None, **needless)  # type: ignore[arg-type]
