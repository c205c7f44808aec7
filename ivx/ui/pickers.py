"""The pickers that pages share: checkpoint, task, metric."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ivx.models.registry import embedded
from ivx.stats.metrics import METRICS
from ivx.tasks import catalogue
from ivx.ui.kit import session

SHOWN_METRICS = ("contrast", "logit", "logprob", "followed", "kl")


def checkpoint(place: DeltaGenerator) -> str:
    """The checkpoint: side by side while they are few."""
    names = session.checkpoints()
    session.hold("checkpoint", "tiny-sft" if "tiny-sft" in names else names[0], names)
    with place:
        if len(names) <= 4:
            chosen = st.segmented_control(
                "Checkpoint", names, key="checkpoint", format_func=short, required=True, width="stretch"
            )
        else:
            chosen = st.selectbox("Checkpoint", names, key="checkpoint", format_func=short)
    return str(chosen or names[0])


def checkpoint_and_task(one: DeltaGenerator, two: DeltaGenerator) -> tuple[str, str]:
    """The checkpoint in one place, its task in another."""
    name = checkpoint(one)
    tasks = list(catalogue.tasks(session.collection_of(name)))
    tasks += [path for _, path in st.session_state.get(session.FILES, [])]
    session.hold("task", "animal/colour", tasks)
    task = str(two.selectbox("Task (answer / contrast)", tasks, key="task", format_func=task_name))
    return name, task


def metric(place: DeltaGenerator) -> str:
    """The metric that is shown; a view, which never runs the model."""
    session.hold("metric", "contrast", SHOWN_METRICS)
    return str(place.selectbox("Metric", SHOWN_METRICS, key="metric", format_func=lambda m: METRICS[m].label))


def metric_now() -> str:
    """The metric of this view, on a page that offers no choice of it."""
    return session.from_url("metric", "contrast", SHOWN_METRICS)


def short(name: str) -> str:
    """A checkpoint as controls and legends call it: its stage, or the end of its name."""
    known = embedded(name)
    return known.stage if known else name.rstrip("/").rpartition("/")[2]


def task_name(task: str) -> str:
    """A task as the pickers show it: its queries, what is asked, and the contrast."""
    own = dict((path, shown) for shown, path in st.session_state.get(session.FILES, []))
    if task in own:
        return own[task]
    domain, _, asked = task.partition("/")
    contrast = next((t[task].contrast for c in catalogue.COLLECTIONS if task in (t := catalogue.tasks(c))), "")
    return f"{domain}: {asked} / {contrast.partition('/')[2]}".replace("-", " ")
