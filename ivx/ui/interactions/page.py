"""The Interactions page's parts: its controls, and its panels as they fill."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import partial
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ivx.analyses.game.request import GameRequest
from ivx.analyses.game.result import Game
from ivx.analyses.interactions.request import PLAYERS, WHOLE, InteractionsRequest
from ivx.analyses.interactions.restoration import PARTS
from ivx.analyses.interactions.result import Interactions
from ivx.analyses.place.found import At
from ivx.charts.palette import Palette
from ivx.engine.address import SITES
from ivx.jobs.job import View
from ivx.request import Request
from ivx.ui.interactions import card, maps
from ivx.ui.interactions.cure import cure_of
from ivx.ui.kit import (
    address,
    asking,
    blanks,
    checkpoints,
    choices,
    exports,
    following,
    pieces,
    places,
    progress,
    session,
)
from ivx.ui.kit import maps as kit
from ivx.ui.kit.choices import SAMPLES, SOURCE, chosen, listed, placed, popover, several
from ivx.vocabulary import POSITION, POSITION_WORDS, position

SHOW = {
    "j": "J, the interaction",
    "restored": "J° without overwriting",
    "lost": "lost by overwriting",
    "both": "effect of both",
    "gain": "gain over the better",
}
ALWAYS = tuple(what for what in SHOW if what not in PARTS)
"""What pairs of any kind show; the parts of J are those of layers that overwrite."""
GAMES = {"read": "keys, values", "stream": "stream"}
"""The clean game first: whole-stream patches overwrite each other, so that even a linear circuit seems to interact."""
STREAM_ALONE = ("among", "in_heads", "in_layers", "order", "over", "pairs_n", "patch", "show")
"""Parts of an address that only the game of whole-stream patches has."""
ROW = 50
COLUMNS = [0.62, 2.1, 1.5]
WIDE = [1.0, 1.75, 1.5]
"""Widths where the players alone make a map, not a strip."""
KINDS = ("interactions", "game")


def controls() -> tuple[Request | None, str, str]:
    """Draw the controls: checkpoint, task, what is shown, which game, More; for a stored run only what is shown."""
    if address.from_url(address.RUN, ""):
        place, pairs = session.run_strip(KINDS, choices.line_of), session.stored_run("interactions")
        split = pairs is not None and pairs.request.restored
        return None, "j" if session.stored_run("game") is not None else _show(place, split=split), choices.metric_now()
    one, two, three, four, five = st.columns([1.2, 0.86, 1.2, 0.96, 0.52], gap="small", vertical_alignment="bottom")
    checkpoint, task = choices.checkpoint_and_task(one, two)
    following.follow(task, checkpoint)
    address.hold("game", _first(), list(GAMES))
    game = four.segmented_control(
        "Game",
        list(GAMES),
        key="game",
        format_func=lambda g: GAMES[g],
        required=True,
        width="stretch",
        help="Keys, values: later tokens read one token’s keys and values from the instructed run, layer by layer; "
        "nothing is overwritten, and the interaction is Shapley’s. Stream: a player’s state is replaced, so a later "
        "patch overwrites an earlier one of that token, which alone makes them interact.",
    )
    show = _show(three, only_j=game == "read", split=_splits())
    allowed = GameRequest.position_words if game == "read" else POSITION_WORDS
    way = asking.held()
    # What demonstrations show acts on the token that answers; the first one is the instruction's.
    usual = PUBLISHED | ({"at": "last"} if way.demonstrations and "last" in allowed else {})
    st.session_state[OPENED] = places.follow(
        task, checkpoint, way=way, published=usual, best=partial(_choices, allowed)
    )
    if game == "read":
        asked = _game_fields(five) | checkpoints.loading(checkpoint)
        return GameRequest(checkpoint, task, **asked), show, choices.metric_now()
    asked = _pair_fields(five) | checkpoints.loading(checkpoint)
    request = InteractionsRequest(checkpoint, task, **asked)
    if show not in PARTS and not (request.splits and session.looked_up(replace(request, restored=True))):
        return request, show, choices.metric_now()
    return replace(request, restored=True), show, choices.metric_now()


def _first() -> str:
    """The game that an address means which names none: pairs of the stream where it has a part of theirs alone."""
    theirs = any(part in st.query_params for part in STREAM_ALONE) or "@" in st.query_params.get("pair", "")
    return "stream" if theirs else "read"


def _splits() -> bool:
    """Whether J of the pairs that More asks for can be split: of layers that overwrite one site of the stream."""
    now = {key: st.session_state.get(key, st.query_params.get(key, default)) for key, default in PAIRS.items()}
    sites = now["among"].split(",") if isinstance(now["among"], str) else list(now["among"])
    return now["over"] == "layers" and now["patch"] == "overwrite" and len(sites) == 1 and sites[0] in WHOLE


def _show(place: DeltaGenerator, *, only_j: bool = False, split: bool = False) -> str:
    shown = list(SHOW) if split else list(ALWAYS)
    address.hold("show", "j", shown)
    if st.session_state.get("show") not in shown:
        st.session_state["show"] = "j"
    chosen = place.selectbox(
        "Show",
        shown,
        key="show",
        format_func=lambda s: SHOW[s],
        disabled=only_j,
        help="J: effect of both minus the sum of the two alone. J°: what is left of it without overwriting. Lost: what "
        "overwriting takes away. Both: of the two. Gain: over the better one.",
    )
    return "j" if only_j else str(chosen or "j")


def show(request: Request | None, what: str, metric: str, p: Palette) -> None:
    """The maps of a request as they fill, or a stored run's."""

    def draw(asked: Request, now: View) -> None:
        _draw(asked, what, metric, now, p)

    def view(asked: Request | None) -> dict[str, str]:
        told = {"show": what, "metric": metric} if asked is None else _parts(asked, what, metric)
        return told | {"pair": address.from_url("pair", "")}

    if request is not None:
        following.said()
        places.said(st.session_state[OPENED])
    progress.follow_or_open(request, KINDS, draw=draw, blank=lambda asked, now: _blank(asked, now, p), view=view)


