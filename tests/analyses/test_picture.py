"""Pictures: one figure of one or several results that says what it is, with the numbers in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ivx.analyses.compare.exchange import Exchange
from ivx.analyses.compare.request import Compared
from ivx.analyses.compare.result import Comparison, Member
from ivx.analyses.family import REAL
from ivx.analyses.picture import compared, picture
from ivx.charts.palette import DARK
from ivx.errors import IvxError
from ivx.jobs.compute import id_of, stored
from ivx.jobs.shipped import shipped
from ivx.store.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def toy(store: Store) -> dict[str, Any]:
    """The runs of one toy checkpoint by kind."""
    return {one.kind: stored(store, one) for one in reversed(shipped()) if one.checkpoint == "tiny-sft"}


def texts(svg: str) -> str:
    """All that is written in a picture, as one line."""
    return " ".join(re.findall(r">([^<>]+)<", svg))


def test_a_glance_is_one_picture_with_three_panels(toy: dict[str, Any], tmp_path: Path) -> None:
    shown = [toy[kind] for kind in ("effects", "separability", "game")]
    found = picture(*shown, title="Where does the instruction live?")
    found.save(tmp_path / "glance.svg")
    svg = (tmp_path / "glance.svg").read_text()
    head = re.match(r"<svg[^>]*><title>(.*?)</title><desc>(.*?)</desc>", svg)
    assert head and head[1] == "Where does the instruction live?" and "tiny-sft" in head[2]
    written = texts(svg)
    for panel in ("Causal effect", "Linear separability", "Interactions"):
        assert panel in written
    assert "n = 40 (effects), 520 (separability), 20 (game)" in written
    assert all(one.run_id in written for one in shown), "the caption names the runs"
    top = max(shown[0].cells("resid_post"), key=lambda cell: cell.value)
    assert f"+{top.value:.1f}" in written, "numbers stand in the cells of a picture, too"
    assert set(found.plotted["figure"].to_pylist()) == {"resid_post", "pairs"}
    assert found.plotted.num_rows == len(shown[0].cells("resid_post")) + shown[1].plotted().num_rows + 28


def test_effect_and_interaction_share_a_scale_in_a_glance(toy: dict[str, Any]) -> None:
    (row, *_), domains = picture(*(toy[k] for k in ("effects", "separability", "game"))).spec["vconcat"], []
    for panel in (row["hconcat"][0], row["hconcat"][2]):
        domains.append(panel["layer"][0]["encoding"]["color"]["scale"]["domain"])
    assert domains[0] == domains[1]


def test_a_family_is_one_picture_in_either_theme(store: Store, tmp_path: Path) -> None:
    transplants: dict[Any, Any] = {}
    place, task = stored(store, REAL.anchor), REAL.tasks[0]
    assert place is not None
    for key in REAL.keys(task):
        vectors = id_of(store, REAL.vectors(key[1], task, place.at))
        transplants[key] = stored(store, REAL.transplant(key[2], task, place.at, vectors=vectors))
    exchange = Exchange(REAL.names, (task,), transplants)
    own = next(cell for cell in exchange.cells("contrast") if cell.donor == cell.receiver == REAL.subject)
    found = picture(place, exchange, palette=DARK)
    written = texts(found.svg())
    for said in ("Where it acts", "Who reads it", "Whose vector is read by whom", *REAL.names, task, "n = 20 (place)"):
        assert said in written
    assert found.spec["background"] == DARK.background and f"{own.followed.value:.0%} follow" in written
    assert "is not shown to follow" in written or "does not follow" in written, "what must be said first is said"
    found.save(tmp_path / "family.png")
    assert (tmp_path / "family.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", ["effects", "interactions", "separability", "vectors"])
def test_one_result_is_a_picture_of_all_its_figures(toy: dict[str, Any], kind: str) -> None:
    found = picture(toy[kind])
    written = texts(found.svg())
    assert "tiny-sft" in written and "n = " in written and toy[kind].run_id in written
    assert len(found.spec["vconcat"][0]["hconcat"]) == len(toy[kind].figure_names)
    assert found.plotted.equals(toy[kind].plotted())


def test_what_is_no_picture_is_refused(toy: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(IvxError, match="of one result at least"):
        picture()
    with pytest.raises(IvxError, match=r"\.svg or \.png"):
        picture(toy["vectors"]).save(tmp_path / "figure.pdf")
    with pytest.raises(IvxError, match="cannot be written"):
        picture(toy["vectors"]).save(tmp_path / "nowhere" / "figure.svg")


def test_checkpoints_side_by_side_are_one_picture_with_their_differences(store: Store) -> None:
    asked = Compared("animal/colour")
    names = ("tiny-base", "tiny-sft")
    found = Comparison(asked, tuple(Member(name, stored(store, asked.part("effects", name))) for name in names))
    assert all(member.effects is not None for member in found.members)
    made = compared(found)
    written = texts(re.sub("<desc>.*?</desc>", "", made.svg()))  # which says it once more, for those who hear it
    for said in ("what training changed", "tiny-base, tiny-sft", "n = 40", "tiny-sft − tiny-base", "less the earlier"):
        assert said in written
    for member in found.members:
        assert member.effects is not None and written.count(member.effects.run_id) == 1
    rows = made.plotted.to_pylist()
    assert len(rows) == 3 * 48 and {row["figure"] for row in rows} == {"resid_post", "tiny-sft − tiny-base"}
    means = {(row["figure"], row["checkpoint"], row["cell"]): row["mean"] for row in rows}
    for (figure, _, cell), mean in means.items():
        if figure != "resid_post":
            before, after = (means["resid_post", name, cell] for name in names)
            assert mean == pytest.approx(after - before, abs=1e-6)
    with pytest.raises(IvxError, match="run the effects of each first"):
        compared(Comparison(asked, (*found.members, Member("tiny-dpo"))))
