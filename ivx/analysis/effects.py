"""Effects: which states carry the instruction, by patching them into runs that were not told.

One request becomes two kinds of maps. Residual, `attn_out` and `mlp_out` sites take the state of the instruction's
source token and write it at each position of the bare prompt (layer × position). `z` takes each head's output at the
instructed prompt's answer position and writes it at the bare prompt's (layer × head). Noising goes the other way, each
position from its like in the bare run. Every sample is measured twice: with its own source, and with a control's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
import transformers
from numpy.typing import NDArray

import ivx
from ivx.analysis.maps import Column, address_of, map_of
from ivx.analysis.metrics import Columns, find
from ivx.analysis.statistics import mean_interval
from ivx.engine import readout
from ivx.engine.sweep import ENGINE_KEY, sweep
from ivx.errors import IvxError
from ivx.models.doctor import checkup
from ivx.models.model import Model
from ivx.runs.request import ENGINE, EffectsRequest
from ivx.tasks import catalogue
from ivx.tasks.samples import Sample, Samples, build

EXCESS = 0.1
"""Share of an effect that it must have over its control to be a finding, beside the interval's word."""

ROLES = ("effect", "control", "told")
"""Rows with the sample's own source, with the control's, and the unpatched instructed run."""


@dataclass(frozen=True)
class Cell:
    """One cell of a map. Values in the metric's unit, positive toward the answer.

    `state` is `ok`, `control` (different from 0 but no better than the control: by its interval, or by less than the
    metric's floor or a tenth of itself), or `zero` (interval holds 0, or smaller than the metric's floor). `same_sign`
    is the share of samples with the mean's sign.
    """

    site: str
    layer: int
    column: int
    patch: str
    value: float
    low: float
    high: float
    control: float | None
    control_low: float | None
    control_high: float | None
    state: str
    n: int
    same_sign: float


Progress = Callable[["Effects", int, int], None]
"""Called with the result so far, and how many of how many rows are done; what it raises ends the work."""


