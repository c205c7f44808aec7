"""Whole archives with one thing wrong: a document's field, a row, a member's name or size; and what became of each.

`python -m tests.archive.mutations [SEED] [COUNT]` says of each that was not refused in one sentence what it was, and of
all how many there were.
"""

from __future__ import annotations

import copy
import io
import json
import random
import re
import stat
import sys
import unicodedata
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa

from ivx.analyses.base import Result
from ivx.analyses.registry import analysis_of, named_by, request_of
from ivx.archive import unpack
from ivx.errors import IvxError
from ivx.formats import parquet
from ivx.jobs import shipped
from ivx.models.registry import REAL_RUNS, RUNS
from ivx.store.store import Store
from tests.archive.nonsense import BAD, MISSING, places, put

SEED, COUNT = 23, 400
NEVER = {"huge", "vast", "NaN", "infinite", "long text", "control characters", "turned around", "half a letter", "deep"}
"""Values that no field of any document has."""
CELLS: dict[str, list[Any]] = {"double": [None, float("nan"), float("inf"), -float("inf"), 1e300, -1e300]}
CELLS["float"] = CELLS["double"]
CELLS["int64"] = CELLS["int32"] = CELLS["int16"] = CELLS["int8"] = [None, -1, 2**31 - 1, -(2**31)]
CELLS["string"] = [None, "", "x" * 3_000, "a\x1b[31mb", "../../etc", "=1+1"]
NAMES = ("../receipt.json", "/etc/passwd", "run.pkl", "model.safetensors", "RECEIPT.JSON", "receipt.json\0", "a" * 300)


@dataclass
class Parts:
    """What an archive is packed of."""

    asked: Any
    receipt: Any
    context: Any
    table: pa.Table

    def packed(self) -> dict[str, bytes]:
        """The members, sealed as whoever made the mutation would seal them: they fit together as far as can be."""
        if isinstance(self.asked, dict) and isinstance(self.receipt, dict):
            for name in ("kind", "request", "checkpoint"):
                self.receipt[name] = self.asked.get(name)
            try:
                fingerprint = self.asked["checkpoint"]["fingerprint"]
                task, engine = self.receipt["task"], self.receipt["engine"]
                self.receipt["run"] = request_of(self.asked).run_id(fingerprint, task, engine=engine)
                self.receipt.pop("origin", None)
            except Exception:  # then there is none
                pass
        told = {"asked.json": self.asked, "receipt.json": self.receipt, "context.json": self.context}
        members = {name: json.dumps(value).encode("utf-8", "surrogatepass") for name, value in told.items()}
        return {**members, "rows.parquet": parquet.parquet(self.table, self.receipt)}


@dataclass(frozen=True)
class Mutation:
    """An archive with one thing wrong.

    Attributes:
        what: which run, and what was done to it.
        data: the file.
        survives: of an accepted run, whether the nonsense is in it; None where any acceptance is one.
    """

    what: str
    data: bytes
    survives: Callable[[unpack.Unpacked], bool] | None = None


@cache
def bases() -> dict[str, tuple[Any, Any, Any, pa.Table]]:
    """The smallest run of each kind that comes with ivx."""
    store, found = Store(), dict[str, tuple[int, Any]]()
    for path in (*RUNS.glob("*.parquet"), *REAL_RUNS.glob("*.parquet")):
        run = shipped.found(store, path.stem)
        assert run is not None
        kind, size = run.asked["kind"], path.stat().st_size
        if size < found.get(kind, (10**9, None))[0]:
            found[kind] = size, run
    told = {}
    for kind, (_, run) in sorted(found.items()):
        table = run.table(named_by(run.asked).saved.key)
        told[kind] = run.asked, run.receipt, run.kept(shipped.CONTEXT), table
    return told


def mutation(number: int, *, seed: int = SEED) -> Mutation:
    """The one of this number, of all ways in turn."""
    draw = random.Random(f"{seed} {number}")
    ways = (_document, _document, _document, _row, _rows, _name, _size)
    return ways[number % len(ways)](draw, draw.choice(list(bases())))


