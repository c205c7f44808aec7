"""Effects: which states carry the instruction; and a scan for the tokens that they must be taken from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ivx.analyses.base import Analysis, Progress, Saved, Steps, Words, name_of, names_of
from ivx.analyses.effects.request import EffectsRequest, ScanRequest

if TYPE_CHECKING:
    from ivx.analyses.effects.result import Effects
    from ivx.models.model import Model


def effects(
    model: Model | str,
    task: str,
    *,
    against: str | None = None,
    source_token: str = "t_inst",
    target_format: str = "prompt",
    samples: int = 40,
    template: str = "",
    system: str = "",
    demonstrations: int = 0,
    spelling: str = "auto",
    wording: int | None = None,
    position: str = "all",
    sites: Sequence[str] = ("resid_post", "z"),
    direction: str = "denoise",
    controls: Sequence[str] = ("task",),
    layers: str = "",
    heads: str = "",
    window: int = 1,
    span: int = 1,
    seed: int = 0,
    dtype: str = "auto",
    device: str = "auto",
    adapter: str | None = None,
    weights: str = "auto",
    on_progress: Progress[Effects] | None = None,
) -> Effects:
    """Effect maps of one instruction on one checkpoint: which states carry it.

    Args:
        model: a loaded model, or a name to load.
        task: `animal/colour`, or a user's file.
        on_progress: called with the result so far; what it raises ends the work.

    The others are as in `EffectsRequest`.
    """
    request = EffectsRequest(
        name_of(model),
        task,
        against=against,
        source_token=source_token,
        target_format=target_format,
        samples=samples,
        template=template,
        system=system,
        demonstrations=demonstrations,
        spelling=spelling,
        wording=wording,
        position=position,
        sites=names_of(sites),
        direction=direction,
        controls=names_of(controls),
        layers=layers,
        heads=heads,
        window=window,
        span=span,
        seed=seed,
        dtype=dtype,
        device=device,
        adapter=adapter,
        weights=weights,
    )
    return EFFECTS.answer(model, request, on_progress=on_progress)


def scan(
    model: Model | str,
    task: str,
    *,
    against: str | None = None,
    source_token: str = "all",
    target_format: str = "prompt",
    samples: int = 40,
    template: str = "",
    system: str = "",
    demonstrations: int = 0,
    spelling: str = "auto",
    wording: int | None = None,
    position: str = "first",
    sites: Sequence[str] = ("resid_post",),
    controls: Sequence[str] = ("task", "identity", "aggregation"),
    layers: str = "",
    seed: int = 0,
    dtype: str = "auto",
    device: str = "auto",
    adapter: str | None = None,
    weights: str = "auto",
    on_progress: Progress[Effects] | None = None,
) -> Effects:
    """Effect maps of one instruction by source token: layer × token, at one patched position.

    Args:
        model: a loaded model, or a name to load.
        task: `animal/colour`, or a user's file.
        on_progress: called with the result so far; what it raises ends the work.

    The others are as in `ScanRequest`.
    """
    request = ScanRequest(
        name_of(model),
        task,
        against=against,
        source_token=source_token,
        target_format=target_format,
        samples=samples,
        template=template,
        system=system,
        demonstrations=demonstrations,
        spelling=spelling,
        wording=wording,
        position=position,
        sites=names_of(sites),
        controls=names_of(controls),
        layers=layers,
        seed=seed,
        dtype=dtype,
        device=device,
        adapter=adapter,
        weights=weights,
    )
    return SCAN.answer(model, request, on_progress=on_progress)


class EffectMaps(Analysis[EffectsRequest, "Effects"]):
    """Maps of what each state does, patched into a run."""

    request = EffectsRequest
    function = staticmethod(effects)
    title = "effect of patching, by layer and position or head"
    page = "effects"
    told = True
    published = True

    @property
    def steps(self) -> Steps[EffectsRequest, Effects]:
        from ivx.analyses.effects.compute import STEPS

        return STEPS

    @property
    def saved(self) -> Saved[EffectsRequest, Effects]:
        from ivx.analyses.effects.saved import SAVED

        return SAVED

    @property
    def words(self) -> Words[Effects]:
        from ivx.analyses.effects.text import WORDS

        return WORDS


EFFECTS = EffectMaps()


class SourceScan(Analysis[ScanRequest, "Effects"]):
    """Maps of what each token of the instruction does, patched at one position."""

    request = ScanRequest
    function = staticmethod(scan)
    title = "effect by the instruction's token that the vector is taken from"
    page = "effects"
    told = True

    @property
    def steps(self) -> Steps[ScanRequest, Effects]:
        from ivx.analyses.effects.source_scan import STEPS

        return STEPS

    @property
    def saved(self) -> Saved[ScanRequest, Effects]:
        from ivx.analyses.effects.saved import SAVED

        return SAVED

    @property
    def words(self) -> Words[Effects]:
        from ivx.analyses.effects.text import WORDS

        return WORDS


SCAN = SourceScan()