@dataclass(frozen=True)
class Effects:
    """A result: one row per sample × patch × role, and everything needed to read it."""

    request: EffectsRequest
    table: pa.Table
    samples: Samples
    maps: dict[str, tuple[Column, ...]]
    layers: int
    receipt: dict[str, Any]

    @property
    def run_id(self) -> str:
        """Address of this result."""
        return str(self.receipt["run"])

    def address(self, site: str, layer: int, column: int) -> str:
        """The patch behind one cell."""
        return address_of(self.request, site, layer, self.maps[site][column])

    def cells(self, site: str, metric: str = "contrast") -> list[Cell]:
        """Every finished cell of one map, layers upward; intervals are 95 % bootstrap over samples."""
        view = find(metric)
        places = [
            (layer, column, self.address(site, layer, column))
            for layer in range(self.layers)
            for column in range(len(self.maps[site]))
        ]
        mine, theirs = (self._effects(role, site, view.effect) for role in ("effect", "control"))
        done = [(i, j, p) for i, j, p in places if p in mine and (p in theirs or not self.samples.control)]
        if not done:
            return []
        values = np.stack([mine[p] for _, _, p in done])
        low, high = mean_interval(values, seed=self.request.seed)
        mean = values.mean(axis=1)
        against: list[tuple[float | None, float | None, float | None]] = [(None, None, None)] * len(done)
        better = np.ones(len(done), dtype=bool)
        if self.samples.control:
            other = np.stack([theirs[p] for _, _, p in done])
            c_low, c_high = mean_interval(other, seed=self.request.seed)
            against = list(zip(other.mean(axis=1).tolist(), c_low.tolist(), c_high.tolist(), strict=True))
            # Compared along the effect's own direction, sample by sample; and by enough to speak of.
            excess = (values - other) * np.sign(mean)[:, None]
            ahead, _ = mean_interval(excess, seed=self.request.seed)
            better = (ahead > 0) & (excess.mean(axis=1) >= np.maximum(view.floor, EXCESS * np.abs(mean)))
        nothing = (low <= 0) & (high >= 0) | (np.abs(mean) < view.floor)
        states = np.where(nothing, "zero", np.where(better, "ok", "control"))
        sign = (np.sign(values) == np.sign(mean)[:, None]).mean(axis=1)
        return [
            Cell(
                site, layer, column, patch, float(mean[k]), float(low[k]), float(high[k]), *against[k],
                str(states[k]), values.shape[1], float(sign[k]),
            )
            for k, (layer, column, patch) in enumerate(done)
        ]  # fmt: skip

    def level(self, metric: str, *, role: str = "effect", site: str | None = None, patch: str = "") -> float | None:
        """Mean of the metric itself, not of its change: of the unpatched run, the told run, or one patch."""
        rows = self._rows(role, site, patch)
        return float(find(metric).measure(rows).mean()) if len(rows["rank"]) else None

    def detail(self, site: str, patch: str, metric: str = "contrast") -> list[dict[str, Any]]:
        """Each sample under one patch: effect, and the top tokens before and after as (token, share) pairs."""
        view = find(metric)
        before, after = self._rows("effect", site, ""), self._rows("effect", site, patch)
        effects = view.effect(after, before)
        tops = [self._tops(site, p) for p in ("", patch)]
        return [
            {
                "query": sample.query,
                "answer": sample.answer,
                "contrast": sample.contrast,
                "effect": float(effects[i]),
                "before": tops[0][i],
                "after": tops[1][i],
                "instruction": sample.instruction.text,
            }
            for i, sample in enumerate(self.samples.rows)
        ]

    def _select(self, role: str, site: str | None, patch: str) -> pa.Table:
        chosen = (pc.field("role") == role) & (pc.field("patch") == patch)
        if site is not None:
            chosen = chosen & (pc.field("site") == site)
        return self.table.filter(chosen).sort_by("sample")

    def _rows(self, role: str, site: str | None, patch: str) -> Columns:
        if site is None and role != "told":
            site = next(iter(self.maps))
        return _columns(self._select(role, site, patch))

    def _tops(self, site: str, patch: str) -> list[list[tuple[int, float]]]:
        table = self._select("effect", site, patch)
        ids, logits, total = (table[name].to_pylist() for name in ("top_ids", "top_logits", "logsumexp"))
        return [
            [(token, float(np.exp(z - lse))) for token, z in zip(row, tops, strict=True)]
            for row, tops, lse in zip(ids, logits, total, strict=True)
        ]

    def _effects(
        self, role: str, site: str, effect: Callable[[Columns, Columns], NDArray[np.float64]]
    ) -> dict[str, NDArray[np.float64]]:
        """Per patch the effects of all samples, for patches whose samples are all done."""
        n = len(self.samples.rows)
        table = self.table.filter((pc.field("role") == role) & (pc.field("site") == site))
        table = table.sort_by([("patch", "ascending"), ("sample", "ascending")])
        patches = np.asarray(table["patch"].to_pylist(), dtype=object)
        names, starts, counts = np.unique(patches.astype(str), return_index=True, return_counts=True)
        columns = _columns(table)
        by_name = {
            str(name): {k: v[start : start + n] for k, v in columns.items()}
            for name, start, count in zip(names, starts, counts, strict=True)
            if count == n
        }
        base = by_name.pop("", None)
        return {} if base is None else {name: effect(rows, base) for name, rows in by_name.items()}


_NUMBERS = ("logit", "contrast", "logsumexp", "rank", "kl_target", "kl_reference")


def _columns(table: pa.Table) -> Columns:
    return {name: table[name].to_numpy().astype(np.float64) for name in _NUMBERS}


def effects(model: Model | str, task: str, *, on_progress: Progress | None = None, **asked: Any) -> Effects:
    """Effect maps of one instruction on one checkpoint.

    Args:
        model: a loaded model, or a name to load.
        task: `animal/colour`, or a user's file.
        on_progress: called with the result so far; what it raises ends the work.
        asked: the other fields of `EffectsRequest`.
    """
    if isinstance(model, str):
        request = EffectsRequest(checkpoint=model, task=task, **asked)
        model = ivx.load(model, dtype=request.dtype, device=request.device, adapter=request.adapter)
    else:
        request = EffectsRequest(checkpoint=model.name, task=task, **asked)
    return compute(model, request, on_progress=on_progress)


