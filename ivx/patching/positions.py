"""Positions: tokens that prompts of different length share, by name.

An address counts a position where its number is the same in every sample, and names it where it is not: `keyword`,
`t_inst`, `query`, `query_end`, and tokens before them as `query-1`. Before a sweep sees an address, each sample puts
its own number in place of the name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ivx.engine.address import SOURCELESS, parse
from ivx.errors import IvxError
from ivx.tasks.label import label_of
from ivx.tasks.sample import Sample
from ivx.vocabulary import POSITION_WORDS, SOURCE_WORDS

if TYPE_CHECKING:
    from ivx.models.model import Model

Places = Mapping[str, int]
"""Positions by name, counted from the end."""

QUERY = "‹query"
"""How the label of the query's column begins."""
NAME = re.compile(r"[a-z]\w*(-\d+)?", re.ASCII)
_NAMED = re.compile(rf"(?<=[@~]){NAME.pattern}", re.ASCII)
_PART = re.compile(r"([^@]+)@([^~=]+)(?:~([^=]+))?(=\w+)?")


class Column(NamedTuple):
    """One column of a map: its label, its position (or head) as an address tells it, and whether its token varies."""

    label: str
    position: int | str
    varies: bool = False


def placed(patch: str, target: Places, source: Places) -> str:
    """The address that a patch with named positions means in one sample."""
    parts = []
    for part in patch.split(","):
        found = _PART.fullmatch(part)
        if found is None:
            raise IvxError(f"{part!r} is not an address with a position")
        where, at, taken, value = found.groups()
        if taken is None and at in target and value not in [f"={word}" for word in SOURCELESS]:
            taken = at  # a name stands for the token's like in the source
        origin = "" if taken is None else f"~{source.get(taken, taken)}"
        parts.append(f"{where}@{target.get(at, at)}{origin}{value or ''}")
    return ",".join(parts)


def check_named(patch: str) -> None:
    """Refuse what is no address with positions that are numbers or names; raises `AddressError`."""
    parse(_NAMED.sub("0", patch))


def taken(source_token: str, sample: Sample) -> int:
    """The number of a source token (`ivx.vocabulary.SOURCE_WORDS`, or an index) in a sample's source, from the start.

    Raises:
        IvxError: the source has no such token.
    """
    if source_token == "t_inst":
        return sample.t_inst
    if source_token == "first":
        return min(sample.first, sample.t_inst)
    if source_token in ("keyword", "before"):
        if sample.keyword is None:
            raise IvxError("this task's wordings do not mark a task phrase, so there is no keyword: use t_inst")
        if source_token == "before" and sample.keyword <= sample.first:
            raise IvxError(
                f"the instruction {sample.instruction.text!r} begins with its keyword, so no token stands before it: "
                "use keyword"
            )
        return sample.keyword - (source_token == "before")
    index, length = int(source_token), len(sample.source)
    if not -length <= index < length:
        raise IvxError(f"source token {index}: the instruction {sample.instruction.text!r} has {length} tokens")
    return index % length


def target_roles(sample: Sample) -> dict[str, int]:
    """The positions that have a name (`ivx.vocabulary.POSITION_WORDS`) and that a sample's bare prompt has, by name.

    Those before the query's end count from the start and those behind it from the end, so that prompts share them.
    Several names may mean one token: `mark` and `last` in "Word: apple.", `first` and `field` in ": apple .".
    """
    begin, end = sample.query_span
    length = len(sample.target)
    found = {"first": sample.first}
    if begin > sample.first:
        found["field"] = begin - 1
    found["query"] = begin
    if end < length:
        found["mark"] = end - length
    if sample.cue is not None and sample.cue >= end:
        found["cue"] = sample.cue - length
    return found | {"last": -1}


LACKS = {
    "field": "no token stands before their queries",
    "mark": "no token stands behind their queries",
    "cue": "no word stands behind their queries",
}
"""Why a bare prompt may have no such token."""


