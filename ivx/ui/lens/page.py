"""The Patch lens page's parts: two prompts read layer by layer, and the second one with a state of the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

import streamlit as st

from ivx.analyses.lens.request import LensRequest, place_of
from ivx.analyses.lens.result import Reading
from ivx.analyses.picture import picture
from ivx.archive import pack
from ivx.charts.palette import Palette
from ivx.engine.address import Spot
from ivx.formats import sheet
from ivx.jobs.compute import Unstored
from ivx.jobs.job import View
from ivx.models.registry import embedded
from ivx.numeral import index_of
from ivx.patching import gate
from ivx.tasks import catalogue
from ivx.tasks.way import Way
from ivx.ui.kit import asking, blanks, checkpoints, choices, clicks, exports, following, pieces, progress, session
from ivx.ui.kit.address import follows, from_url, hold, to_url
from ivx.ui.lens import grids

TASK, QUERY = "animal/colour", "limpet"
"""What the first view asks, wherever a collection has it."""
FIRST, CHATS = "ivx.lens-first", "ivx.lens-chats"
"""The session's default prompts, and whether its way of asking is a chat."""
BLANK = ("",) * 6
CAVEAT = "Early layers are not calibrated: nothing trained them to be read with the last layer’s norm and unembedding."


@dataclass(frozen=True)
class Prompts:
    """What the controls say."""

    checkpoint: str
    source: str
    target: str
    chat: bool
    task: str

    def requests(self) -> dict[str, Unstored]:
        """Requests for both prompts' readings."""
        return {name: self._request(text) for name, text in (("source", self.source), ("target", self.target))}

    def drop(self, take: Spot, put: Spot) -> Unstored:
        """Request for the target with a state of the source."""
        return self._request(self.target, source=self.source, take=place_of(take), put=place_of(put))

    def _request(self, prompt: str, **drop: Any) -> Unstored:
        loading: dict[str, Any] = checkpoints.loading(self.checkpoint)
        return Unstored.request(LensRequest(self.checkpoint, prompt, chat=self.chat, task=self.task, **drop, **loading))


def controls() -> Prompts:
    """Draw the controls: checkpoint, both prompts, and whether they stand in a chat turn."""
    one, two, three, four = st.columns([1.35, 1.3, 0.95, 0.72], gap="medium", vertical_alignment="bottom")
    checkpoint = choices.checkpoint(one)
    first = _task(checkpoints.collection_of(checkpoint))
    following.follow(first, checkpoint)
    way = asks(asking.held())
    follows(FIRST, CHATS)
    own = _defaults(checkpoints.collection_of(checkpoint), way)
    known = [_defaults(collection, Way()) for collection in catalogue.COLLECTIONS]
    known.append(st.session_state.get(FIRST, own))
    st.session_state[FIRST] = own
    for k, key in enumerate(("source_prompt", "target_prompt")):
        # An untouched default gives way to the default of the checkpoint's own tasks.
        if from_url(key, own[k]) in [pair[k] for pair in known]:
            st.session_state[key] = own[k]
        hold(key, own[k])
    source = two.text_input("Source prompt, a state is taken from it", key="source_prompt", max_chars=2_000)
    target = three.text_input("Target prompt, it is put there", key="target_prompt", max_chars=2_000)
    able = checkpoints.has_chat_template(checkpoint)
    told = "on" if way.chats and able else "off"
    if st.session_state.get(CHATS, "off") != told:  # the way of asking has changed
        st.session_state["chat"] = told
    st.session_state[CHATS] = told
    hold("chat", told, ("off", "on"))
    chat = four.segmented_control(
        "Chat template",
        ["off", "on"],
        key="chat",
        required=True,
        disabled=not able,
        help=None if able else "This checkpoint’s tokenizer has none.",
        width="stretch",
    )
    # Free texts ask no task that is known; the first ones do, and whether it is followed is then said first.
    task = first if (source, target) == own and not way.template else ""
    return Prompts(checkpoint, source, target, able and chat == "on", task)


def asks(way: Way) -> Way:
    """What the page makes of a way of asking: free texts of few tokens, alone or in a user's turn."""
    told = asking.told_by_instruction(way)
    return Way("chat" if told.chats else "prompt", told.template)


def _task(collection: str) -> str:
    """The task of the first prompts."""
    known = catalogue.tasks(collection)
    return TASK if TASK in known else next(iter(known))


@st.cache_data(max_entries=60, show_spinner=False)
def _defaults(collection: str, way: Way) -> tuple[str, str]:
    """Default prompts: a told one up to the end of its instruction, and the bare one of a query."""
    task = catalogue.tasks(collection)[_task(collection)]
    query = QUERY if QUERY in task.answers else next(iter(task.answers))
    asked: dict[str, str] = {"field": task.field_of(query), "query": query}
    told = way.told(task.template, instruction=task.instructions[0].text, **asked)
    return told.text[: told.spans["instruction"][1]], way.bare(task.template, **asked).text


