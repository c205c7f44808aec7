"""Readings of pathways: sentences made by rules from findings, each with its interval and its reference."""

from __future__ import annotations

from html import escape

from ivx.analyses.pathways.drawing import Drawing
from ivx.analyses.pathways.faithfulness import Curve
from ivx.analyses.pathways.overlap import Overlap
from ivx.analyses.pathways.result import Pathways
from ivx.charts.numbers import signed


def unit_of(result: Pathways) -> str:
    """Name of what is split."""
    return "logit difference" if result.request.of == "contrast" else "logit"


def percent(share: float) -> str:
    """A share in per cent, with a real minus."""
    return f"{share:.0%}".replace("-", "−")


def of_whole(result: Pathways, share: float | None) -> str:
    """A part's share of what is split, or why it has none."""
    if share is None:
        return f"the {unit_of(result)} is not different from 0"
    return f"{percent(share)} of the {unit_of(result)}"


def span(low: float, high: float) -> str:
    """An interval in per cent."""
    return f"[{percent(low)}, {percent(high)}]"


def name_of_task(result: Pathways, run: str) -> str:
    """What is asked for in a run, in short."""
    name = result.request.task if run == "here" else str(result.receipt["contrast"])
    return name.rpartition("/")[2].replace("-", " ")


def edge_label(result: Pathways, run: str, start: str | None, end: str | None) -> str:
    """Tokens of an edge, as text."""
    labels = {slot.key: slot.label for slot in result.found.slots[run]}
    names = [labels.get(key, key) for key in (start, end) if key is not None]
    return " → ".join(names)


def flow_reading(result: Pathways, drawing: Drawing) -> str:
    """The strongest edge with its share and interval, and what the drawing explains."""
    if not drawing.edges:
        return "No edge between tokens."
    top = drawing.edges[0]
    spread = "" if top.low is None or top.high is None else f" [{signed(top.low, 2)}, {signed(top.high, 2)}]"
    text = (
        f"Strongest: <b>L{top.layer} H{top.head}: {escape(edge_label(result, drawing.run, top.start, top.end))}</b>, "
        f"{signed(top.value, 2)}{spread}, {of_whole(result, top.share)}."
    )
    for one in result.found.explained.get(drawing.run, ()):
        if one.edges == len(drawing.edges) and one.share is not None and one.low is not None and one.high is not None:
            beyond = "; what is left out works against the answer" if one.low > 1 else ""
            text += f" Drawn: <b>{percent(one.share)}</b> of it {span(one.low, one.high)}{beyond}."
    return text


def shared_reading(drawn: tuple[Drawing, Drawing], n: int) -> str:
    """How many of the drawn edges both have."""
    both = len(drawn[0].shared)
    return f"Of {n} edges each, <b>{both} {'is' if both == 1 else 'are'} shared</b>."


def overlap_reading(result: Pathways) -> str:
    """The layer with the least overlap, beside one instruction's overlap with itself."""
    told = result.overlap()
    apart = [layer for layer in told.layers if layer.apart == "means"]
    either = [layer for layer in told.layers if layer.apart == "either"]
    unsure = (
        f" {', '.join(f'L{layer.layer}' for layer in either)} differ{'s' * (len(either) == 1)} in means or in spread."
        if either
        else ""
    )
    if not apart:
        return f"No layer takes other routes than one instruction’s own (grey): no evidence here.{unsure}"
    least = min(apart, key=lambda layer: layer.jaccard)
    every = "every layer differs" if len(apart) == len(told.layers) else f"{len(apart)} of {len(told.layers)} differ"
    return (
        f"Lowest at L{least.layer}: <b>{least.jaccard:.0%}</b>, one with itself (grey) {least.reference:.0%}; "
        f"{every}.{unsure}"
    )


def checkpoints_reading(overlap: Overlap) -> str:
    """The layer where two checkpoints are least alike, beside what each has with itself on other samples."""
    least = min(overlap.layers, key=lambda layer: layer.jaccard - layer.reference)
    return (
        f"Least alike at L{least.layer}: <b>{least.jaccard:.0%}</b>, each with itself on other samples (grey) "
        f"{least.reference:.0%}. Not tested: a layer counts where it is far from the grey."
    )


LEFT_OUT = {
    "mean": "What is left out writes its mean.",
    "zero": "What is left out writes nothing.",
    "resample": "What is left out writes another sample’s.",
}


def circuit_reading(curve: Curve) -> str:
    """The circuit that most exceeds random sets of its size, and the sizes that are no better than random."""
    beats = [point for point in curve.points if point.low > point.random_high]
    weak = [point.n for point in curve.points[:-1] if point.low <= point.random_high]
    text = f"Area {curve.area:.2f}, random sets {curve.random_area:.2f}.".replace("-", "−")
    if beats:
        best = max(beats, key=lambda point: point.kept - point.random)
        text = (
            f"The <b>{best.n}</b> strongest keep <b>{percent(best.kept)}</b> {span(best.low, best.high)}, random sets "
            f"{percent(best.random)} {span(best.random_low, best.random_high)}. {text}"
        )
    if weak:
        text += f" No better than random sets at {', '.join(map(str, weak))}."
    return f"{text} {LEFT_OUT[curve.ablation]}"


def patched_reading(result: Pathways) -> str:
    """Whether the patched vector makes the bare run more like the told one, layer by layer."""
    bare, patched = result.overlap("bare").layers, result.overlap("patched").layers
    layer = int(result.request.patch_layer or 0)
    gains = [(b.layer, q.jaccard - b.jaccard, q.low > b.high) for b, q in zip(bare, patched, strict=True)]
    sure = [(at, gain) for at, gain, clear in gains if clear and at > layer]
    text = (
        f"Told {signed(result.total(), 2)}, bare {signed(result.total('bare'), 2)}, with the vector at L{layer} "
        f"<b>{signed(result.total('patched'), 2)}</b>. "
    )
    if not sure:
        return f"{text}No layer behind it becomes more like the told run’s beyond the spread of halves."
    at, gain = max(sure, key=lambda pair: pair[1])
    many = f"{len(sure)} layers behind it become" if len(sure) > 1 else "1 layer behind it becomes"
    return f"{text}{many} more like the told run’s, most L{at} ({signed(100 * gain, 0)} points)."
