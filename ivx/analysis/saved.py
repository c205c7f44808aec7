"""A result apart from its rows: what must be kept to read and draw them again, and reading it back.

`context` and `restored` are each other's inverse. A context may come from a stranger's archive, so `restored` takes
nothing on trust: every value's type and size is checked, and what does not fit is refused by one sentence. `checked`
does the same for rows and receipt, which need it only when they come from elsewhere.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any, get_args

import pyarrow as pa
import pyarrow.compute as pc

from ivx.analysis.erased import Erasure
from ivx.analysis.flow import Found, Pathways
from ivx.analysis.game import Game, played
from ivx.analysis.metrics import METRICS
from ivx.analysis.places import NAME, Column
from ivx.analysis.players import Player, Sets, sets_with_equals
from ivx.analysis.result import Effects
from ivx.analysis.roles import ROLES
from ivx.analysis.separation import Read, Separability
from ivx.analysis.together import Interactions
from ivx.analysis.typed import typed
from ivx.analysis.values import IDS, boolean, each, keys, maybe, number, refuse, span, text, token_id, whole
from ivx.engine.reading import SITE
from ivx.errors import IvxError
from ivx.runs.patching import EffectsRequest, GameRequest, InteractionsRequest, ScanRequest
from ivx.runs.probing import ErasureRequest, SeparabilityRequest
from ivx.runs.run import KEY
from ivx.runs.tracing import PathwaysRequest
from ivx.tasks.samples import Sample, Samples
from ivx.tasks.task import Instruction

MAX_SAMPLES = 10_000
MAX_TOKENS = 100_000
MAX_WORDINGS = 200_000
MAX_NAME = 40
"""Characters of a named position."""
MAX_COLUMNS = 10_000
MAX_LAYERS = 1_000
MAX_WARNINGS = 100
LARGEST = 1e6
"""No logit, and no divergence in nats, of any model is larger."""

Result = Effects | Interactions | Game | Separability | Erasure | Pathways
Asked = (
    EffectsRequest
    | ScanRequest
    | InteractionsRequest
    | GameRequest
    | SeparabilityRequest
    | ErasureRequest
    | PathwaysRequest
)
KINDS: dict[str, type[Asked]] = {kind.kind: kind for kind in get_args(Asked)}
LISTS = ("sites", "controls", "tasks", "components", "projections")
"""Fields of requests that hold several names."""
WHOLE = ("samples", "seed", "order", "permutations", "wordings", "folds", "repeats", "paths", "traced")
MAYBE_WHOLE = ("wording", "patch_layer")
YES_OR_NO = ("pairs", "edge_check", "published")
DRAWN = {
    "effects": ("maps",),
    "scan": ("maps",),
    "interactions": ("players", "estimates"),
    "game": ("position",),
    "erasure": (),
    "pathways": ("heads", "there", "found"),
}
"""What a context holds of each kind, beside samples and layers."""


def context(found: Result) -> dict[str, Any]:
    """Layers, samples or wordings, and maps or players, as JSON can hold them."""
    if isinstance(found, Separability):
        return {
            "layers": found.layers,
            "tasks": list(found.tasks),
            "wordings": [[found.tasks.index(w.task), w.text, w.family, w.token] for w in found.wordings],
        }
    if isinstance(found, Effects):
        drawn: dict[str, Any] = {
            "maps": {site: [list(column) for column in columns] for site, columns in found.maps.items()}
        }
    elif isinstance(found, Interactions):
        drawn = {"players": [_player_written(player) for player in found.players], "estimates": found.estimates}
    elif isinstance(found, Pathways):
        drawn = {
            "heads": found.heads,
            "there": [_written(sample) for sample in found.there],
            "found": asdict(found.found),
        }
    else:
        drawn = {"position": found.position} if isinstance(found, Game) else {}
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
    if isinstance(request, SeparabilityRequest):
        return _separability(request, context, table, receipt)
    keys(context, "layers", *DRAWN[request.kind], "rows", "control", "neutral", "warnings", what="context")
    layers = whole(context["layers"], "layers", 1, MAX_LAYERS)
    rows = tuple(each(context["rows"], "rows", _sample, most=MAX_SAMPLES, least=1))
    control, neutral = (tuple(each(context[k], k, _sample, most=MAX_SAMPLES)) for k in ("control", "neutral"))
    for name, found in (("control", control), ("neutral", neutral)):
        if found and len(found) != len(rows):
            refuse(name, f"no sample or {len(rows)}")
    warnings = tuple(each(context["warnings"], "warnings", text, most=MAX_WARNINGS))
    samples = Samples(rows, control, warnings, neutral)
    if isinstance(request, EffectsRequest | ScanRequest):
        return Effects(request, table, samples, _maps(context["maps"], request), layers, receipt)
    if isinstance(request, GameRequest):
        position = whole(context["position"], "position", -MAX_TOKENS, MAX_TOKENS)
        return Game(request, table, samples, *played(request, layers=layers), position, layers, receipt)
    if isinstance(request, ErasureRequest):
        return Erasure(request, table, samples, layers, receipt)
    if isinstance(request, PathwaysRequest):
        there = tuple(each(context["there"], "there", _sample, most=len(rows), least=len(rows)))
        heads, flow = whole(context["heads"], "heads", 1, MAX_COLUMNS), typed(Found, context["found"], "found")
        return Pathways(request, table, samples, there, layers, heads, flow, receipt)
    players = tuple(each(context["players"], "players", _player, most=MAX_COLUMNS, least=1))
    sets, equals = sets_with_equals(request, players, samples, layers=layers)
    estimates = _estimates(context["estimates"], sets[2])
    return Interactions(request, table, samples, players, sets, equals, layers, receipt, estimates)


def _separability(
    request: SeparabilityRequest, context: dict[str, Any], table: pa.Table, receipt: dict[str, Any]
) -> Separability:
    keys(context, "layers", "tasks", "wordings", what="context")
    tasks = tuple(each(context["tasks"], "tasks", text, most=MAX_SAMPLES, least=2))

    def read(told: Any, what: str) -> Read:
        if not isinstance(told, list) or len(told) != 4:
            refuse(what, "a task's number, a text, a family and a token")
        task = tasks[whole(told[0], f"{what}, task", 0, len(tasks) - 1)]
        return Read(task, *(text(part, what) for part in told[1:]))

    wordings = tuple(each(context["wordings"], "wordings", read, most=MAX_WORDINGS, least=1))
    layers = whole(context["layers"], "layers", 1, MAX_LAYERS)
    return Separability(request, table, tasks, wordings, layers, receipt)


def _estimates(told: Any, pairs: Sets) -> dict[str, dict[str, float]]:
    if not isinstance(told, dict) or len(told) > len(METRICS):
        refuse("estimates", "numbers by metric and pair")
    for metric, values in told.items():
        if metric not in METRICS or not isinstance(values, dict) or not values.keys() <= pairs.keys():
            refuse("estimates", "numbers by metric and pair")
        for value in values.values():
            if type(value) not in (int, float) or not -LARGEST <= value <= LARGEST:
                refuse("estimates", "finite numbers")
    return told


def _maps(told: Any, request: EffectsRequest | ScanRequest) -> dict[str, tuple[Column, ...]]:
    if not isinstance(told, dict) or sorted(told) != sorted(request.sites):
        refuse("maps", f"one map for each of {', '.join(request.sites)}")
    return {
        site: tuple(each(told[site], f"map of {site}", _column, most=MAX_COLUMNS, least=1)) for site in request.sites
    }


def request_of(asked: dict[str, Any]) -> Asked:
    """The request, its types checked; raises `IvxError`."""
    kind = KINDS.get(str(asked.get("kind"))) if isinstance(asked, dict) else None
    if kind is None or not isinstance(asked.get("request"), dict):
        refuse("kind", f"a request of the kind {' or '.join(KINDS)}")
    told = dict(asked["request"])
    keys(told, *(field.name for field in fields(kind)), what="request")
    for name, value in told.items():
        if name in LISTS:
            told[name] = tuple(each(value, name, text, most=MAX_WARNINGS))
            if len(set(value)) < len(value):
                refuse(name, "each name once")
        elif name in WHOLE:
            whole(value, name, 0, 2**63)
        elif name in MAYBE_WHOLE:
            maybe(value, name, lambda v, w: whole(v, w, 0, 2**63))
        elif name in ("against", "adapter"):
            maybe(value, name, text)
        elif name in YES_OR_NO:
            boolean(value, name)
        else:
            text(value, name)
    return kind(**told)


def checked(found: Result) -> Result:
    """The result itself, when its rows and receipt can be what a sweep returned; else raises `IvxError`."""
    if isinstance(found, Separability | Erasure | Pathways):
        raise IvxError(f"a run of {found.request.kind} cannot be imported: compute it again from its checkpoint")
    _check_receipt(found)
    table, n = found.table, len(found.samples.rows)
    for name in table.column_names:
        if name != "kl_reference" and table[name].null_count:
            refuse(f"rows, column {name}", "a value in every row")
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
            refuse(f"rows, column {name}", f"one of {', '.join(filter(None, allowed))}")
    if table.group_by(list(KEY)).aggregate([]).num_rows != table.num_rows:
        refuse("rows", f"each {', '.join(KEY)} once")
    if not pc.all(pc.equal(pc.list_value_length(table["top_ids"]), pc.list_value_length(table["top_logits"]))).as_py():
        refuse("rows, column top_ids", "as many token ids as logits")
    for name, low, high in (("top_ids", 0, IDS - 1), ("top_logits", -LARGEST, LARGEST)):
        values = pc.list_flatten(table[name])
        if values.null_count:
            refuse(f"rows, column {name}", "no gap in a list")
        _numbers(values, f"rows, column {name}", low=low, high=high)
    return found


def _numbers(values: pa.ChunkedArray, what: str, *, low: float = -LARGEST, high: float = LARGEST) -> None:
    """Refuse what is not within bounds; NaN never is, null is let through."""
    if not pc.all(pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high)), min_count=0).as_py():
        refuse(what, f"a finite number from {low:,.0f} to {high:,.0f}")


def _check_receipt(found: Effects | Interactions | Game) -> None:
    told = found.receipt
    for name in ("task", "contrast", "dtype", "device", "engine", "how"):
        text(told.get(name), f"receipt, {name}")
    maybe(told.get("control"), "receipt, control", text)
    each(told.get("warnings"), "receipt, warnings", text, most=MAX_WARNINGS)
    each(told.get("checks"), "receipt, checks", _check, most=MAX_WARNINGS)
    versions = told.get("versions")
    if not isinstance(versions, dict) or len(versions) > MAX_WARNINGS:
        refuse("receipt, versions", "packages and their versions")
    for told_of in (*versions, *versions.values()):
        text(told_of, "receipt, versions")
    counts = {"rows": found.table.num_rows, "samples": len(found.samples.rows)}
    for name, count in counts.items():
        whole(told.get(name), f"receipt, {name}", count, count)
    number(told.get("seconds"), "receipt, seconds")


def _check(told: Any, what: str) -> None:
    keys(told, "name", "passed", "deviation", "tolerance", "detail", what=what)
    boolean(told["passed"], f"{what}, passed")
    for name in ("name", "detail"):
        text(told[name], f"{what}, {name}")
    for name in ("deviation", "tolerance"):
        maybe(told[name], f"{what}, {name}", number)


def _sample(told: Any, what: str) -> Sample:
    keys(told, *(field.name for field in fields(Sample)), what=what)
    source, instructed, target = (
        tuple(each(told[name], f"{what}, {name}", token_id, most=MAX_TOKENS, least=1))
        for name in ("source", "instructed", "target")
    )
    return Sample(
        instruction=_instruction(told["instruction"], f"{what}, instruction"),
        query=text(told["query"], f"{what}, query"),
        answer=text(told["answer"], f"{what}, answer"),
        contrast=text(told["contrast"], f"{what}, contrast"),
        source=source,
        t_inst=whole(told["t_inst"], f"{what}, t_inst", 0, len(source) - 1),
        keyword=maybe(told["keyword"], f"{what}, keyword", lambda v, w: whole(v, w, 0, len(source) - 1)),
        word=maybe(told["word"], f"{what}, word", lambda v, w: whole(v, w, 0, len(source) - 1)),
        instructed=instructed,
        target=target,
        first=whole(told["first"], f"{what}, first", 0, len(target) - 1),
        query_span=span(told["query_span"], f"{what}, query_span", len(target)),
        answer_id=token_id(told["answer_id"], f"{what}, answer_id"),
        contrast_id=token_id(told["contrast_id"], f"{what}, contrast_id"),
    )


def _instruction(told: Any, what: str) -> Instruction:
    if not isinstance(told, list) or len(told) != 3:
        refuse(what, "a list of text, family and phrase")
    words = text(told[0], what)
    return Instruction(words, text(told[1], what), maybe(told[2], what, lambda v, w: span(v, w, len(words))))


def _column(told: Any, what: str) -> Column:
    if not isinstance(told, list) or len(told) != 3 or not isinstance(told[2], bool):
        refuse(what, "columns of a label, a position, and true or false")
    named = isinstance(told[1], str) and len(told[1]) < MAX_NAME and NAME.fullmatch(told[1])
    position = told[1] if named else whole(told[1], what, -MAX_TOKENS, MAX_TOKENS)
    return Column(text(told[0], what), position, told[2])


def _player(told: Any, what: str) -> Player:
    keys(told, *(field.name for field in fields(Player)), what=what)
    return Player(
        address=text(told["address"], f"{what}, address"),
        label=text(told["label"], f"{what}, label"),
        site=text(told["site"], f"{what}, site"),
        layer=whole(told["layer"], f"{what}, layer", 0, MAX_LAYERS),
        head=maybe(told["head"], f"{what}, head", lambda v, w: whole(v, w, 0, MAX_COLUMNS)),
        column=maybe(told["column"], f"{what}, column", _column),
    )
