"""Measures an embedded checkpoint: what it follows, where its vector acts, how well it can be read, and controls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ivx.engine.hooks.sites import read
from ivx.engine.sweep import sweep
from ivx.models.load import load
from ivx.models.model import Model
from ivx.tasks import catalogue
from ivx.tasks.sample import Sample
from ivx.tasks.samples import build

SAMPLES = 40
"""Samples per task; every figure is a mean over the tasks' means."""
WORDINGS = 60
"""Wordings per task, for the probe."""
SEED = 1

Figures = dict[str, Any]


def measure(folder: Path) -> Figures:
    """All figures of the checkpoint in `folder`, rounded to the digits that the card shows."""
    model = load(str(folder), dtype="float32")
    collection = "tiny-period" if folder.name.endswith("period") else "tiny"
    names = list(catalogue.tasks(collection))
    told = {split: [_accuracies(model, collection, name, split) for name in names] for split in ("seen", "held-out")}
    runs = {name: [] for name in ("T_inst", "keyword", "T_inst alone", "wrong domain")}  # type: dict[str, list]
    scans: dict[str, list] = {"-3": [], "-2": [], "-1": []}
    for name in names:
        built = build(
            catalogue.find(name, collection=collection), model.tokenizer, samples=SAMPLES, seed=SEED, split="seen"
        )
        sources = {
            "T_inst": [s.source for s in built.rows],
            "keyword": [s.source[: (s.keyword or 0) + 1] for s in built.rows],
            "T_inst alone": [s.source[-1:] for s in built.rows],
            "wrong domain": [s.source for s in built.control],
        }
        for kind, ids in sources.items():
            runs[kind].append(_patched(model, built.rows, ids))
        for back, lines in scans.items():
            end = int(back) + 1
            lines.append(_patched(model, built.rows, [s.source[:end] if end else s.source for s in built.rows]))
    accuracy, shuffled = _probe(model, collection, names)
    return {
        "followed": {split: _rounded(np.mean([t[0] for t in rows])) for split, rows in told.items()},
        "answered": {split: _rounded(np.mean([t[1] for t in rows])) for split, rows in told.items()},
        "by_task": {
            name: [_rounded(told["seen"][i][1]), _rounded(told["held-out"][i][1])] for i, name in enumerate(names)
        },
        "query_only": {m: _rounded(np.mean([r[m][0] for r in runs["T_inst"]])) for m in ("preference", "top1")},
        "patched": {
            kind: {m: _rounded(np.mean([r[m][1:] for r in rows], axis=0)) for m in ("preference", "top1", "contrast")}
            for kind, rows in runs.items()
        },
        "scan": {back: _rounded(np.mean([r["preference"][1:] for r in rows], axis=0)) for back, rows in scans.items()},
        "probe": {"accuracy": _rounded(accuracy), "shuffled": _rounded(shuffled)},
    }


def headline(figures: Figures) -> Figures:
    """What is compared between seeds: the best layer's preference and top-1, and the answers on held-out pairs."""
    patched = figures["patched"]
    return {
        "T_inst preference": max(patched["T_inst"]["preference"]),
        "T_inst top-1": max(patched["T_inst"]["top1"]),
        "keyword preference": max(patched["keyword"]["preference"]),
        "query-only top-1": figures["query_only"]["top1"],
        "answers seen": figures["answered"]["seen"],
        "answers held-out": figures["answered"]["held-out"],
    }


def _rounded(value: Any) -> Any:
    """Rounded to two decimals, as shown; a list for arrays."""
    found = np.round(np.asarray(value, dtype=np.float64), 2) + 0.0
    return found.tolist()


def _accuracies(model: Model, collection: str, name: str, split: str) -> tuple[float, float]:
    """Shares of instructed prompts whose top token is one of the task's answers, and the right one."""
    pair = catalogue.find(name, collection=collection)
    rows = build(pair, model.tokenizer, samples=SAMPLES, seed=SEED, split=split).rows
    table = sweep(
        model,
        source=[s.source for s in rows],
        target=[s.instructed for s in rows],
        answer=[s.answer_id for s in rows],
        patches=[],
    )
    options = set(model.tokenizer.convert_tokens_to_ids(list(pair.task.options)))
    followed = np.mean([top[0] in options for top in table["top_ids"].to_pylist()])
    return float(followed), float(np.mean(table["rank"].to_numpy() == 1))


def _patched(model: Model, rows: tuple[Sample, ...], sources: list) -> dict[str, np.ndarray]:
    """Preference, top-1 and contrast effect of `resid_post` at the first token: unpatched, then by layer."""
    table = sweep(
        model,
        source=sources,
        target=[s.target for s in rows],
        answer=[s.answer_id for s in rows],
        contrast=[s.contrast_id for s in rows],
        patches=[f"resid_post.{layer}@0~-1" for layer in range(model.layers)],
    )
    logit, contrast, rank = (table[c].to_numpy().reshape(-1, len(rows)) for c in ("logit", "contrast", "rank"))
    margin = logit - contrast
    return {
        "preference": (margin > 0).mean(axis=1),
        "top1": (rank == 1).mean(axis=1),
        "contrast": (margin - margin[0]).mean(axis=1),
    }


def _probe(model: Model, collection: str, names: list[str]) -> tuple[list[float], list[float]]:
    """Accuracy by layer of a linear probe over all tasks at T_inst, split by frame; and with shuffled labels."""
    states: list[list[np.ndarray]] = [[] for _ in range(model.layers)]
    labels, groups = [], []
    places = [("resid_post", layer) for layer in range(model.layers)]
    for k, name in enumerate(names):
        for wording in catalogue.tasks(collection)[name].instructions[:WORDINGS]:
            ids = torch.tensor([model.tokenizer.encode(wording.text)])
            with torch.inference_mode(), read(model, places) as seen:
                model.hf(input_ids=ids, use_cache=False)
            for layer, place in enumerate(places):
                states[layer].append(seen[place][0, -1].double().numpy())
            labels.append(k)
            groups.append(wording.family)
    wrong = np.random.default_rng(SEED).permutation(labels)
    return [_accuracy(s, labels, groups) for s in states], [_accuracy(s, wrong, groups) for s in states]


def _accuracy(states: list[np.ndarray], labels: Any, groups: list[str]) -> float:
    x, y = np.stack(states), np.asarray(labels)
    hits = 0
    for train, test in GroupKFold(n_splits=3).split(x, y, groups):
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=0.1))
        hits += int((probe.fit(x[train], y[train]).predict(x[test]) == y[test]).sum())
    return hits / len(y)
