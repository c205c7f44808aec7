"""The Lessons page: a question, a guess, and only then the picture; at the end of a story the score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from typing import Any

import streamlit as st

from ivx.charts.palette import Palette
from ivx.jobs.job import View
from ivx.request import BaseRequest
from ivx.ui.kit import address, exports, maps, pieces, progress
from ivx.ui.lessons import score
from ivx.ui.lessons.guesses import EXACT, NEAR, Truth
from ivx.ui.lessons.scenes import LAYERS, Showing
from ivx.ui.lessons.score import LESSON, STEP, Place
from ivx.ui.lessons.stories import STORIES, story
from ivx.ui.lessons.story import Step, Story

Views = Mapping[str, View | None]
Requests = Mapping[str, BaseRequest]
COLUMNS = [2.15, 1]
VERDICTS = {EXACT: "exactly", NEAR: "next to it", 0: "not this time"}


def show(p: Palette) -> None:
    """Draw the story of this view; its runs start at once, its charts wait for a guess."""
    shown, _ = score.now()
    requests = shown.asked()

    def draw(views: Views) -> None:
        if score.now()[0] is not shown:
            st.rerun()  # another story needs other runs
        _draw(shown, requests, views, p)
        address.to_url(lesson=shown.key, step=st.session_state[STEP])

    progress.follow_several(requests, draw=draw)


def _draw(shown: Story, requests: Requests, views: Views, p: Palette) -> None:
    _, at = score.now()
    found = {name: now.result for name, now in views.items() if now is not None and now.state == "done"}
    truth = None if at == len(shown.steps) else _truth(shown.steps[at], (shown.key, at), found)
    _strip(shown, at)
    if shown.absent and any(_is_absent(views.get(name)) for step in shown.steps for name in step.needs):
        pieces.title(shown.steps[0].question, "This lesson is read off stored runs of a real checkpoint.")
        pieces.refusal("Its runs are not here", "None is computed unasked on a real checkpoint.", shown.absent)
        return
    told = [name for step in shown.steps[at : at + 1] or shown.steps for name in (*step.needs, step.chips)]
    pieces.distrust(*(found[name].receipt for name in dict.fromkeys(told) if name in found))
    if at == len(shown.steps):
        _score(shown, found)
    else:
        _step(shown, at, requests, views, found, truth, p)


def _is_absent(now: View | None) -> bool:
    """Whether a run is neither stored nor under way."""
    return now is None or now.state in ("refused", "failed", "stopped")


def _strip(shown: Story, at: int) -> None:
    """The choice of story, and the progress in it."""
    with st.container(key="lesson-strip"):
        left, right = st.columns([1.4, 1], gap="medium", vertical_alignment="bottom")
    keys = [one.key for one in STORIES]
    left.segmented_control(
        "Lesson",
        keys,
        key=LESSON,
        format_func=lambda key: f"{keys.index(key) + 1} · {story(key).name}",
        required=True,
        on_change=lambda: score.go(st.session_state[LESSON], 0),
    )
    got, of = score.total(*STORIES)
    so_far = f" · <b>{got}</b> of {of} points so far" if of else ""
    where = f"step {at + 1} of {len(shown.steps)}" if at < len(shown.steps) else "score"
    dots = "".join(_dot((shown.key, k), here=k == at) for k in range(len(shown.steps)))
    right.html(
        f'<div class="ivx-steps"><span>Story {keys.index(shown.key) + 1} of {len(keys)} · {where}{so_far}</span>'
        f'<span class="dots" aria-hidden="true">{dots}</span></div>'
    )


def _dot(place: Place, *, here: bool) -> str:
    worth = score.points(place)
    return f'<i class="{"" if worth is None else f"p{worth}"}{" here" * here}"></i>'


def _step(
    shown: Story,
    at: int,
    requests: Requests,
    views: Views,
    found: Mapping[str, Any],
    truth: Truth | None,
    p: Palette,
) -> None:
    step, place = shown.steps[at], (shown.key, at)
    pieces.title(step.question, step.text)
    if step.chips in found:
        maps.prompts(found[step.chips], other=step.other)
    layers = next((result.layers for result in found.values()), LAYERS)
    answers = step.ask.answers(layers)
    _controls(shown, step, place, answers, truth)
    left, right = st.columns(COLUMNS, gap="medium")
    with left:
        free = step.ask.kind != "choice" and not score.is_revealed(place)

        def pick(answer: str) -> None:
            if answer in answers:
                score.set_guess(place, answer)

        key = f"{shown.key}-{at}"
        step.scene.draw(Showing(found, score.guess(place), truth, key, p, pick if free else None))
    with right:
        if truth is None:
            _before(step, place, requests, views)
        else:
            _after(truth, place, answers, p)
    _foot(step, found, truth)


def _truth(step: Step, place: Place, found: Mapping[str, Any]) -> Truth | None:
    """What the runs say, once the answer is revealed and they are done."""
    if not score.is_revealed(place) or any(name not in found for name in step.needs):
        return None
    truth = step.rule(found)
    if score.guess(place):
        score.score(place, truth.points(score.guess(place)))
    return truth


def _controls(shown: Story, step: Step, place: Place, answers: Mapping[str, str], truth: Truth | None) -> None:
    """The guess, Back and Next; Reveal stands in Next's place until it is clicked."""
    left, back, onward = st.columns([4.9, 0.62, 0.78], gap="small", vertical_alignment="center")
    with left:
        if score.is_revealed(place):
            _answers(place, answers, truth, every=step.ask.kind != "pair")
        else:
            _guess(step, place, answers)
    key, at = place
    with back:
        _back(place)
    name, ready = "Reveal", bool(score.guess(place)) or address.presenting()  # a class guesses aloud
    does: Callable[[], None] = partial(score.reveal, place)
    if score.is_revealed(place):
        name, ready = "Next" if at + 1 < len(shown.steps) else "Score", True
        does = partial(score.go, key, at + 1)
    with onward:
        st.button(name, key="step-on", type="primary", on_click=does, disabled=not ready, width="stretch")