def position_of(position: str, rows: Sequence[Sample]) -> int:
    """The number that a position (`ivx.vocabulary.POSITION_WORDS`, or an index) has in all bare prompts: from the
    start, or from the end for what stands behind the query.

    Raises:
        IvxError: the prompts have no such token, or not at one number.
    """
    if position not in POSITION_WORDS:
        return int(position)
    every = [target_roles(s) for s in rows]
    if any(position not in roles for roles in every):
        raise IvxError(
            f"these bare prompts have no {position}: {LACKS[position]}; choose another position, such as "
            f"{', '.join(every[0])}"
        )
    found = {roles[position] for roles in every}
    if len(found) > 1:
        raise IvxError(f"the {position} token of these samples' prompts is not at one position: name an index")
    return found.pop()


def told_places(sample: Sample) -> Places:
    """Places of the instructed prompt: the instruction's, the tokens up to the query, and the query's."""
    if sample.instructed[: len(sample.source)] != sample.source:
        raise IvxError(
            "a run that demonstrations stand in has no instruction to disturb: put their states into the bare prompt "
            "(direction denoise)"
        )
    back = len(sample.target) - sample.query_span[0]
    if sample.instructed[-back:] != sample.target[-back:]:
        raise IvxError(
            "noise and ablations change the told run, which ends in the whole prompt: use the target format prompt or "
            "chat"
        )
    length = len(sample.instructed)
    found = {"t_inst": sample.t_inst - length} | _query_places(sample)
    if sample.keyword is not None:
        found["keyword"] = sample.keyword - length
    return found | {f"query-{j}": -back - j for j in range(1, -back - found["t_inst"])}


def bare_places(sample: Sample) -> Places:
    """Places of the bare prompt, as far as it has them."""
    query = _query_places(sample)
    return query | {f"query-{j}": query["query"] - j for j in range(1, 1 + sample.query_span[0] - sample.first)}


def _query_places(sample: Sample) -> dict[str, int]:
    first, end = sample.query_span
    return {"query": first - len(sample.target), "query_end": end - 1 - len(sample.target)}


def told_columns(model: Model, rows: Sequence[Sample], *, noise: bool) -> tuple[Column, ...]:
    """The columns of the instructed prompts: the instruction's keyword and last token, the tokens before the query that
    all share, the query's first and last, and those behind it. When noising, those that bare prompts have as well.
    """
    told = [told_places(s) for s in rows]
    bare = [bare_places(s) for s in rows] if noise else []
    names: list[tuple[str, str]] = []
    if not noise:
        if all("keyword" in p for p in told) and any(p["keyword"] != p["t_inst"] for p in told):
            names.append(("keyword", "keyword"))
        names.append(("T_inst", "t_inst"))
    lead: list[tuple[str, str]] = []
    while all(f"query-{len(lead) + 1}" in p for p in (*told, *bare)):
        name = f"query-{len(lead) + 1}"
        token = _token_at(rows, [p[name] for p in told])
        if token is None:
            break
        lead.append((shown(model, token), name))
    names += lead[::-1]
    one = all(p["query"] == p["query_end"] for p in told)
    names += [(f"{QUERY}›", "query")] if one else [(f"{QUERY}…", "query"), ("…query›", "query_end")]
    columns = [
        Column(label, numbered(name, (*told, *bare)), _token_at(rows, [p[name] for p in told]) is None)
        for label, name in names
    ]
    for position in range(1 + max(p["query_end"] for p in told), 0):
        token = _token_at(rows, [position] * len(rows))
        if token is None or len({p["query_end"] for p in told}) > 1:
            raise IvxError(
                "the prompts of these samples do not share the tokens behind the query, so they do not align"
            )
        columns.append(Column(shown(model, token), position))
    return tuple(columns)


def numbered(name: str, places: Sequence[Places]) -> int | str:
    """The number that a name has in all of these prompts; the name itself where they differ."""
    found = {p[name] for p in places}
    return found.pop() if len(found) == 1 else name


def _token_at(rows: Sequence[Sample], positions: Sequence[int]) -> int | None:
    """The instructed prompts' token at one position each; None where they differ."""
    found = {s.instructed[p] for s, p in zip(rows, positions, strict=True)}
    return found.pop() if len(found) == 1 else None