def _parts(request: Request, what: str, metric: str) -> dict[str, str]:
    is_game = isinstance(request, GameRequest)
    told = {"checkpoint": request.checkpoint, "task": request.task, "show": "" if is_game else what, "metric": metric}
    told["game"] = "" if is_game else "stream"
    return told | choices.parts_of(GAME if is_game else PAIRS)


def _draw(request: Request, what: str, metric: str, now: View, p: Palette) -> None:
    result = now.result
    if isinstance(result, Game) and not result.players:  # nothing can be shown of a part of a game
        _blank(request, now, p)
        return
    pieces.distrust(result.receipt)
    laid = maps.laid_of(result, what, metric)
    chosen = maps.chosen_of(laid)
    left, middle, right = st.columns(COLUMNS if maps.is_strip(result) else WIDE, gap="medium")
    with left:
        maps.alone(result, metric, laid, chosen, p)
    with middle:
        head = progress.status(now) if now.live else ""
        done = now.state == "done"
        under = None if done else partial(progress.under, request, now)
        maps.together(result, what, metric, laid, chosen, p, live=head, under=under)
    with right:
        if chosen is not None and chosen.state != "estimate":
            link = address.link(result, **_parts(request, what, metric), pair=chosen.patch)
            card.card(result, chosen, metric, live=now.live, link=link, p=p)
        if isinstance(result, Interactions):
            maps.estimated(result, metric, p)
    if isinstance(result, Interactions) and result.request.order == 3 and not now.live:
        card.show(result, metric)
    pieces.secondary(metric)
    exports.foot(result, metric, live=now.live)


def _blank(request: Request, now: View | None, p: Palette) -> None:
    layers = checkpoints.rows_of(request.checkpoint)
    row = ROW if layers <= kit.CROWDED else kit.row_height(layers, p)

    def axes(told: str) -> DeltaGenerator:
        left, middle, right = st.columns(COLUMNS, gap="medium")
        with left:
            pieces.head("One alone", "")
            kit.blank(layers, p, [""], row=row)
        with middle:
            pieces.head("Both together", told)
            kit.blank(layers, p, [f"L{i}" for i in range(layers - 1)], row=row, mono=False)
        return right

    about = f"Every player alone and every pair of them on {request.samples} samples, each beside its control."
    blanks.show(request, now, blanks.Blank(about, "Run the pairs", axes, cure=partial(cure_of, request)))


QUESTIONS = {
    "layers": "Do layers act together?",
    "heads": "Do heads act together?",
    "components": "Do attention and MLPs act together?",
    "positions": "Do the tokens of a layer act together?",
}