def _back(place: Place) -> None:
    key, at = place
    st.button("Back", key="step-back", on_click=score.go, args=(key, at - 1), disabled=at == 0, width="stretch")


def _guess(step: Step, place: Place, answers: Mapping[str, str]) -> None:
    """The guess by keyboard; on a map, an alternative to the click."""
    key = f"guess-{place[0]}-{place[1]}"
    if (st.session_state.get(key) or "") != score.guess(place):  # a click on the map, or a story begun anew
        st.session_state[key] = score.guess(place) or None

    def taken() -> None:
        score.set_guess(place, st.session_state[key])

    shared: dict[str, Any] = {"key": key, "format_func": answers.__getitem__, "on_change": taken}
    if step.ask.kind == "pair":
        hint = "Click a pair on the map, or choose it here"
        st.selectbox(
            "Your guess", list(answers), index=None, placeholder=hint, label_visibility="collapsed", width=420, **shared
        )
    else:
        st.segmented_control("Your guess", list(answers), label_visibility="collapsed", **shared)


def _answers(place: Place, answers: Mapping[str, str], truth: Truth | None, *, every: bool) -> None:
    """The answers, with the guess and the truth marked; for pairs, these two alone."""
    mine = score.guess(place)
    best = frozenset() if truth is None else truth.best
    shown = [key for key in answers if every or key == mine or (key in best and len(best) == 1)]
    told = []
    for key in shown:
        names = [name for name, holds in (("your guess", key == mine), ("measured", key in best)) if holds]
        marks = " ".join(mark for mark, holds in (("mine", key == mine), ("best", key in best)) if holds)
        told.append(f'<span class="{marks}">{escape(answers[key])}<em>{", ".join(names)}</em></span>')
    st.html(f'<div class="ivx-answers" role="status">{"".join(told)}</div>')


def _before(step: Step, place: Place, requests: Requests, views: Views) -> None:
    """The hints before the reveal; and after it, the progress of runs that are not done."""
    pieces.head("Before you look", "2 points exactly, 1 next to it")
    hints = "".join(f"<p>{hint}</p>" for hint in step.hints)
    st.html(f'<div class="ivx-card">{hints}</div>')
    if not score.is_revealed(place):
        return
    for name in step.needs:
        now = views[name]
        if now is not None and now.state in ("refused", "failed"):
            pieces.refusal("This cannot be shown", now.message, "Open the Runs page, or try another lesson.")
        elif now is not None and now.live:
            pieces.note(progress.status(now) if now.total else progress.waiting(requests[name], now))
    progress.running_several(requests, views)