def shown(model: Model, token: int) -> str:
    """A token as it stands on an axis."""
    return label_of(model.tokenizer.convert_ids_to_tokens(token))


def source_places(sample: Sample) -> Places:
    """Places of the instruction alone: its keyword and last token, the tokens before either, and its first."""
    length = len(sample.source)
    ends = {"t_inst": sample.t_inst} | ({} if sample.keyword is None else {"keyword": sample.keyword})
    found = {"start": sample.first - length}
    if sample.keyword is not None and sample.keyword > sample.first:
        found["before"] = sample.keyword - 1 - length
    for name, end in ends.items():
        found[name] = end - length
        found |= {f"{name}-{j}": end - j - length for j in range(1, end - sample.first)}
    return found


def source_columns(rows: Sequence[Sample], token: str = "all") -> tuple[Column, ...]:
    """The columns of the instructions: their first token, those up to the keyword, those up to the last token; or one.

    Tokens are counted from the keyword where every wording marks one, and else from the end; only those that all
    wordings have make a column, so the middle of long ones is left out.
    """
    places = [source_places(s) for s in rows]
    marked = all("keyword" in p for p in places)
    behind = {p["t_inst"] - p["keyword"] for p in places} if marked else {0}
    end = "keyword" if behind != {0} else "t_inst"
    names = [name for j in range(1, 1 + max(map(len, places))) if all((name := f"{end}-{j}") in p for p in places)]
    names = ["start", *names[::-1], end]
    if end == "keyword":
        names += [f"t_inst-{j}" for j in range(min(behind) - 1, 0, -1)] + ["t_inst"]
    if all(p["start"] == p[end] for p in places):
        names.remove("start")
    if token in SOURCE_WORDS:
        for sample in rows:
            taken(token, sample)
        names = ["start" if token == "first" else token]
    elif token != "all":
        return (Column(f"token {token}", int(token), True),)
    last = "keyword = T_inst" if marked and behind == {0} else "T_inst"
    labels = {"start": "first", "before": "keyword−1", "t_inst": last}
    return tuple(
        Column(labels.get(name, name.replace("t_inst", "T_inst").replace("-", "−")), numbered(name, places), True)
        for name in names
    )


def column_at(every: Sequence[Column], position: str, rows: Sequence[Sample]) -> Column:
    """The column that a position (`ivx.vocabulary.POSITION_WORDS`, or an index) names; last counts from the end."""
    if position == "last":
        return every[-1]._replace(position=-1)
    wanted = position_of(position, rows)
    if position in ("query", "field"):  # told prompts count them from the end, or by name
        query = next(k for k, column in enumerate(every) if column.label.startswith(QUERY))
        if position == "query":
            return every[query]
        at = every[query].position
        beside = ("query-1", at - 1 if isinstance(at, int) else at)
        if query and every[query - 1].position in beside:
            return every[query - 1]
        raise IvxError("the told prompts of these samples do not share the token before the query: choose another one")
    return next((column for column in every if column.position == wanted), Column(f"token {wanted}", wanted))


def columns_of(model: Model, rows: Sequence[Sample]) -> tuple[Column, ...]:
    """The columns of the bare prompts: tokens before the query, its first and last token, tokens after it.

    Tokens after the query are counted from the end, so that queries of several tokens align.
    """
    leads = {s.target[s.first : s.query_span[0]] for s in rows}
    tails = {s.target[s.query_span[1] :] for s in rows}
    words = {s.query_span[1] - s.query_span[0] for s in rows}
    if len(leads) > 1 or len(tails) > 1:
        raise IvxError("the prompts of these samples do not share the tokens around the query, so they do not align")
    lead, tail, first = leads.pop(), tails.pop(), rows[0].first
    found = [Column(shown(model, token), first + i) for i, token in enumerate(lead)]
    if words == {1}:
        found.append(Column(f"{QUERY}›", first + len(lead), True))
    else:
        found.append(Column(f"{QUERY}…", first + len(lead), True))
        found.append(Column("…query›", -len(tail) - 1, True))
    found += [Column(shown(model, token), i - len(tail)) for i, token in enumerate(tail)]
    return tuple(found)
