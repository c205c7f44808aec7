"""A report as one page of HTML: figures drawn into it, no script, and nothing that is fetched."""

from __future__ import annotations

import json
import re
from html import escape
from importlib.resources import files
from typing import Any

from ivx.analyses import inscription
from ivx.analyses.base import Result
from ivx.analyses.registry import analysis_of
from ivx.formats import pictures
from ivx.patching import gate
from ivx.report import numbers
from ivx.report.contents import Contents, Section, made_by

LARGEST = 1_500_000
"""Most characters of a drawn figure; a larger one is left out, and said so."""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What a browser lets the page fetch: nothing."""
_NAMED = re.compile(r'(\bid="|url\(#|href="#|aria-labelledby=")([\w-]+)')
_DOCTOR = "Checks"
_RECEIPTS = "Receipts"


def page_of(found: Contents) -> str:
    """The page."""
    headings = [section.part.heading for section in found.sections] + [_DOCTOR, _RECEIPTS]
    listed = "".join(f'<li><a href="#{_anchor(name)}">{name}</a></li>' for name in headings)
    body = "".join(_section(section) for section in found.sections)
    style = files("ivx.report").joinpath("style.css").read_text(encoding="utf-8")
    title = f"{found.checkpoint}: an inspection"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{style}</style></head><body><h1>{escape(found.checkpoint)}</h1>{_lede(found)}"
        f"<nav><ol>{listed}</ol></nav>{_short(found)}{body}{_checks(found)}{_receipts(found)}</body></html>"
    )


def _lede(found: Contents) -> str:
    quick = " What was not stored was computed on few samples." if found.quick else ""
    said = (
        f"What {made_by()} found in these weights (fingerprint {found.fingerprint}), asked about {found.task}.{quick}"
    )
    return f'<p class="soft">{escape(said)}</p>'


def _short(found: Contents) -> str:
    """The first finding of each part."""
    rows = []
    for section in found.sections:
        said = numbers.findings(section.found)[0] if section.found is not None else f"Not there: {section.refused}."
        link = f'<a href="#{_anchor(section.part.heading)}">{section.part.heading}</a>'
        rows.append(f'<tr><td>{link}</td><td class="text">{escape(said)}</td></tr>')
    return f'<h3>In short</h3><div class="scroll"><table>{"".join(rows)}</table></div>'


def _section(section: Section) -> str:
    part, found = section.part, section.found
    head = f'<h2 id="{_anchor(part.heading)}">{part.heading}</h2><p>{escape(part.question)}</p>'
    if found is None:
        return f'{head}<p class="found gate">Not there: {escape(section.refused)}.</p>'
    said = gate.opening(found.receipt)
    first = f'<p class="found gate">{escape(said)}</p>' if said else ""
    told_lines = "".join(f"<p>{escape(line)}</p>" for line in numbers.findings(found))
    about = "; ".join(inscription.about([found], "contrast")[-1:])
    under = f'<p class="soft">{escape(about)} · run {found.run_id}, {section.origin}</p>'
    return f'{head}{first}<div class="found">{told_lines}</div>{under}{_figures(part.name, found)}'


def _figures(name: str, found: Result[Any]) -> str:
    rows, drawn = found.plotted().to_pylist(), []
    words = analysis_of(found.request.kind).words
    for figure, spec in found.figures().items():
        picture = _own_names(pictures.svg(spec), f"{name}-{figure}")
        if len(picture) > LARGEST:
            drawn.append(f'<p class="soft">The figure {escape(figure)} is too large for a page: see the app.</p>')
            continue
        caption = escape(words.caption(found, figure, "contrast"))
        mine = numbers.top([row for row in rows if row["figure"] == figure])
        drawn.append(
            f'<figure><div class="plot">{picture}</div><figcaption>{caption}</figcaption></figure>{_table(mine)}'
        )
    return "".join(drawn)


def _own_names(picture: str, name: str) -> str:
    """The picture with names that no other one on the page has; its parts would else be taken from the first."""
    own = re.sub(r"\W+", "-", name)
    return _NAMED.sub(lambda found: f"{found[1]}{own}-{found[2]}", picture)


def _table(rows: list[numbers.Row]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{name}</th>" for name in numbers.HEADS)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in numbers.cells(row)) + "</tr>" for row in rows
    )
    what = f"{rows[0]['what']}, {rows[0]['unit']}" if rows[0]["what"] else rows[0]["unit"]
    return (
        f"<details><summary>The {len(rows)} largest, in numbers ({escape(str(what))})</summary>"
        f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div></details>'
    )


def _checks(found: Contents) -> str:
    when = "proved for this report" if found.proved_now else "proved when the runs were computed"
    rows = "".join(
        f'<tr><td class="{"yes" if one["passed"] else "no"}">{"holds" if one["passed"] else "FAILS"}</td>'
        f'<td class="text">{escape(str(one["name"]))}</td><td class="text">{escape(str(one["detail"]))}</td></tr>'
        for one in found.checks
    )
    return (
        f'<h2 id="{_anchor(_DOCTOR)}">{_DOCTOR}</h2><p>The facts that every patch relies on, {when} on this very '
        f'checkpoint.</p><div class="scroll"><table>{rows}</table></div>'
    )


def _receipts(found: Contents) -> str:
    """Each run's receipt, whose checks stand above."""
    told_ones = []
    for one in found.sections:
        if one.found is not None:
            plain = {name: value for name, value in one.found.receipt.items() if name != "checks"}
            text = json.dumps(plain, indent=1, ensure_ascii=False, default=str)
            label = f"{one.part.heading}, run {one.found.run_id}"
            told_ones.append(f"<details><summary>{escape(label)}</summary><pre>{escape(text)}</pre></details>")
    return (
        f'<h2 id="{_anchor(_RECEIPTS)}">{_RECEIPTS}</h2><p>What was asked, of which weights and with which versions: '
        f"enough to compute every number again.</p>{''.join(told_ones)}"
    )


def _anchor(heading: str) -> str:
    return heading.lower()