def _after(truth: Truth, place: Place, answers: Mapping[str, str], p: Palette) -> None:
    """What the guess was worth, and what was measured: value, interval, control."""
    mine = score.guess(place)
    pieces.head("What was measured", f"your guess: {answers[mine]}" if mine else "no guess was entered")
    worth = truth.points(mine)
    points = (
        f'<div class="row"><span class="points">{"+" * bool(worth)}{worth}</span>'
        f'<span class="soft">of {EXACT} points: {VERDICTS[worth]}</span></div>'
    )
    bars = ""
    if truth.bars:
        reach = max(abs(end) for bar in truth.bars for end in bar[1:]) or 1.0
        colours = [
            p.muted if name.startswith("another") else p.orange if value > 0 else p.blue
            for name, value, *_ in truth.bars
        ]
        rows = [(*bar, colour) for bar, colour in zip(truth.bars, colours, strict=True)]
        bars = f"<h3>Logits, 95 % intervals</h3>{pieces.whisker(rows, p, scale=reach * 1.1)}"
    st.html(f'<div class="ivx-card" data-testid="ivx-card">{points if mine else ""}<p>{truth.said}</p>{bars}</div>')


def _foot(step: Step, found: Mapping[str, Any], truth: Truth | None) -> None:
    results = [found[name] for name in step.needs if name in found]
    if not results:
        return
    result = results[-1]
    strip, export = st.columns([6, 1], gap="medium", vertical_alignment="bottom")
    with strip:
        pieces.trust(result.receipt, rows=f"{result.table.num_rows:,} rows")
    if truth is not None:
        with export:
            exports.offer_several(results, "contrast")


def _score(shown: Story, found: Mapping[str, Any]) -> None:
    """The end of a story: its guesses, their points, and where the same runs can be looked at more closely."""
    got, of = score.total(shown)
    every, of_every = score.total(*STORIES)
    lede = f"<b>{got} of {EXACT * len(shown.steps)} points</b> in this story"
    pieces.title("What did you see coming?", f"{lede}; {every} of {of_every} over all that you have revealed.")
    left, right = st.columns(COLUMNS, gap="medium")
    with left:
        pieces.head(shown.name, "your guess, and what was measured")
        rows = "".join(_row(shown, k, found) for k in range(len(shown.steps)))
        st.html(f'<div class="ivx-card plain score" data-testid="ivx-score"><table>{rows}</table></div>')
        back, again, onward, _ = st.columns([0.7, 1, 1.5, 1.2], gap="small")
        with back:
            _back((shown.key, len(shown.steps)))
        again.button("Play it again", on_click=score.try_again, args=(shown.key,), width="stretch")
        k = STORIES.index(shown) + 1
        if k < len(STORIES):
            onward.button(
                f"Next: {STORIES[k].name}",
                key="step-on",
                type="primary",
                on_click=score.go,
                args=(STORIES[k].key, 0),
                width="stretch",
            )
    with right:
        pieces.head("What to look at next", "the same runs")
        links = "".join(
            f'<p><a href="{escape(address.onward(href), quote=True)}" target="_self">{escape(what)} ›</a></p>'
            for what, href in shown.onward.items()
        )
        st.html(f'<div class="ivx-card score">{links}</div>')


def _row(shown: Story, k: int, found: Mapping[str, Any]) -> str:
    place = (shown.key, k)
    step, worth = shown.steps[k], score.points(place)
    truth = _truth(step, place, found)
    said = "" if truth is None else truth.said
    answers = step.ask.answers(LAYERS)
    guess = score.guess(place)
    mine = f"you: {escape(answers[guess])}" if guess else "no guess"
    if not score.is_revealed(place):
        mine = "not revealed"
    return (
        f'<tr><td style="width:68%"><b>{escape(step.question)}</b><p class="soft">{said}</p>'
        f'</td><td class="soft">{mine}</td><td class="num">{"–" if worth is None else f"{worth} of {EXACT}"}</td></tr>'
    )
