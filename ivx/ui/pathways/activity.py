"""Which heads are active under either instruction, one or two a layer, folded under the flows."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ivx.analyses.pathways.activity import KS, Activity, Rate
from ivx.analyses.pathways.result import Pathways
from ivx.charts.heatmap import DATA, Tile, heatmap
from ivx.charts.palette import Palette
from ivx.ui.kit import address, pieces
from ivx.ui.pathways.flows import row_of

ASKED = "active"
"""Its part of the view: how many heads a layer are counted; empty while it is closed."""
SIDES = ("here", "there", "difference")
MORE = "share of samples in which a head is among the strongest of its layer, by its part of the logit"


@st.cache_data(max_entries=20, show_spinner=False, hash_funcs={Pathways: lambda r: (r.run_id, r.table.num_rows)})
def _activity(result: Pathways, k: int) -> Activity:
    return result.activity(k)


def show(result: Pathways, p: Palette) -> None:
    """The fold: both instructions' maps of heads, and their difference."""
    asked = address.from_url(ASKED, "", ["", *map(str, KS)])
    with st.expander("Which heads are active in every sample?", expanded=bool(asked)):
        if not result.found.overlaps:
            pieces.note("Told once both instructions’ samples are split.")
            return
        names = [str(k) for k in KS]
        if st.session_state.get("active-k") not in names:
            st.session_state["active-k"] = asked or names[0]
        picked = st.segmented_control(
            "Strongest of each layer",
            names,
            key="active-k",
            required=True,
            on_change=_chosen,
            format_func=lambda n: f"{n} head{'s' * (n != '1')}",
        )
        k = int(picked or names[0])
        _draw(_activity(result, k), result, p)


def _chosen() -> None:
    st.session_state[ASKED] = str(st.session_state["active-k"])


def _draw(found: Activity, result: Pathways, p: Palette) -> None:
    titles = (result.request.task, str(result.receipt["contrast"]), "Difference")
    for place, side, title in zip(st.columns(3, gap="medium"), SIDES, titles, strict=True):
        with place:
            rates = side != "difference"
            pieces.head(title, "% of samples" if rates else "points", more=MORE if rates else "hatched: may be 0")
            st.vega_lite_chart(
                _map(found, side, result, p), key=f"active-{side}-{result.run_id}", theme=None, width="stretch"
            )
    spearman = (
        "" if found.spearman is None or found.spearman_low is None or found.spearman_high is None
        else f", Spearman’s correlation <b>{found.spearman:.2f}</b> [{found.spearman_low:.2f}, "
        f"{found.spearman_high:.2f}]"
    )  # fmt: skip
    top = found.apart[:3]
    apart = "; ".join(
        f"L{rate.layer} H{rate.head} {100 * rate.difference:+.0f} points "
        f"[{100 * rate.low:+.0f}, {100 * rate.high:+.0f}]"
        for rate in top
    )
    differ = f"{len(found.apart)} of {len(found.rates)} heads differ, most {apart}" if top else "no head differs"
    pieces.reading(
        f"Both use the same heads to <b>{found.jaccard:.0%}</b> [{found.jaccard_low:.0%}, {found.jaccard_high:.0%}] "
        f"(Jaccard){spearman}; {differ}; n = {found.samples}.".replace("-", "−"),
        result.receipt,
    )


def _map(found: Activity, side: str, result: Pathways, p: Palette) -> dict[str, Any]:
    spec = heatmap(
        [_tile(rate, side) for rate in found.rates],
        [f"H{head}" for head in range(result.heads)],
        layers=result.layers,
        scale=100,
        palette=p,
        row=min(30, row_of(result.layers)),
        row_labels=side == "here",
        mono=False,
        digits=0,
        alt_text=f"Heads among the {found.k} strongest of their layer, {side}",
    )
    if side != "difference":  # a share has no sign
        spec["datasets"][DATA] = [{**row, "text": row["text"].lstrip("+")} for row in spec["datasets"][DATA]]
    return spec


def _tile(rate: Rate, side: str) -> Tile:
    if side == "difference":
        sure = rate.low > 0 or rate.high < 0
        value, low, high = rate.difference, rate.low, rate.high
    else:
        sure = True
        value, low, high = (getattr(rate, side + end) for end in ("", "_low", "_high"))
    told = f"L{rate.layer} head {rate.head}: {100 * value:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
    return Tile(rate.layer, rate.head, 100 * value, "ok" if sure else "control", told)
