"""A result apart from its rows: what must be kept to read and draw them again, and reading it back.

`context` and `restored` are each other's inverse. A context may come from a stranger's archive, so `restored` takes
nothing on trust: every value's type and size is checked, and what does not fit is refused by one sentence. `checked`
does the same for rows and receipt, which need it only when they come from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any, NoReturn, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from ivx.analysis.flow import Found, Pathways
from ivx.analysis.game import Game, played
from ivx.analysis.metrics import METRICS
from ivx.analysis.places import NAME, Column
from ivx.analysis.players import Player, Sets, sets_with_equals
from ivx.analysis.result import Effects
from ivx.analysis.roles import ROLES
from ivx.analysis.together import Interactions
from ivx.analysis.typed import typed
from ivx.engine.reading import SITE
from ivx.errors import IvxError
from ivx.runs.request import EffectsRequest, GameRequest, InteractionsRequest, PathwaysRequest, ScanRequest
from ivx.runs.run import KEY
from ivx.tasks.samples import Sample, Samples
from ivx.tasks.task import Instruction

MAX_SAMPLES = 10_000
MAX_TEXT = 20_000
"""Characters of a wording, a query, an answer or a warning."""
MAX_TOKENS = 100_000
MAX_NAME = 40
"""Characters of a named position."""
MAX_COLUMNS = 10_000
MAX_LAYERS = 1_000
MAX_WARNINGS = 100
IDS = 2**31
"""Token ids lie below."""
LARGEST = 1e6
"""No logit, and no divergence in nats, of any model is larger."""

Result = Effects | Interactions | Game | Pathways
Asked = EffectsRequest | ScanRequest | InteractionsRequest | GameRequest | PathwaysRequest
KINDS: dict[str, type[Asked]] = {
    kind.kind: kind for kind in (EffectsRequest, ScanRequest, InteractionsRequest, GameRequest, PathwaysRequest)
}
DRAWN = {
    "effects": ("maps",),
    "scan": ("maps",),
    "interactions": ("players", "estimates"),
    "game": ("position",),
    "pathways": ("heads", "there", "found"),
}
"""What a context holds of each kind, beside samples and layers."""
T = TypeVar("T")


def context(found: Result) -> dict[str, Any]:
    """Samples, layers, and what the kind has beside them, as JSON can hold it."""
    if isinstance(found, Effects):
        drawn: dict[str, Any] = {
            "maps": {site: [list(column) for column in columns] for site, columns in found.maps.items()}
        }
    elif isinstance(found, Interactions):
        drawn = {"players": [_player_written(player) for player in found.players], "estimates": found.estimates}
    elif isinstance(found, Pathways):
        there = [_written(sample) for sample in found.there]
        drawn = {"heads": found.heads, "there": there, "found": asdict(found.found)}
    else:
        drawn = {"position": found.position}
    return {
        "layers": found.layers,
        **drawn,
        "rows": [_written(sample) for sample in found.samples.rows],
        "control": [_written(sample) for sample in found.samples.control],
        "neutral": [_written(sample) for sample in found.samples.neutral],
        "warnings": list(found.samples.warnings),
    }


def _player_written(player: Player) -> dict[str, Any]:
    return asdict(player) | {"column": None if player.column is None else list(player.column)}


def _written(sample: Sample) -> dict[str, Any]:
    words, phrase = sample.instruction, sample.instruction.phrase
    return {
        **{
            name: getattr(sample, name)
            for name in ("query", "answer", "contrast", "t_inst", "keyword", "word", "first")
        },
        **{name: list(getattr(sample, name)) for name in ("source", "instructed", "target", "query_span")},
        "instruction": [words.text, words.family, None if phrase is None else list(phrase)],
        "answer_id": sample.answer_id,
        "contrast_id": sample.contrast_id,
    }


def restored(asked: dict[str, Any], context: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Result:
    """The result that `context` was made from, with its rows and receipt.

    Args:
        asked: as the store keeps it: `{"kind": …, "request": {…}, "checkpoint": {…}}`.

    Raises:
        IvxError: a value of `asked` or `context` is missing, of another type, or out of bounds.
    """
    request = request_of(asked)
    _keys(context, "layers", *DRAWN[request.kind], "rows", "control", "neutral", "warnings", what="context")
    layers = _whole(context["layers"], "layers", 1, MAX_LAYERS)
    rows = tuple(_each(context["rows"], "rows", _sample, most=MAX_SAMPLES, least=1))
    control, neutral = (tuple(_each(context[k], k, _sample, most=MAX_SAMPLES)) for k in ("control", "neutral"))
    for name, found in (("control", control), ("neutral", neutral)):
        if found and len(found) != len(rows):
            _refuse(name, f"no sample or {len(rows)}")
    warnings = tuple(_each(context["warnings"], "warnings", _text, most=MAX_WARNINGS))
    samples = Samples(rows, control, warnings, neutral)
    if isinstance(request, EffectsRequest | ScanRequest):
        return Effects(request, table, samples, _maps(context["maps"], request), layers, receipt)
    if isinstance(request, GameRequest):
        position = _whole(context["position"], "position", -MAX_TOKENS, MAX_TOKENS)
        return Game(request, table, samples, *played(request, layers=layers), position, layers, receipt)
    if isinstance(request, PathwaysRequest):
        there = tuple(_each(context["there"], "there", _sample, most=len(rows), least=len(rows)))
        heads, parts = _whole(context["heads"], "heads", 1, MAX_COLUMNS), typed(Found, context["found"], "found")
        return Pathways(request, table, samples, there, layers, heads, parts, receipt)
    players = tuple(_each(context["players"], "players", _player, most=MAX_COLUMNS, least=1))
    sets, equals = sets_with_equals(request, players, samples, layers=layers)
    estimates = _estimates(context["estimates"], sets[2])
    return Interactions(request, table, samples, players, sets, equals, layers, receipt, estimates)


def _estimates(told: Any, pairs: Sets) -> dict[str, dict[str, float]]:
    if not isinstance(told, dict) or len(told) > len(METRICS):
        _refuse("estimates", "numbers by metric and pair")
    for metric, values in told.items():
        if metric not in METRICS or not isinstance(values, dict) or not values.keys() <= pairs.keys():
            _refuse("estimates", "numbers by metric and pair")
        for value in values.values():
            if type(value) not in (int, float) or not -LARGEST <= value <= LARGEST:
                _refuse("estimates", "finite numbers")
    return told


def _maps(told: Any, request: EffectsRequest | ScanRequest) -> dict[str, tuple[Column, ...]]:
    if not isinstance(told, dict) or sorted(told) != sorted(request.sites):
        _refuse("maps", f"one map for each of {', '.join(request.sites)}")
    return {
        site: tuple(_each(told[site], f"map of {site}", _column, most=MAX_COLUMNS, least=1)) for site in request.sites
    }


def request_of(asked: dict[str, Any]) -> Asked:
    """The request, its types checked; raises `IvxError`."""
    kind = KINDS.get(str(asked.get("kind"))) if isinstance(asked, dict) else None
    if kind is None or not isinstance(asked.get("request"), dict):
        _refuse("kind", f"a request of the kind {' or '.join(KINDS)}")
    told = dict(asked["request"])
    types = {field.name: str(field.type) for field in fields(kind)}
    _keys(told, *types, what="request")
    lists = {"sites", "controls"} & set(told)
    for name in lists:
        told[name] = tuple(_each(told[name], name, _text, most=20, least=int(name == "sites")))
    if len(set(told.get("sites", ()))) < len(told.get("sites", ())):
        _refuse("sites", "each site once")
    for name, value in told.items():
        if name in lists or (value is None and types[name].endswith("| None")):
            continue
        if types[name].startswith("int"):
            _whole(value, name, 0, 2**63)
        elif types[name] != "bool":
            _text(value, name)
        elif not isinstance(value, bool):
            _refuse(name, "true or false")
    return kind(**told)


def checked(found: Result) -> Result:
    """The result itself, when its rows and receipt can be what a sweep returned; else raises `IvxError`."""
    if isinstance(found, Pathways):
        _refuse("kind", "a kind that archives hold, which pathways are not")
    _check_receipt(found)
    table, n = found.table, len(found.samples.rows)
    for name in table.column_names:
        if name != "kl_reference" and table[name].null_count:
            _refuse(f"rows, column {name}", "a value in every row")
    for name in ("logit", "contrast", "logsumexp", "kl_target", "kl_reference"):
        _numbers(table[name], f"rows, column {name}")
    _numbers(table["sample"], "rows, column sample", low=0, high=n - 1)
    _numbers(table["rank"], "rows, column rank", low=1, high=IDS - 1)
    if isinstance(found, Effects):
        sites = tuple(found.maps)
    else:
        sites = (SITE,) if isinstance(found, Game) else (",".join(found.request.sites),)
    for name, allowed in (("role", ROLES), ("site", (*sites, ""))):
        strange = set(pc.unique(table[name]).to_pylist()) - set(allowed)
        if strange:
            _refuse(f"rows, column {name}", f"one of {', '.join(filter(None, allowed))}")
    key = [name for name in KEY if name in table.column_names]
    if table.group_by(key).aggregate([]).num_rows != table.num_rows:
        _refuse("rows", f"each {', '.join(key)} once")
    if not pc.all(pc.equal(pc.list_value_length(table["top_ids"]), pc.list_value_length(table["top_logits"]))).as_py():
        _refuse("rows, column top_ids", "as many token ids as logits")
    for name, low, high in (("top_ids", 0, IDS - 1), ("top_logits", -LARGEST, LARGEST)):
        values = pc.list_flatten(table[name])
        if values.null_count:
            _refuse(f"rows, column {name}", "no gap in a list")
        _numbers(values, f"rows, column {name}", low=low, high=high)
    return found


def _numbers(values: pa.ChunkedArray, what: str, *, low: float = -LARGEST, high: float = LARGEST) -> None:
    """Refuse what is not within bounds; NaN never is, null is let through."""
    if not pc.all(pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high)), min_count=0).as_py():
        _refuse(what, f"a finite number from {low:,.0f} to {high:,.0f}")


def _check_receipt(found: Result) -> None:
    told = found.receipt
    for name in ("task", "contrast", "dtype", "device", "engine", "how"):
        _text(told.get(name), f"receipt, {name}")
    _maybe(told.get("control"), "receipt, control", _text)
    _each(told.get("warnings"), "receipt, warnings", _text, most=MAX_WARNINGS)
    _each(told.get("checks"), "receipt, checks", _check, most=MAX_WARNINGS)
    versions = told.get("versions")
    if not isinstance(versions, dict) or len(versions) > MAX_WARNINGS:
        _refuse("receipt, versions", "packages and their versions")
    for told_of in (*versions, *versions.values()):
        _text(told_of, "receipt, versions")
    counts = {"rows": found.table.num_rows, "samples": len(found.samples.rows)}
    for name, count in counts.items():
        _whole(told.get(name), f"receipt, {name}", count, count)
    _number(told.get("seconds"), "receipt, seconds")


def _check(told: Any, what: str) -> None:
    _keys(told, "name", "passed", "deviation", "tolerance", "detail", what=what)
    if not isinstance(told["passed"], bool):
        _refuse(f"{what}, passed", "true or false")
    for name in ("name", "detail"):
        _text(told[name], f"{what}, {name}")
    for name in ("deviation", "tolerance"):
        _maybe(told[name], f"{what}, {name}", _number)


def _number(told: Any, what: str) -> float:
    if type(told) not in (int, float) or not 0 <= told < float("inf"):
        _refuse(what, "a finite number from 0")
    return float(told)


def _sample(told: Any, what: str) -> Sample:
    _keys(told, *(field.name for field in fields(Sample)), what=what)
    source, instructed, target = (
        tuple(_each(told[name], f"{what}, {name}", _id, most=MAX_TOKENS, least=1))
        for name in ("source", "instructed", "target")
    )
    return Sample(
        instruction=_instruction(told["instruction"], f"{what}, instruction"),
        query=_text(told["query"], f"{what}, query"),
        answer=_text(told["answer"], f"{what}, answer"),
        contrast=_text(told["contrast"], f"{what}, contrast"),
        source=source,
        t_inst=_whole(told["t_inst"], f"{what}, t_inst", 0, len(source) - 1),
        keyword=_maybe(told["keyword"], f"{what}, keyword", lambda v, w: _whole(v, w, 0, len(source) - 1)),
        word=_maybe(told["word"], f"{what}, word", lambda v, w: _whole(v, w, 0, len(source) - 1)),
        instructed=instructed,
        target=target,
        first=_whole(told["first"], f"{what}, first", 0, len(target) - 1),
        query_span=_span(told["query_span"], f"{what}, query_span", len(target)),
        answer_id=_id(told["answer_id"], f"{what}, answer_id"),
        contrast_id=_id(told["contrast_id"], f"{what}, contrast_id"),
    )


def _instruction(told: Any, what: str) -> Instruction:
    if not isinstance(told, list) or len(told) != 3:
        _refuse(what, "a list of text, family and phrase")
    text = _text(told[0], what)
    return Instruction(text, _text(told[1], what), _maybe(told[2], what, lambda v, w: _span(v, w, len(text))))


def _column(told: Any, what: str) -> Column:
    if not isinstance(told, list) or len(told) != 3 or not isinstance(told[2], bool):
        _refuse(what, "columns of a label, a position, and true or false")
    named = isinstance(told[1], str) and len(told[1]) < MAX_NAME and NAME.fullmatch(told[1])
    position = told[1] if named else _whole(told[1], what, -MAX_TOKENS, MAX_TOKENS)
    return Column(_text(told[0], what), position, told[2])


def _player(told: Any, what: str) -> Player:
    _keys(told, *(field.name for field in fields(Player)), what=what)
    return Player(
        address=_text(told["address"], f"{what}, address"),
        label=_text(told["label"], f"{what}, label"),
        site=_text(told["site"], f"{what}, site"),
        layer=_whole(told["layer"], f"{what}, layer", 0, MAX_LAYERS),
        head=_maybe(told["head"], f"{what}, head", lambda v, w: _whole(v, w, 0, MAX_COLUMNS)),
        column=_maybe(told["column"], f"{what}, column", _column),
    )


def _span(told: Any, what: str, end: int) -> tuple[int, int]:
    if not isinstance(told, list) or len(told) != 2:
        _refuse(what, "a start and an end")
    start = _whole(told[0], what, 0, end)
    return start, _whole(told[1], what, start, end)


def _each(told: Any, what: str, read: Callable[[Any, str], T], *, most: int, least: int = 0) -> list[T]:
    if not isinstance(told, list) or not least <= len(told) <= most:
        _refuse(what, f"a list of {least:,} to {most:,} values")
    return [read(value, f"{what}[{i}]") for i, value in enumerate(told)]


def _maybe(told: Any, what: str, read: Callable[[Any, str], T]) -> T | None:
    return None if told is None else read(told, what)


def _id(told: Any, what: str) -> int:
    return _whole(told, what, 0, IDS - 1)


def _whole(told: Any, what: str, low: int, high: int) -> int:
    if type(told) is not int or not low <= told <= high:
        _refuse(what, f"a whole number from {low:,} to {high:,}")
    return told


def _text(told: Any, what: str) -> str:
    if not isinstance(told, str) or len(told) > MAX_TEXT or any("\ud800" <= c <= "\udfff" for c in told):
        _refuse(what, f"a text of at most {MAX_TEXT:,} characters")
    return told


def _keys(told: Any, *names: str, what: str) -> None:
    if not isinstance(told, dict) or set(told) != set(names):
        _refuse(what, f"exactly {', '.join(names)}")


def _refuse(what: str, wanted: str) -> NoReturn:
    raise IvxError(f"what was kept of this run cannot be used: {what}: expected is {wanted}; export the run again")