def show(prompts: Prompts, p: Palette) -> None:
    """Draw both grids, and the patched one as soon as both its cells are known."""
    for key in ("take", "put"):  # kept from the link before the address bar is written
        from_url(key, "")
    following.said(asks=asks, why="this page reads short free texts")
    requests: dict[str, Any] = dict(prompts.requests())
    readings = {name: _answer(request) for name, request in requests.items()}
    spots = _spots(readings["source"], readings["target"])
    if spots is not None:
        requests["patched"] = prompts.drop(*spots)
        session.job(requests["patched"], compute=True)  # both prompts were asked for, so this is, too
    to_url(
        checkpoint=prompts.checkpoint,
        source_prompt=prompts.source,
        target_prompt=prompts.target,
        chat="on" if prompts.chat else "",
        **choices.parts_of(asking.INITIAL | asking.PLAIN),
        take=st.session_state["take"] if spots is None else grids.named(spots[0]),
        put=st.session_state["put"] if spots is None else grids.named(spots[1]),
    )
    progress.follow_several(requests, draw=lambda views: _draw(prompts, requests, views, spots, p))


def _answer(request: Unstored) -> Reading | None:
    """A request's result, if there is one; on an embedded checkpoint it is computed."""
    job = session.job(request, compute=embedded(request.checkpoint) is not None)
    return None if job is None or job.view().state != "done" else job.view().result


def _spots(source: Reading | None, target: Reading | None) -> tuple[Spot, Spot] | None:
    """The cells to take from and put into, clicked or linked; by default T_inst's and the first token's."""
    if source is None or target is None:
        return None
    layer = 3 * source.layers // 8
    take = _spot("take", source, Spot(layer, len(source.tokens) - 1))
    return take, _spot("put", target, Spot(take.layer, target.first))


def _spot(key: str, reading: Reading, default: Spot) -> Spot:
    layer, _, position = from_url(key, "").partition(".")
    row, column = index_of(layer, below=reading.layers), index_of(position, below=len(reading.tokens))
    return default if row is None or column is None else Spot(row, column)


def _draw(
    prompts: Prompts,
    requests: Mapping[str, Any],
    views: Mapping[str, View | None],
    spots: tuple[Spot, Spot] | None,
    p: Palette,
) -> None:
    found: dict[str, Reading | None] = {
        name: None if now is None or now.state != "done" else now.result for name, now in views.items()
    }
    source, target, patched = (found.get(name) for name in ("source", "target", "patched"))
    if _spots(source, target) not in (spots, None):
        st.rerun()  # only this fragment sees a click, which needs another patched run
    pieces.distrust(*(reading.receipt for reading in (patched or target,) if reading is not None))
    take, put = spots or (None, None)
    widths = [len(reading.tokens) if reading is not None else len(BLANK) for reading in (source, target, target)]
    columns = grids.columns(widths)
    ready = source is not None and target is not None
    bad = [name for name, now in views.items() if now is not None and now.state in ("refused", "failed")]
    layers = max((one.layers for one in (source, target) if one), default=checkpoints.rows_of(prompts.checkpoint))
    what = ("layer × token, top word", "as it is", "with the source’s state")
    for column, name, about in zip(columns, ("source", "target", "patched"), what, strict=True):
        with column:
            if name == "patched" and (bad or not ready):
                asks = bad or ["source", "target"]
                blanks.card(
                    {one: requests[one] for one in asks},
                    {one: views[one] for one in asks},
                    about="Both prompts are read layer by layer, one pass each; a third pass puts the state.",
                    button="Read both prompts",
                    priced=[requests["source"].of],
                    each="Of the source prompt, and about as much of the target:",
                )
                continue
            reading, now = found.get(name), views.get(name)
            waits = blanks.word(now) if reading is None and name in requests else about
            pieces.head({"patched": "Target, patched"}.get(name, name.capitalize()), waits)
            spot, like = (take, source) if name == "source" else (put, target)
            _grid(name, reading, like, spot, target, p, layers=layers)
    if source is None or target is None:
        return
    _texts(source, target, patched)
    grids.legend(p)
    shown = patched or target
    trust, keys, export = st.columns([5, 1, 1], gap="medium", vertical_alignment="bottom")
    with trust:
        pieces.trust(shown.receipt, rows=f"{len(source.tokens)} and {len(target.tokens)} tokens")
    if take is not None and put is not None:
        with keys:
            _by_keyboard(source, target, take, put)
        with export:
            _export(prompts, {"source": source, "target": target, "patched": patched}, take, put)


