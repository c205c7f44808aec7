"""A session's progress in the lessons: guesses, what is revealed, and the points so far."""

from __future__ import annotations

import streamlit as st

from ivx.ui.kit import address
from ivx.ui.lessons.guesses import EXACT
from ivx.ui.lessons.stories import STORIES, story
from ivx.ui.lessons.story import Story

GUESSES, POINTS = "ivx.guesses", "ivx.points"
"""Session dictionaries by (story, step): what was guessed, and what a revealed guess was worth."""
LESSON, STEP, END = "lesson", "step", "score"

Place = tuple[str, int]


def now() -> tuple[Story, int]:
    """The story of this view and the number of its step from 0; after the last one stands the score."""
    chosen = story(address.from_url(LESSON, STORIES[0].key, [one.key for one in STORIES]))
    steps = [str(k + 1) for k in range(len(chosen.steps))] + [END]
    return chosen, steps.index(address.from_url(STEP, "1", steps))


def go(key: str, step: int) -> None:
    """Open a step of a story, or its score."""
    st.session_state[LESSON] = key
    st.session_state[STEP] = str(step + 1) if step < len(story(key).steps) else END


def guess(place: Place) -> str:
    """The guess at a step; empty if there is none."""
    return str(st.session_state.get(GUESSES, {}).get(place, ""))


def set_guess(place: Place, answer: str | None) -> None:
    """Guess, or take a guess back; nothing changes once it is revealed."""
    if place in st.session_state.get(POINTS, {}):
        return
    found = st.session_state.setdefault(GUESSES, {})
    found.pop(place, None)
    if answer:
        found[place] = answer


def is_revealed(place: Place) -> bool:
    """Whether the guess was made and the truth asked for."""
    return place in st.session_state.get(POINTS, {})


def reveal(place: Place) -> None:
    """Reveal a step's answer; from now on its guess is final. One that was not guessed has no points."""
    st.session_state.setdefault(POINTS, {}).setdefault(place, None)


def score(place: Place, points: int) -> None:
    """Note what the revealed guess was worth."""
    if is_revealed(place):
        st.session_state[POINTS][place] = points


def points(place: Place) -> int | None:
    """The points of a guess; None without one, and until it is revealed and the run is done."""
    found: int | None = st.session_state.get(POINTS, {}).get(place)
    return found


def total(*stories: Story) -> tuple[int, int]:
    """Points won and points possible so far, in these stories."""
    got = [points((one.key, k)) for one in stories for k in range(len(one.steps))]
    counted = [p for p in got if p is not None]
    return sum(counted), EXACT * len(counted)


def try_again(key: str) -> None:
    """Forget a story's guesses and begin it anew."""
    for kept in (GUESSES, POINTS):
        found = st.session_state.get(kept, {})
        for place in [place for place in found if place[0] == key]:
            del found[place]
    go(key, 0)