def question(request: Request | None) -> str:
    """The page's title."""
    stored = session.stored_run(*KINDS) if request is None else None
    asked = stored.request if stored is not None else request
    return QUESTIONS[getattr(asked, "over", "layers")]


def lede(request: Request | None) -> str:
    """The page's one sentence."""
    stored = session.stored_run(*KINDS) if request is None else None
    asked = stored.request if stored is not None else request
    if isinstance(asked, GameRequest):
        return (
            "Later tokens read one token’s keys and values from the instructed run at some layers: how much more do "
            "two layers do together than each by itself, averaged over all sets of other layers?"
        )
    put = getattr(asked, "position", "first")
    where = "" if put == "all" else f", at {position(put).caption}"
    if getattr(asked, "restored", False):
        return (
            f"J(a, b) = effect of patching both − the sum of the two alone{where}. Giving the token its own value back "
            "at b splits it: <b>J = J° + lost</b>, what overwriting takes away."
        )
    return f"J(a, b) = effect of patching both − the sum of the effects of the two alone{where}."


WAYS = {"overwrite": "overwrites the state", "delta": "adds the vector’s difference from an idle sentence’s"}
PLAYED = {"layers": "layers", "heads": "heads", "components": "attention and MLP", "positions": "tokens of one layer"}


PAIRS = {
    "over": "layers",
    "among": ("resid_post",),
    "at": "first",
    "patch": "overwrite",
    "order": "2",
    "in_layers": "",
    "in_heads": "",
    "from": "t_inst",
    **asking.INITIAL,
    **asking.PLAIN,
    **places.PLAIN,
    "pairs_n": SAMPLES["pairs"],
}


GAME = {
    "at": "first",
    "from": "t_inst",
    **asking.INITIAL,
    **asking.PLAIN,
    **places.PLAIN,
    "game_n": SAMPLES["game"],
}
PUBLISHED = {"from": "t_inst", "at": "first"}
"""The usual place, by the controls' keys."""
OPENED = "ivx.interactions.opened"


def _choices(allowed: Collection[str], at: At) -> dict[str, str]:
    """The controls' values that mean a place, where players can stand there."""
    can = at.position in allowed or at.position not in POSITION_WORDS
    return {"from": at.source_token, "at": at.position} if can else {}


def _pair_fields(place: DeltaGenerator) -> dict[str, Any]:
    """Fields of an interactions request other than checkpoint and task."""
    with popover(place, PAIRS):
        over = chosen("over", "Players", PLAYED, "layers", on_change=lambda: st.session_state.pop("among", None))
        allowed = PLAYERS.get(over, SITES)
        sites = several("among", "Sites", allowed, allowed if over in PLAYERS else ("resid_post",))
        places = {"all": POSITION["all"].label} if over == "positions" else placed(*POSITION_WORDS, held="at")
        put = chosen("at", "Patched at", places, next(iter(places)))
        ways = WAYS if over != "heads" and "z" not in sites else {"overwrite": WAYS["overwrite"]}
        patch = chosen("patch", "A patch", ways, "overwrite")
        order = chosen("order", "Sets", {"2": "pairs", "3": "pairs and triples"}, "2")
        token = chosen("from", "Vector from", SOURCE, "t_inst")
        choices.metric(st.container())
        way = asking.asking("pairs_n", SAMPLES["pairs"])
        layers = listed("in_layers", "Layers", "All, or such as 4-17 or 0,3,8-11.")
        heads = listed("in_heads", "Heads", "All, or such as 0,3.") if over == "heads" else ""
    asked = {"over": over, "sites": sites, "position": put, "order": int(order), "patch": patch}
    asked |= {"layers": layers, "heads": heads}
    return asked | way | {"source_token": asking.taken(token, way)}


def _game_fields(place: DeltaGenerator) -> dict[str, Any]:
    """Fields of a game's request other than checkpoint and task."""
    with popover(place, GAME):
        read = chosen("at", "Read at", placed(*GameRequest.position_words, held="at"), "first")
        token = chosen("from", "Vector from", SOURCE, "t_inst")
        choices.metric(st.container())
        way = asking.asking("game_n", SAMPLES["game"])
    return way | {"position": read, "source_token": asking.taken(token, way)}