def compute(model: Model, request: EffectsRequest, *, on_progress: Progress | None = None) -> Effects:
    """Run a request on a loaded model."""
    began = time.perf_counter()
    pair = catalogue.find(request.task, collection=model.collection, against=request.against)
    samples = build(
        pair, model.tokenizer, samples=request.samples, target_format=request.target_format, seed=request.seed
    )
    rows = samples.rows
    maps = {site: map_of(site, model, request, rows) for site in request.sites}
    receipt = {
        "run": request.run_id(model.fingerprint),
        "request": asdict(request),
        "checkpoint": {"name": model.name, "fingerprint": model.fingerprint, "source": model.source},
        "contrast": pair.contrast.name,
        "control": pair.control.name if pair.control else None,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "engine": ENGINE,
        "versions": {"ivx": ivx.__version__, "torch": torch.__version__, "transformers": transformers.__version__},
        "samples": len(rows),
        "warnings": list(samples.warnings),
        "checks": [asdict(check) for check in checkup(model).checks],
    }
    told = sweep(
        model,
        source=[s.source for s in rows],
        target=[s.instructed for s in rows],
        answer=[s.answer_id for s in rows],
        contrast=[s.contrast_id for s in rows],
        patches=[],
    )
    receipt["how"] = told.schema.metadata[ENGINE_KEY].decode()
    finished = [_labelled(told, "told", "")]
    patches = {
        site: [address_of(request, site, layer, column) for layer in range(model.layers) for column in columns]
        for site, columns in maps.items()
    }
    both = 2 if samples.control or request.direction == "noise" else 1
    total = sum((len(found) + 1) * len(rows) * both for found in patches.values())
    done = 0

    def result() -> Effects:
        seconds = round(time.perf_counter() - began, 3)
        table = pa.concat_tables(finished)
        return Effects(
            request, table, samples, maps, model.layers, {**receipt, "rows": table.num_rows, "seconds": seconds}
        )

    for site, addresses in patches.items():
        before = done

        def arrived(batch: pa.RecordBatch, k: int, _: int, site: str = site, before: int = before) -> None:
            nonlocal done
            done = before + k
            if batch.num_rows:
                finished.extend(_split(pa.Table.from_batches([batch]), site, len(rows)))
            if on_progress is not None:
                on_progress(result(), done, total)

        _sweep_site(model, request, samples, site, addresses, arrived)
    return result()


def _sweep_site(
    model: Model,
    request: EffectsRequest,
    samples: Samples,
    site: str,
    addresses: list[str],
    arrived: Callable[[pa.RecordBatch, int, int], None],
) -> None:
    """One sweep over the samples and, behind them, their controls: sample k + n is sample k with another source."""
    rows = samples.rows
    if request.direction == "noise":
        # Controls of noising: the bare run of another sample, so what is specific to this one is left.
        sources: list[Sequence[int]] = [s.target for s in (*rows, *rows[1:], rows[0])]
        targets, reference = [s.instructed for s in rows] * 2, [s.target for s in rows] * 2
    else:
        sources = [_source(site, request, s) for s in (*rows, *samples.control)]
        copies = len(sources) // len(rows)
        targets, reference = [s.target for s in rows] * copies, [s.instructed for s in rows] * copies
    copies = len(sources) // len(rows)
    sweep(
        model,
        source=sources,
        target=targets,
        reference=reference,
        answer=[s.answer_id for s in rows] * copies,
        contrast=[s.contrast_id for s in rows] * copies,
        patches=addresses,
        on_rows=arrived,
    )


def _source(site: str, request: EffectsRequest, sample: Sample) -> Sequence[int]:
    """The source run, cut after the token that is taken: by causality its last state is the same."""
    if site == "z":
        return sample.instructed
    return sample.source[: _taken(request, sample) + 1]


def _taken(request: EffectsRequest, sample: Sample) -> int:
    if request.source_token == "t_inst":
        return sample.t_inst
    if request.source_token == "keyword":
        if sample.keyword is None:
            raise IvxError("this task's wordings do not mark a task phrase, so there is no keyword: use t_inst")
        return sample.keyword
    index, length = int(request.source_token), len(sample.source)
    if not -length <= index < length:
        raise IvxError(f"source token {index}: the instruction {sample.instruction.text!r} has {length} tokens")
    return index % length


def _labelled(table: pa.Table, role: str, site: str) -> pa.Table:
    n = table.num_rows
    for name, value in (("role", role), ("site", site)):
        table = table.append_column(name, pa.array([value] * n, pa.string()))
    return table


def _split(table: pa.Table, site: str, n: int) -> list[pa.Table]:
    """Rows of samples and, renumbered, of their controls."""
    mine = table.filter(pc.field("sample") < n)
    theirs = table.filter(pc.field("sample") >= n)
    at = readout.SCHEMA.get_field_index("sample")
    theirs = theirs.set_column(at, "sample", pc.subtract(theirs["sample"], pa.scalar(n, pa.int32())))
    return [_labelled(mine, "effect", site), _labelled(theirs, "control", site)]
