"""What maps show before the exact cells come: estimates from the first samples, then from more, of all metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ivx
from ivx.analyses.effects import compute as of_effects
from ivx.analyses.interactions import compute as of_interactions
from ivx.engine.linear.curvature import curvature
from ivx.engine.linear.estimate import estimate
from ivx.models.load import load
from ivx.models.model import Model

TASK = "animal/colour"


@pytest.fixture(scope="module")
def model() -> Model:
    return load("tiny-sft")


def told(results: list[Any]) -> list[Any]:
    """The results so far that hold no exact row."""
    return [found for found in results if not found.table.num_rows]


@pytest.mark.parametrize("samples", [3, 10, 40])
def test_effects_are_shaded_from_the_first_samples_then_from_more(model: Model, samples: int) -> None:
    seen: list[Any] = []
    found = ivx.effects(
        model, TASK, samples=samples, sites=("z", "resid_post"), on_progress=lambda r, *_: seen.append(r)
    )
    few, many = of_effects.ESTIMATED_SAMPLES
    stages = [n for n in (min(few, samples), min(many, samples)) if n]
    shades = [result.estimates for result in told(seen)]
    assert len(shades) == len(dict.fromkeys(stages))
    for shade, n in zip(shades, dict.fromkeys(stages), strict=True):
        rows = found.samples.rows[:n]
        for site in ("z", "resid_post"):
            names = [patch for _, _, patch in found.places(site)]
            table = estimate(
                model,
                source=[s.instructed if site == "z" else s.source for s in rows],
                target=[s.target for s in rows],
                answer=[s.answer_id for s in rows],
                contrast=[s.contrast_id for s in rows],
                patches=names,
            )
            logit, contrast = (table[name].to_numpy().reshape(-1, n) for name in ("logit", "contrast"))
            for metric, level in (("logit", logit), ("contrast", logit - contrast)):
                wanted = (level[1:] - level[0]).mean(axis=1)
                assert np.abs(np.array([shade[metric][name] for name in names]) - wanted).max() < 1e-5
    assert len(shades) == 1 or shades[0] != shades[1]


@pytest.mark.parametrize("samples", [1, 5, 20])
def test_pairs_are_shaded_from_one_sample_then_from_more(model: Model, samples: int) -> None:
    seen: list[Any] = []
    found = ivx.interactions(model, TASK, samples=samples, on_progress=lambda r, *_: seen.append(r))
    stages = dict.fromkeys(min(n, samples) for n in of_interactions.ESTIMATED_SAMPLES)
    shades = [result.estimates for result in told(seen)]
    assert len(shades) == len(stages) and found.estimates == shades[-1]
    for shade, n in zip(shades, stages, strict=True):
        rows = found.samples.rows[:n]
        logit, contrast = curvature(
            model,
            source=[s.source for s in rows],
            target=[s.target for s in rows],
            answer=[s.answer_id for s in rows],
            contrast=[s.contrast_id for s in rows],
            patches=[player.address for player in found.players],
        )
        assert contrast is not None
        for metric, mean in (("logit", logit.mean(0)), ("contrast", (logit - contrast).mean(0))):
            for text, (one, two) in found.sets[2].items():
                assert shade[metric][text] == pytest.approx(float(mean[one, two]), abs=1e-5)
