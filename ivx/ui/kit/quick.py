"""A quick look at a checkpoint that nothing was asked of: does it follow, where does that act, and a small map there.

A chain of stored runs, each begun when the one before has ended; what each costs is told first. The full map goes on
from the small one: the rows that they have in common are not computed again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any

import streamlit as st

from ivx.analyses import defaults
from ivx.analyses.behaviour.result import Behaviour
from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.effects.result import Effects
from ivx.analyses.place.found import At
from ivx.analyses.place.request import PlaceRequest
from ivx.analyses.place.result import Place
from ivx.charts.numbers import signed
from ivx.engine.address import STREAM
from ivx.jobs.compute import Cost
from ivx.jobs.identity import is_away
from ivx.jobs.places import placed
from ivx.jobs.worker import worker
from ivx.models.registry import embedded
from ivx.patching import gate
from ivx.request import BaseRequest
from ivx.stats.following import percent
from ivx.tasks.way import Way
from ivx.ui.kit import address, blanks, checkpoints, places, progress, session
from ivx.ui.kit.choices import task_name

BEGUN = "ivx.quick"
"""Session set of checkpoints whose quick look goes on step by step."""
STEPS = ("Does it follow?", "Where does that act?", "A small map there")
PAGES = ("behaviour", "place", "effects")
USUAL = At("t_inst", "first", 0, 0, 0)


@dataclass(frozen=True)
class Look:
    """The chain of one checkpoint: what is stored of it, and what comes next."""

    checkpoint: str
    loading: dict[str, Any]

    @cached_property
    def behaviour(self) -> Behaviour | None:
        """Whether it follows some of a few tasks."""
        return session.looked_up(self._asks)

    @property
    def _asks(self) -> BaseRequest:
        return defaults.asked_quickly(self.checkpoint, **self.loading)

    @cached_property
    def fitting(self) -> str:
        """The task that is followed most."""
        cells = {} if self.behaviour is None else {task: cell for (task, _), cell in self.behaviour.cells.items()}

        def most(task: str) -> tuple[bool, float]:
            return cells[task].follows, cells[task].following.difference.value

        return max(cells, key=most, default=defaults.QUICK_TASKS[0])

    @property
    def _searches(self) -> PlaceRequest:
        return PlaceRequest(self.checkpoint, self.fitting, **self.loading)

    @cached_property
    def place(self) -> Place | None:
        """The search for the place of that task."""
        return None if self.behaviour is None else session.looked_up(self._searches)

    @cached_property
    def at(self) -> At:
        """The place; else where the search came nearest, or the usual one."""
        found = placed(worker().store, self.checkpoint, self.fitting, Way())
        if found is not None and found.at is not None:
            return found.at
        near = None if self.place is None else self.place.found()
        return USUAL if near is None else near.at

    @property
    def _maps(self) -> EffectsRequest:
        return defaults.mapped_quickly(self.checkpoint, self.fitting, at=self.at, **self.loading)

    @cached_property
    def small(self) -> Effects | None:
        """The small map."""
        return None if self.place is None else session.looked_up(self._maps)

    @property
    def due(self) -> BaseRequest | None:
        """The next step; None after the last."""
        steps = ((self.behaviour, "_asks"), (self.place, "_searches"), (self.small, "_maps"))
        return next((getattr(self, name) for found, name in steps if found is None), None)

    @property
    def full(self) -> EffectsRequest:
        """The whole map, as the page of effects asks for it."""
        return defaults.effects(self.checkpoint, self.fitting, source_token=self.at.source_token, **self.loading)

    def said(self) -> list[str]:
        """What each step found, as far as they are done."""
        found = []
        if self.behaviour is not None:
            found.append(_followed(self.behaviour, self.fitting))
        if self.place is not None:
            found.append(_placed(self))
        if self.small is not None:
            found.append(_mapped(self.small))
        return found

    def runs(self) -> list[str]:
        """The runs of the steps that are done."""
        return [one.run_id for one in (self.behaviour, self.place, self.small) if one is not None]


def _followed(found: Behaviour, task: str) -> str:
    cell = next((cell for (name, _), cell in found.cells.items() if name == task), None)
    if cell is None:
        return "No task could be asked."
    told, bare = percent(cell.told.followed.value), percent(cell.bare.followed.value)
    counted = sum(one.follows for one in found.cells.values())
    every = f"{counted} of {len(found.cells)} tasks are followed" if counted else "No task is followed for certain"
    return f"{every}; most of all {task_name(task)}: told {told}, untold {bare}, n = {cell.asking.samples}."


def _placed(look: Look) -> str:
    found = placed(worker().store, look.checkpoint, look.fitting, Way())
    if found is not None and found.at is not None:
        return f"{places.named(found)}, {places.reach(found.at)}."
    if found is not None and found.kind == "preference":
        return f"The preference moves most at {found.label}; what is told is not followed."
    least = "" if look.place is None else f": an effect of {look.place.least:.1f} logits would have been seen"
    return f"No place was found{least}. The small map is made where it came nearest."


def _mapped(found: Effects) -> str:
    cells = [cell for cell in found.cells(STREAM) if cell.state != "estimate"]
    if not cells:
        return gate.small(found.receipt)
    best = max(cells, key=lambda cell: (cell.state == "ok", abs(cell.value)))
    label = found.maps[STREAM][best.column].label
    control = "" if best.control is None else f", control {signed(best.control, 2)}"
    interval = f"[{signed(best.low, 2)}, {signed(best.high, 2)}]"
    value = f"Layer {best.layer} at “{label}”: {signed(best.value, 2)} logits {interval}{control}"
    said = {"ok": "", "control": ", no better than its control", "zero": ", not different from 0"}
    return f"{gate.small(found.receipt)} {value}{said.get(best.state, '')}."


def is_offered(checkpoint: str) -> bool:
    """Whether a checkpoint is one that a quick look is offered for: not embedded, and on this machine."""
    return embedded(checkpoint) is None and not is_away(checkpoint)


def offer(checkpoint: str) -> None:
    """Draw the quick look at a checkpoint: what was found, the next step with its cost, and at last the full map.

    Nothing is drawn for an embedded checkpoint, whose runs came with ivx, and for one that is not on this machine.
    """
    if not is_offered(checkpoint):
        return
    look = Look(checkpoint, checkpoints.loading(checkpoint))
    due = look.due
    if due is None:
        _begun().discard(checkpoint)
        with st.container(key="ivx-quick", gap="small"):
            _told(look, "")
            _refine(look)
        return
    cost = Cost.request(due)
    session.job(cost, compute=True)

    def draw(views: dict[str, Any]) -> None:
        _drawn(look, due, views["step"], views["cost"])

    progress.follow_several({"step": due, "cost": cost}, draw=draw, unasked=("step", "cost"))  # type: ignore[arg-type]


def _drawn(look: Look, due: BaseRequest, now: Any, told: Any) -> None:
    if now is not None and now.state == "done" and session.looked_up(due) is not None:
        st.rerun()
    if now is not None and now.state == "stopped":
        _begun().discard(look.checkpoint)
    if now is not None and now.live and session.is_sought(due):
        with st.container(key="ivx-quick", gap="small"):
            _told(look, "looking among the stored runs")
        return
    chained = look.checkpoint in _begun()
    if chained and now is None and told is not None and not told.live:  # its cost was told
        session.start(due)
        st.rerun()
    with st.container(key="ivx-quick", gap="small"):
        _told(look, blanks.word(now) if now is not None or chained else "")
        if now is not None and now.state in ("refused", "failed"):
            blanks.ended_badly(due, now, narrow=True)
            return
        cost = st.container()
        if now is not None and now.live:
            progress.stopping({"": due}, {"": now}, key="quick-stop")
        elif not chained:
            label = "Go on" if look.behaviour is not None or now is not None else "Start the quick look"
            if st.button(label, key="quick-start", type="primary"):
                _begun().add(look.checkpoint)
                session.start(due)
                st.rerun()
        with cost:
            blanks.costs([due])


def _told(look: Look, word: str) -> None:
    said = look.said()
    lines = []
    for k, (question, page) in enumerate(zip(STEPS, PAGES, strict=True)):
        if k < len(said):
            href = f"/{page}?run={look.runs()[k]}"
            link = f'<a href="{escape(href, quote=True)}" target="_self">open ›</a>'
            lines.append(f"<li><b>{question}</b> {escape(said[k])} {link}</li>")
        else:
            lines.append(f'<li class="soft">{question}{f" – {escape(word)}" * (k == len(said) and bool(word))}</li>')
    st.html(f'<div class="top"><h2>A quick look</h2></div><ol class="ivx-quick">{"".join(lines)}</ol>')


def _refine(look: Look) -> None:
    cost = st.container()

    def choose() -> None:
        st.session_state.update({address.RUN: "", "checkpoint": look.checkpoint, "task": look.fitting})
        places.choose(_source(look.at), plain=False)

    if st.button("Refine: the full map", key="quick-refine", type="primary", on_click=choose):
        session.start(look.full)
        session.go("effects")
    with cost:
        blanks.costs([look.full])


def _source(at: At) -> dict[str, str]:
    """The place's source token, by the controls of the page of effects."""
    if at.source_token in ("t_inst", "keyword"):
        return {"source": at.source_token, "token": ""}
    return {"source": "t_inst", "token": at.source_token}


def _begun() -> set[str]:
    found: set[str] = st.session_state.setdefault(BEGUN, set())
    return found