def became(mutation: Mutation) -> str:
    """`refused`; else what is wrong: accepted nonsense, a traceback, or a sentence only where it is shown."""
    try:
        run = unpack.unpack(io.BytesIO(mutation.data))
    except IvxError as error:
        return "refused" if "\n" not in str(error) and len(str(error)) < 1_000 else f"a long refusal: {error}"
    except Exception as error:
        return f"traceback at the door: {type(error).__name__}: {error}"[:300]
    try:
        texts = shown(run)
    except IvxError as error:
        return f"refused only where it is shown: {error}"[:300]
    except Exception as error:
        return f"traceback where it is shown: {type(error).__name__}: {error}"[:300]
    if any(unicodedata.category(c) in ("Cc", "Cs") and c != "\n" or c in "\u202a\u202e" for t in texts for c in t):
        return "control characters are shown"
    # What is accepted without what was put there is as good as refused.
    return "accepted" if mutation.survives is None or mutation.survives(run) else "refused"


def shown(run: unpack.Unpacked) -> list[str]:
    """All that the app and the command line show of a run before anybody looks closer."""
    from ivx.ui.library import runs

    found: Result[Any] = run.result
    analysis = analysis_of(found.request.kind)
    told = [*runs.facts(run.receipt).values(), analysis.words.text(found.summary())]
    for name, spec in found.printed("contrast").items():
        told += [analysis.words.caption(found, name, "contrast"), json.dumps(spec, allow_nan=False, ensure_ascii=False)]
    found.plotted()
    return told


def _document(draw: random.Random, kind: str) -> Mutation:
    parts = Parts(*copy.deepcopy(bases()[kind][:3]), bases()[kind][3])
    which = draw.choice(["receipt", "receipt", "asked", "context"])
    document = getattr(parts, which)
    every = [place for place in places(document) if which != "receipt" or place[0] not in ("request", "checkpoint")]
    place = draw.choice(every)
    name, value = draw.choice(BAD)
    before = _at(document, place)
    put(document, place, value)
    # Another number, an empty text or list, and none at all may be right: whether they are is not asked, but shown.
    wrong = name in NEVER or type(value) is not type(before) and name in ("true", "a list", "an object")
    wrong |= name == "negative" and isinstance(before, int)
    if which == "context" and isinstance(before, str):  # texts of a task, and what a model wrote, may be any
        wrong &= name not in ("control characters", "turned around")

    def survives(run: unpack.Unpacked) -> bool:
        told = _at(getattr(run, which), place)
        return wrong and type(told) is type(value) and json.dumps(told) == json.dumps(value)

    return Mutation(f"{kind}, {which}.json, {'.'.join(map(str, place))}: {name}", zipped(parts.packed()), survives)


def _at(document: Any, place: tuple[Any, ...]) -> Any:
    for part in place:
        try:
            document = document[part]
        except (LookupError, TypeError):
            return MISSING
    return document


def _row(draw: random.Random, kind: str) -> Mutation:
    parts = Parts(*copy.deepcopy(bases()[kind][:3]), bases()[kind][3])
    field = draw.choice([one for one in parts.table.schema if str(one.type) in CELLS])
    value, row = draw.choice(CELLS[str(field.type)]), draw.randrange(parts.table.num_rows)
    values = parts.table[field.name].to_pylist()
    same = values[row] == value or (value is None and values.count(None))
    values[row] = value
    try:
        column = pa.array(values, field.type)
    except (pa.ArrowInvalid, OverflowError):
        same, column = True, parts.table[field.name]
    at = parts.table.column_names.index(field.name)
    parts.table = parts.table.set_column(at, field.name, column)
    told = "x…" if isinstance(value, str) and len(value) > 20 else repr(value)
    # What a model wrote, and what it was asked, may be any text; where a divergence is lacking, it was not taken.
    same |= field.name in ("wrote", "query", "answer", "contrast", "prompt") and isinstance(value, str)
    same |= field.name.startswith("kl_") and value is None
    return Mutation(f"{kind}, row {row}, {field.name}: {told}", zipped(parts.packed()), lambda _: not same)


