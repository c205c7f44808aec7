"""Under the flows: whether the real model agrees, how exact the sums are, and what a patched vector opens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from ivx.analyses.pathways.request import PathwaysRequest
from ivx.analyses.pathways.result import Pathways
from ivx.analyses.place.found import At
from ivx.charts.overlap import Size, faithfulness_chart
from ivx.charts.palette import Palette
from ivx.engine.linear.records import RANK, TOLERANCE
from ivx.engine.linear.records import Fidelity as Sums
from ivx.jobs.job import View
from ivx.ui.kit import address, blanks, pieces, progress, session
from ivx.ui.pathways import flows
from ivx.ui.pathways.readings import circuit_reading, patched_reading
from ivx.vocabulary import position, source_token

PUBLISHED = {"patch-from": "", "patch-at": ""}
"""Where the vector is taken from and put in the patched run, by their names in the view: as the request has it."""
OPENED = "ivx.pathways.opened"


def best(at: At) -> dict[str, str]:
    """The same at a place."""
    return {"patch-from": at.source_token, "patch-at": at.position}


def ticks(result: Pathways) -> list[dict[str, Any]]:
    """The surrogate's own checks on this very run, as a receipt has them."""
    told = result.found.fidelity
    most = TOLERANCE.get(result.receipt["dtype"], 0.0)
    apart = max(abs(1 - told.cosine), abs(1 - told.ratio))
    return [
        {
            "name": "nodes and edges sum to the logit at every layer",
            "passed": told.deviation <= most,
            "deviation": told.deviation,
            "detail": "largest error of any sum, relative to what is summed",
        },
        {
            "name": f"all edges kept: cosine {told.cosine:.6f}, norm ratio {told.ratio:.6f}",
            "passed": apart <= most,
            "deviation": None,
            "detail": "whole logits summed from parts, against the model’s own",
        },
    ]


def circuit(result: Pathways, now: View, p: Palette) -> None:
    """The causal check: circuits of the strongest heads, or edges where they were asked for, in the real model."""
    curves = result.faithfulness()
    if not curves:
        pieces.head("In the real model", "being computed" if now.live else "not checked")
        if now.state == "done" and result.request.ablation != "none":
            pieces.note(
                "The whole model and none of its parts are too close to tell: choose another ablation under More."
            )
        return
    curve = curves[-1]
    pieces.head("In the real model", curve.unit, more=f"{curve.unit}, others by {curve.ablation}")
    sizes = [Size(x.n, x.kept, x.low, x.high, x.random, x.random_low, x.random_high) for x in curve.points]
    text = f"Faithfulness of {len(sizes)} circuits of {curve.unit} beside random sets"
    chart = faithfulness_chart(sizes, unit=curve.unit, palette=p, alt_text=text)
    st.vega_lite_chart(chart, theme=None, width="stretch")
    pieces.reading(circuit_reading(curve), result.receipt)


def opened(request: PathwaysRequest, result: Pathways, p: Palette) -> None:
    """Folded section: the run whose bare prompt has the vector patched in."""
    with st.expander("Does the instruction’s vector, patched into a prompt without an instruction, open this pathway?"):
        _patched(request, result, p)


def fidelity(result: Pathways) -> None:
    """Our sum of logits beside the published variant's."""
    told, sums = result.found.fidelity, result.found.fidelity.published
    rows = [("these pathways, all edges", f"{told.cosine:.6f}", f"{told.ratio:.6f}", "worst of some samples")]
    if sums:
        paths, n = f"{sums[0].paths:,} paths", len(sums)
        rows.append(
            (
                f"published sum of {paths}",
                *_ends([one.everything for one in sums]),
                f"{n} samples" if n > 1 else "1 sample",
            )
        )
        ranked = [one.ranked for one in sums if one.ranked is not None]
        if ranked:
            drawn = ", of some drawn by chance" if sums[0].drawn else ""
            rows.append(
                (f"… those that rank the answer in the first {RANK}{drawn}", *_ends(ranked), f"{len(ranked)} of {n}")
            )
    cells = "".join(
        "<tr>"
        + "".join(f'<td class="{"num" if i in (1, 2) else "soft"}">{cell}</td>' for i, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    st.html(
        '<div class="ivx-card"><div class="top"><h2>Summed logits against the model’s own</h2>'
        '<span class="soft">1 and 1 is exact</span></div><table><tr class="soft"><td></td><td class="num">cosine</td>'
        f'<td class="num">norm ratio</td><td></td></tr>{cells}</table></div>'
    )


def _ends(found: Sequence[Sums]) -> tuple[str, str]:
    """Least and largest cosine, and norm ratio."""
    cosines, ratios = [one.cosine for one in found], [one.ratio for one in found]
    if len(found) == 1:
        return f"{cosines[0]:.2f}", f"{ratios[0]:.3g}"
    return f"{min(cosines):.2f} to {max(cosines):.2f}", f"{min(ratios):.3g} to {max(ratios):.3g}"


def _patched(request: PathwaysRequest, result: Pathways, p: Palette) -> None:
    if address.from_url(address.RUN, "") and "patched" not in result.found.slots:
        pieces.note("This stored run was not asked for with a patch: go back to the controls to ask for one.")
        return
    opened = None if address.from_url(address.RUN, "") else st.session_state.get(OPENED)
    at = None if opened is None else opened.at
    middle = str(min(result.layers - 1, result.layers // 2 - 1) if at is None else at.layer)
    source = address.from_url("patch-from", "") or request.source_token
    put = address.from_url("patch-at", "") or request.position
    layers = [str(layer) for layer in range(result.layers)]
    asked = address.from_url("patch", "", ["", *layers])
    one, two = st.columns([1, 2], gap="small", vertical_alignment="bottom")
    layer = one.selectbox("Written at the output of layer", layers, index=int(asked or middle), key="patch-layer")
    if two.button("Trace the patched run", key="patch-run"):
        st.session_state["patch"] = asked = str(layer)
    if not asked:
        where = f"the vector of {source_token(source).label} at {position(put).caption}"
        pieces.note(f"One more run: the bare prompt, and the same with {where}.")
        return
    wanted = replace(
        request,
        patch_layer=int(asked),
        source_token=source,
        position=put,
        ablation="none",
        paths=0,
        published=False,
    )
    found = result if "patched" in result.found.slots else None
    if found is None:
        session.job(wanted, compute=True)

    def blank(now: View | None) -> None:
        about = "The bare prompt is traced without the vector, and with it."
        blanks.card({"": wanted}, {"": now}, about=about, button="Trace the patched run", key="-patched")

    def draw(now: View) -> None:
        if "patched" not in now.result.found.slots or len(now.result.found.overlaps) < 3:
            blank(now)
            return
        both = flows.drawn_of(now.result, int(flows.EDGES), ("bare", "patched"))
        for place, drawing, name in zip(
            st.columns(2, gap="small"), both, ("without", f"with, at L{asked}"), strict=True
        ):
            with place:
                pieces.head(name, f"{now.result.total(drawing.run):+.1f}")
                flows.picture(now.result, drawing, p, first=drawing.run == "bare")
        pieces.reading(patched_reading(now.result), now.result.receipt)

    if found is not None:
        draw(View("done", 1, 1, None, found, "", "", stored=True))
    else:
        progress.follow(wanted, draw=draw, blank=blank)
