"""A reading as text for a terminal."""

from __future__ import annotations

from typing import Any

from ivx.analyses.base import Words


def text_of(summary: dict[str, Any]) -> str:
    """One line per layer, the last on top: the word read at the last token; then the continuation."""
    request, last = summary["request"], len(summary["tokens"]) - 1
    lines = [f"{request['checkpoint']}, run {summary['run']}: {' '.join(summary['tokens'])}"]
    for cell in reversed([cell for cell in summary["cells"] if cell["position"] == last]):
        read = ", ".join(f"{top['word']} {top['probability']:.0%}" for top in cell["top"])
        changed = f"  changed by {cell['change']:.0%}" if request["source"] is not None else ""
        lines.append(f"L{cell['layer']:<3} {read}{changed}")
    lines.append(f"writes {summary['text']!r}")
    if request["source"] is not None:
        lines.append(f"with a random vector of the state's norm {summary['control_text']!r}")
    lines.append("note: early layers are not calibrated: nothing trained them to be read so")
    return "\n".join([*lines, *(f"note: {warning}" for warning in summary["warnings"])])


WORDS: Words[Any] = Words(text_of)
