"""A report's tables as LaTeX with booktabs: a document that compiles, from which an appendix takes what it wants."""

from __future__ import annotations

from collections.abc import Sequence

from ivx.analyses.behaviour.result import Behaviour
from ivx.analyses.place.result import Place
from ivx.formats.tex import escaped
from ivx.report import numbers
from ivx.report.contents import Contents, made_by


def document_of(found: Contents) -> str:
    """The document."""
    tables = [_behaviour(found), *_tops(found), _readers(found)]
    title = escaped(f"{found.checkpoint}: tables")
    about = escaped(f"Weights {found.fingerprint}, task {found.task}; made by {made_by()}.")
    return "\n".join(
        [
            r"\documentclass{article}",
            r"\usepackage[utf8]{inputenc}\usepackage[T1]{fontenc}\usepackage{booktabs}",
            r"\usepackage[margin=2.2cm]{geometry}",
            r"\begin{document}",
            rf"\section*{{{title}}}",
            about,
            *filter(None, tables),
            r"\end{document}",
            "",
        ]
    )


def _table(caption: str, label: str, columns: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [" & ".join(map(escaped, row)) + r" \\" for row in rows]
    return "\n".join(
        [
            "",
            r"\begin{table}[htbp]\centering\small",
            rf"\caption{{{escaped(caption)}}}\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(map(escaped, head)) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _behaviour(found: Contents) -> str:
    own = found.results.get("behaviour")
    if not isinstance(own, Behaviour):
        return ""
    rows = [
        (
            task,
            way,
            cell.told.followed.told,
            cell.bare.followed.told,
            cell.following.difference.told,
            str(cell.following.n),
        )
        for (task, way), cell in own.cells.items()
    ]
    caption = (
        f"{found.checkpoint}: share of queries whose text begins with the whole answer, told and untold, with Wilson's "
        f"95 % interval, and their paired difference with Newcombe's. Run {own.run_id}."
    )
    head = ("Task", "Asked by", "Told", "Untold", "Difference", "n")
    return _table(caption, "behaviour", "llrrrr", head, rows)


def _tops(found: Contents) -> list[str]:
    """A table of the strongest cells of each part that has a map."""
    made = []
    for name, own in found.results.items():
        if isinstance(own, Behaviour | Place):
            continue
        rows = numbers.top(own.plotted().to_pylist())
        if not rows:
            continue
        caption = (
            f"{found.checkpoint}, {found.task}, {name}: the {len(rows)} largest that are beyond their control "
            f"({rows[0]['what']}, {rows[0]['unit']}), with 95 % intervals. Run {own.run_id}."
        )
        made.append(_table(caption, name, "lrrrrrl", numbers.HEADS, [numbers.cells(row) for row in rows]))
    return made


def _readers(found: Contents) -> str:
    own = found.results.get("place")
    readers = own.readers() if isinstance(own, Place) else None
    if own is None or readers is None:
        return ""
    steps = [*readers.steps, *(head for head in readers.heads if head.state == "ok")]
    rows = [
        (
            f"block {step.block}" + ("" if step.head is None else f", head {step.head}"),
            f"{step.value:+.2f} [{step.low:+.2f}, {step.high:+.2f}]",
            f"{step.step:+.2f} [{step.step_low:+.2f}, {step.step_high:+.2f}]",
            f"{step.control:+.2f}",
            numbers.VERDICTS.get(step.state, step.state),
        )
        for step in steps
    ]
    caption = (
        f"{found.checkpoint}, {found.task}: what has been read of the vector of layer {readers.layer} by each block, "
        f"of {readers.whole:+.2f} logits in all, with 95 % intervals, and what the block adds to it. Run {own.run_id}."
    )
    return _table(caption, "readers", "lrrrl", ("Reader", "Read so far", "Step", "Control", "Verdict"), rows)