def _rows(draw: random.Random, kind: str) -> Mutation:
    parts = Parts(*copy.deepcopy(bases()[kind][:3]), bases()[kind][3])
    table = parts.table
    ways: dict[str, Callable[[], pa.Table]] = {
        "the first row is lacking": lambda: table.slice(1),
        "the last row is lacking": lambda: table.slice(0, table.num_rows - 1),
        "half of the rows": lambda: table.slice(0, table.num_rows // 2),
        "no rows": lambda: table.slice(0, 0),
        "every row twice": lambda: pa.concat_tables([table, table]),
        "a row twice": lambda: pa.concat_tables([table, table.slice(draw.randrange(table.num_rows), 1)]),
        "a column is lacking": lambda: table.drop_columns([draw.choice(table.column_names)]),
        "a column more": lambda: table.append_column("more", pa.array([1] * table.num_rows)),
        "columns in another order": lambda: table.select(table.column_names[::-1]),
        "a column of another type": lambda: table.set_column(0, table.column_names[0], pa.array(["1"] * len(table))),
    }
    what = draw.choice(list(ways))
    parts.table = ways[what]()
    if isinstance(parts.receipt, dict):
        parts.receipt["rows"] = parts.table.num_rows
    return Mutation(f"{kind}, {what}", zipped(parts.packed()))


def _name(draw: random.Random, kind: str) -> Mutation:
    members = Parts(*copy.deepcopy(bases()[kind][:3]), bases()[kind][3]).packed()
    own, strange = draw.choice(list(members)), draw.choice(NAMES)
    what = draw.choice(["lacks", "is renamed", "lies in a folder", "is a link", "is there twice", "with a stranger"])
    data = members.pop(own) if what not in ("is a link", "is there twice", "with a stranger") else members[own]
    if what == "is renamed":
        members[strange] = data
    elif what == "lies in a folder":
        members[f"run/{own}"] = data
    elif what == "with a stranger":
        members[strange.rstrip("\0") if "\0" in strange else strange] = b"x"
        own = strange if "\0" not in strange else "a name that is there already"
    link = own if what == "is a link" else ""
    return Mutation(f"{kind}, {own!r:.60} {what}", zipped(members, link=link, twice=own if "twice" in what else ""))


def _size(draw: random.Random, kind: str) -> Mutation:
    whole = zipped(Parts(*copy.deepcopy(bases()[kind][:3]), bases()[kind][3]).packed())
    what = draw.choice(["cut", "a byte", "a hundred bytes", "a size", "a stretch twice", "a tail"])
    data = bytearray(whole)
    if what == "cut":
        data = data[: draw.randrange(len(data))]
    elif what == "a tail":
        data += bytes(draw.randrange(256) for _ in range(100))
    elif what == "a stretch twice":
        at = draw.randrange(len(data))
        data[at:at] = data[at : at + 200]
    elif what == "a size":  # what the directory claims of a member
        at = draw.choice([one.start() for one in re.finditer(b"PK\x01\x02", whole)]) + draw.choice([16, 20, 24, 42])
        data[at : at + 4] = draw.choice([0, 1, 2**31 - 1, 2**32 - 1]).to_bytes(4, "little")
    else:
        for _ in range(1 if what == "a byte" else 100):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)

    def survives(run: unpack.Unpacked) -> bool:  # a byte that nothing reads, such as a member's time, is no harm
        asked, _, context, table = bases()[kind]
        return (run.asked, run.context) != (asked, json.loads(json.dumps(context))) or not run.table.equals(table)

    return Mutation(f"{kind}, the file, {what}", bytes(data), survives)


def zipped(members: dict[str, bytes], *, link: str = "", twice: str = "") -> bytes:
    """A zip of these; the member `link` is a link, and `twice` is there twice."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, data in [*members.items(), *([(twice, members[twice])] if twice else [])]:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = ((stat.S_IFLNK if name == link else stat.S_IFREG) | 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, data)
    return sink.getvalue()


def main() -> None:
    """Say what became of them."""
    seed, count = (int(told) for told in (*sys.argv[1:], *(str(SEED), str(COUNT))[len(sys.argv) - 1 :]))
    ended: Counter[str] = Counter()
    for one in (mutation(k, seed=seed) for k in range(count)):
        told = became(one)
        ended[told.partition(":")[0]] += 1
        if told != "refused":
            print(f"{one.what}\n    {told}", flush=True)
    print(dict(ended))


if __name__ == "__main__":
    main()