def _grid(
    name: str,
    reading: Reading | None,
    like: Reading | None,
    spot: Spot | None,
    target: Reading | None,
    p: Palette,
    *,
    layers: int,
) -> None:
    """One grid; where it is not there yet, its empty frame."""
    key = "take" if name == "source" else "put"
    tokens = like.tokens if like is not None else BLANK
    spec = grids.spec_of(name, reading, tokens=tokens, layers=layers, spot=spot, target=target, palette=p)

    def picked(point: Mapping[str, Any]) -> None:
        st.session_state[key] = grids.named(Spot(int(point["layer"]), int(point["column"])))

    clicks.chart(spec, key=f"grid-{name}", picked=picked)


def _texts(source: Reading, target: Reading, patched: Reading | None) -> None:
    """What is written after each prompt, and what the patch has changed."""
    columns = grids.columns([len(reading.tokens) for reading in (source, target, target)])
    for column, reading in zip(columns, (source, target), strict=False):
        unknown = f" {reading.unknown} of its words are unknown to this tokenizer." if reading.unknown else ""
        with column:
            pieces.reading(f"Writes {_quoted(reading.text)}.{unknown}")
    if patched is None:
        return
    with columns[2]:
        pieces.reading(
            f"Writes {_quoted(patched.text)}, unpatched {_quoted(target.text)}; with a random vector of the same "
            f"norm {_quoted(patched.control)}."
        )
    said = gate.short(patched.receipt)
    pieces.note(" ".join(filter(None, [said, sentence(target, patched), CAVEAT])))


def sentence(target: Reading, patched: Reading) -> str:
    """What the patch has changed, in one sentence from the numbers alone."""
    reached = [k for k, cell in enumerate(patched.cells) if cell.reached]
    others = sum(patched.cells[k].top[0][0] != target.cells[k].top[0][0] for k in reached)
    last = patched.cells[-1]
    return (
        f"The patch can reach {len(reached)} of {len(patched.cells)} cells, and {others} of them read another word; "
        f"what the model says at the last token changed by {last.change:.0%} (total variation). One prompt and "
        "one state: no interval stands behind this, the page Effects measures over samples."
    )


def _quoted(text: str) -> str:
    return f"<b>“{escape(text)}”</b>" if text else "<b>nothing</b>"


def _by_keyboard(source: Reading, target: Reading, take: Spot, put: Spot) -> None:
    """The choice of cells without a mouse."""

    def typed() -> None:
        for key in ("take", "put"):
            st.session_state[key] = f"{st.session_state[f'{key}-layer']}.{st.session_state[f'{key}-token']}"

    with st.popover("Cells", width="stretch"):
        for key, label, reading, spot in (("take", "Taken", source, take), ("put", "Put", target, put)):
            for part, value, most in (
                ("layer", spot.layer, reading.layers),
                ("token", spot.position, len(reading.tokens)),
            ):
                st.session_state[f"{key}-{part}"] = value
                st.number_input(f"{label}: {part}", 0, most - 1, key=f"{key}-{part}", on_change=typed)


def _csv(reading: Reading) -> bytes:
    return sheet.csv(reading.table, note=gate.sentence(reading.receipt))


def _export(prompts: Prompts, readings: Mapping[str, Reading | None], take: Spot, put: Spot) -> None:
    """Grids as zip, CSV, SVG and JSON, and the code that computes them again."""
    there = {name: reading for name, reading in readings.items() if reading is not None}
    target = there["target"]
    offered: list[exports.Offered] = [
        *((f"Zip, {name}", f"-{name}.zip", partial(pack.of_result, reading)) for name, reading in there.items()),
        *((f"CSV, {name}", f"-{name}.csv", partial(_csv, reading)) for name, reading in there.items()),
        ("JSON, all grids and texts", ".json", partial(grids.as_json, there)),
        *(
            (
                f"SVG, {name}",
                f"-{name}.svg",
                partial(grids.as_svg, name, reading, take if name == "source" else put, target),
            )
            for name, reading in there.items()
        ),
    ]
    with st.popover("Export", width="stretch"):
        shown, note = list(there.values()), gate.sentence(target.receipt)
        exports.take("ivx-lens", partial(picture, *shown), note=note)
        exports.row("Grid by grid", "ivx-lens", offered)
        request = prompts.drop(take, put).of
        code = f"{exports.computed_by(request)}\nfound.text, found.table, found.chart()"
        st.code(code, language="python", wrap_lines=True)
        st.code(exports.in_shell(request, "contrast"), language="bash", wrap_lines=True)
