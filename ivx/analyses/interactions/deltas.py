"""Deltas: rows of players that add the vector's difference from an idle sentence's, and overwrite nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from torch import Tensor

from ivx.analyses.interactions.players import Player
from ivx.analyses.interactions.request import InteractionsRequest
from ivx.analyses.interactions.result import Interactions
from ivx.engine.address import Patch, parse
from ivx.engine.draws import draw_of, drawn
from ivx.engine.hooks.capture import states_of
from ivx.engine.hooks.differences import Differences, added
from ivx.models.model import Model
from ivx.patching.prepare import Arrived
from ivx.patching.roles import controls_there, role_of
from ivx.patching.sweeping import instruction_of
from ivx.patching.table import Key, labelled, sampled
from ivx.tasks.samples import Samples


def add_rows(
    model: Model,
    request: InteractionsRequest,
    samples: Samples,
    players: Sequence[Player],
    played: Sequence[str],
    site: str,
    arrived: Arrived,
    *,
    beat: Callable[[], None],
) -> None:
    """Run every set of players in every role; rows arrive labelled."""
    moved = _differences(model, request, samples, players, beat)
    sets = {"": (), **{text: parse(text) for text in played}}
    done, total = 0, len(moved) * len(sets) * len(samples.rows)
    for role, differences in moved.items():
        for batch in added(
            model,
            target=[s.target for s in samples.rows],
            answer=[s.answer_tokens for s in samples.rows],
            contrast=[s.contrast_tokens for s in samples.rows],
            sets=sets,
            differences=differences,
        ):
            done += batch.num_rows
            arrived([labelled(pa.Table.from_batches([batch]), role, site)], done, total)


def replay_added(
    model: Model, found: Interactions, *, rows: int, seed: int, beat: Callable[[], None]
) -> tuple[list[Key], list[float], list[float]]:
    """Compute some rows again, one sample and one set at a time."""
    samples = found.samples
    moved = _differences(model, found.request, samples, found.players, beat)
    names: list[Key] = []
    before: list[float] = []
    now: list[float] = []
    for row in sampled(found.table.filter(pc.field("role") != "told"), rows, seed=seed):
        beat()
        k, patch, sample = row["sample"], row["patch"], samples.rows[row["sample"]]
        (batch,) = added(
            model,
            target=[sample.target],
            answer=[sample.answer_tokens],
            contrast=[sample.contrast_tokens],
            sets={patch: parse(patch) if patch else ()},
            differences=[moved[row["role"]][k]],
        )
        names.append((row["role"], row["site"], patch, k))
        before.append(row["logit"])
        now.append(batch["logit"][-1].as_py())
    return names, before, now


def _differences(
    model: Model,
    request: InteractionsRequest,
    samples: Samples,
    players: Sequence[Player],
    beat: Callable[[], None],
) -> dict[str, list[Differences]]:
    """What each role adds, by sample and place: the state of its instruction less that of an idle sentence."""
    places = sorted({(player.site, player.layer) for player in players})
    sources = {"effect": samples.rows, "idle": samples.neutral}
    there = controls_there(request.controls, samples)
    if "task" in there:
        sources["control"] = samples.control
    states = {
        role: states_of(model, [instruction_of(request, s) for s in rows], places, beat=beat)
        for role, rows in sources.items()
    }
    found: dict[str, list[Differences]] = {}
    for role in ("effect", *(role_of(name) for name in there if name == "task")):
        found[role] = [
            {place: told[place][-1] - idle[place][-1] for place in places}
            for told, idle in zip(states[role], states["idle"], strict=True)
        ]
    if "random" in there:
        found["random"] = [
            {place: _random(difference, place, model, samples, k) for place, difference in moved.items()}
            for k, moved in enumerate(found["effect"])
        ]
    return found


def _random(difference: Tensor, place: tuple[str, int], model: Model, samples: Samples, k: int) -> Tensor:
    sample, at = samples.rows[k], Patch(*place, position=0)
    return drawn(difference, draw_of(at, target=sample.target, source=sample.source, taken=0), heads=model.heads)
