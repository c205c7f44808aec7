"""Archives: a real result goes out and comes back the same, and what a stranger makes of one is refused."""

from __future__ import annotations

import copy
import csv
import io
import json
import os
import pickle
import resource
import stat
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ivx
from ivx.analyses import registry
from ivx.analyses.effects.result import Effects
from ivx.archive import members, pack, unpack
from ivx.cli.main import main
from ivx.errors import IvxError
from ivx.formats import parquet, sheet
from ivx.patching.table import ROWS
from ivx.store.store import Store

Parts = dict[str, Any]


@pytest.fixture(scope="module")
def found() -> Effects:
    return ivx.effects("tiny-sft", "animal/colour", samples=12)


@pytest.fixture(scope="module")
def packed(found: Effects) -> bytes:
    return pack.of_result(found, metric="logprob")


@pytest.fixture(scope="module")
def asked(found: Effects) -> Parts:
    return {"kind": "effects", "request": found.receipt["request"], "checkpoint": found.receipt["checkpoint"]}


def content(packed: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        return {name: file.read(name) for name in file.namelist()}


def zipped(parts: dict[str, bytes], *, how: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", how) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    return sink


def refused(source: io.BytesIO | Path, told: str) -> None:
    with pytest.raises(IvxError, match=told) as caught:
        unpack.unpack(source)
    assert "\n" not in str(caught.value)


# Out and back


def test_a_result_comes_back_the_same(found: Effects, packed: bytes) -> None:
    run = unpack.unpack(io.BytesIO(packed))
    again = run.result
    assert again.table.equals(found.table) and again.request == found.request
    assert (again.samples, again.maps, again.layers) == (found.samples, found.maps, found.layers)
    assert again.cells("resid_post") == found.cells("resid_post")
    marks = {"imported": True, "origin": found.run_id, "run": again.run_id}
    assert run.receipt == json.loads(json.dumps(found.receipt)) | marks
    assert packed == pack.of_result(found, metric="logprob"), "equal runs make equal archives"
    assert again.run_id != found.run_id, "an imported run never answers a request"


def test_a_document_of_millions_of_lists_is_refused_before_one_is_made(packed: bytes) -> None:
    vast = b'{"a": [' + b"[]," * 5_000_000 + b"[]]}"
    bomb = zipped({**content(packed), "context.json": vast}, how=zipfile.ZIP_STORED)
    tracemalloc.start()
    refused(bomb, "context.json is not JSON as expected .*values, more than 4,000,000")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * len(vast), "its lists alone would take twenty times as much"


def test_a_context_is_json_and_its_own_inverse(found: Effects, asked: Parts) -> None:
    kept = json.loads(json.dumps(registry.context(found)))
    assert registry.restored(json.loads(json.dumps(asked)), kept, found.table, found.receipt) == found


def test_a_noised_result_and_a_users_own_task_come_back(tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text("query,answer,contrast,instruction\npig,brown,no,name it .\ncrow,black,yes,\n")
    cases: list[tuple[str, dict[str, Any]]] = [
        ("animal/colour", {"direction": "noise", "sites": ("attn_out",)}),
        (str(own), {}),
    ]
    for task, more in cases:
        found = ivx.effects("tiny-sft", task, samples=2, position="first", **more)
        again = unpack.read(io.BytesIO(pack.of_result(found)))
        assert (again.request, again.samples, again.maps) == (found.request, found.samples, found.maps)
        assert again.table.equals(found.table)


def test_the_files_are_what_their_names_say(found: Effects, packed: bytes) -> None:
    parts = content(packed)
    assert set(parts) == {
        *members.READ,
        *members.UNREAD,
        *(f"{site}.{ending}" for site in ("resid_post", "z") for ending in ("vl.json", "svg", "png", "txt")),
    }
    assert parts["z.png"].startswith(b"\x89PNG") and b"<svg" in parts["z.svg"]
    assert b">z: log-prob<" in parts["z.svg"] and b">nats<" in parts["z.svg"]
    told = parts["z.txt"].decode()
    assert found.run_id in told and f"n = {len(found.samples.rows)}" in told and "in nats" in told
    assert json.loads(parts["z.vl.json"]) == json.loads(json.dumps(found.figures("logprob")["z"]))
    table = pq.read_table(io.BytesIO(parts["rows.parquet"]))
    assert table.equals(found.table) and json.loads(table.schema.metadata[b"ivx"])["run"] == found.run_id
    lines = list(csv.DictReader(io.StringIO(parts["rows.csv"].decode())))
    assert [float(line["logit"]) for line in lines] == found.table["logit"].to_pylist()


def test_the_notebook_is_valid_and_draws_the_figure_in_a_fresh_process(packed: bytes, tmp_path: Path) -> None:
    import nbformat

    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        file.extractall(tmp_path)
    notebook = nbformat.read(tmp_path / "figure.ipynb", as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    script = (
        "import json\nspace = {}\n"
        "for cell in json.load(open('figure.ipynb'))['cells']:\n"
        "    if cell['cell_type'] == 'code':\n"
        "        exec(''.join(cell['source']), space)\n"
        "json.dump(space['chart'].to_dict(), open('drawn.json', 'w'))\n"
    )
    root = {"PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env={**os.environ, **root}, check=True, timeout=120)
    drawn = json.loads((tmp_path / "drawn.json").read_text())
    figure = json.loads((tmp_path / "z.vl.json").read_text())
    data = drawn["hconcat"][1]["data"]
    assert (data.get("values") or drawn["datasets"][data["name"]]) == figure["datasets"]["tiles"]
    assert drawn["hconcat"][1]["title"] == figure["title"]


def test_a_cell_never_begins_a_formula() -> None:
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "x=1", "", None]
    table = pa.table({"text": texts, "number": [-1.5] * len(texts), "list": [[1]] * len(texts)})
    lines = list(csv.reader(io.StringIO(sheet.csv(table).decode(), newline="")))
    assert lines[0] == ["text", "number"]
    assert [line[0] for line in lines[1:]] == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "'\rx", "x=1", "", ""]
    assert {line[1] for line in lines[1:]} == {"-1.5"}


def test_the_terminal_gets_no_control_characters(
    packed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IVX_CACHE", str(tmp_path))
    assert main(["import", "x\x1b[31m\nred.zip"]) == 2
    Store().begin("0" * 12, asked={"kind": "\x1b[2J", "request": {"task": "\x1b]0;owned\x07"}, "checkpoint": {}})
    assert main(["runs"]) == 0
    caught = capsys.readouterr()
    assert "�" in caught.err and "�" in caught.out and caught.err.count("\n") == caught.out.count("\n") == 1
    assert all(c.isprintable() for c in (caught.out + caught.err).replace("\n", ""))


def test_through_the_store_by_the_command_line(
    found: Effects, asked: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IVX_CACHE", str(tmp_path / "store"))
    run = Store().begin(found.run_id, asked=asked)
    run.append(found.table)
    out = tmp_path / "run.zip"
    assert main(["export", found.run_id, "--out", str(out)]) == 2 and "is not complete" in capsys.readouterr().err
    run.keep("context", registry.context(found))
    run.complete(found.receipt)
    assert main(["export", found.run_id, "--out", str(out)]) == 0
    before = content(out.read_bytes())
    capsys.readouterr()
    ids = []
    for _ in range(2):
        assert main(["import", str(out)]) == 0
        ids.append(capsys.readouterr().out.strip())
    assert ids[0] == ids[1] != found.run_id
    assert Store().find(ids[0]).receipt["imported"] is True  # type: ignore[union-attr,index]

    assert main(["export", ids[0], "--out", str(out)]) == 0
    assert content(out.read_bytes())["resid_post.svg"] == before["resid_post.svg"]
    again = unpack.unpack(out)
    assert (again.receipt["run"], again.receipt["origin"]) == (ids[0], found.run_id)
    capsys.readouterr()
    assert main(["runs", "--json"]) == 0
    listed = {entry["run"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert set(listed) == {found.run_id, ids[0]} and listed[ids[0]]["rows"] == found.table.num_rows
    assert main(["runs"]) == 0
    assert "animal/colour, imported" in capsys.readouterr().out
    for argv, told in (
        (["export", "0" * 12], "there is no run"),
        (["export", "../etc"], "there is no run"),
        (["export", found.run_id, "--out", "a.pickle"], "must end in .zip"),
        (["export", found.run_id, "--metric", "x"], "no metric 'x'"),
        (["import", str(tmp_path / "none.zip")], "there is no file"),
        (["import", "/dev/zero"], "there is no file"),
    ):
        assert main(argv) == 2
        caught = capsys.readouterr()
        assert told in caught.err and caught.err.count("\n") == 1


# The container


class Payload:
    def __reduce__(self) -> tuple:
        return (os.system, ("touch /tmp/ivx-was-here",))


@pytest.mark.parametrize(
    "name",
    ["rows.pkl", "../asked.json", "/etc/passwd", "a/../../b.svg", "..\\x.svg", "C:\\x.svg", "x\0.svg", "z.html", "z/"],
)
def test_only_known_names(packed: bytes, name: str) -> None:
    refused(zipped({**content(packed), name: pickle.dumps(Payload())}), "which is no part of a run")


def test_a_pickle_under_a_known_name_is_not_unpickled(packed: bytes) -> None:
    for name in members.READ:
        refused(zipped({**content(packed), name: pickle.dumps(Payload())}), f"{name} is not")
    assert not Path("/tmp/ivx-was-here").exists()


def remade(packed: bytes, change: Callable[[zipfile.ZipInfo], None]) -> io.BytesIO:
    """The archive with one member's entry changed."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as file:
        for name, data in content(packed).items():
            entry = zipfile.ZipInfo(name)
            if name == "context.json":
                change(entry)
            file.writestr(entry, data)
    return sink


def test_links_devices_and_other_packings(packed: bytes) -> None:
    def kind(mode: int) -> Callable[[zipfile.ZipInfo], None]:
        return lambda entry: setattr(entry, "external_attr", (mode | 0o777) << 16)

    def method(number: int) -> Callable[[zipfile.ZipInfo], None]:
        return lambda entry: setattr(entry, "compress_type", number)

    for mode in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFDIR):
        refused(remade(packed, kind(mode)), "not a plain file")
    for number in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        refused(remade(packed, method(number)), "packed in a way")


def test_a_link_in_a_folder(packed: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        file.extractall(tmp_path)
    assert unpack.read(tmp_path).layers == 8
    (tmp_path / "elsewhere").write_bytes((tmp_path / "context.json").read_bytes())
    (tmp_path / "context.json").unlink()
    (tmp_path / "context.json").symlink_to(tmp_path / "elsewhere")
    refused(tmp_path, "cannot be read")
    (tmp_path / "context.json").unlink()
    os.mkfifo(tmp_path / "context.json")
    refused(tmp_path, "not a plain file")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_doubled_missing_encrypted_and_cut(packed: bytes) -> None:
    twice = zipped(content(packed))
    with zipfile.ZipFile(twice, "a") as file:
        file.writestr("asked.json", b"{}")
    refused(twice, "'asked.json' twice")
    refused(zipped({k: v for k, v in content(packed).items() if k != "context.json"}), "lacks context.json")
    locked = bytearray(packed)
    at = locked.index(b"PK\x01\x02")
    locked[at + 8] |= 1
    refused(io.BytesIO(bytes(locked)), "encrypted")
    for cut in (0, 10, 1000, len(packed) // 2, len(packed) - 1):
        refused(io.BytesIO(packed[:cut]), "cut short")
    damaged = bytearray(packed)
    at = packed.index(b"context.json")
    damaged[at + 200] ^= 0xFF
    refused(io.BytesIO(bytes(damaged)), "damaged")
    refused(io.BytesIO(b"\0" * 100 + packed[-60:]), "damaged|no part|lacks")


def bomb(packed: bytes, *, claims: int) -> bytes:
    """An archive whose context unpacks to ten gigabytes of zeros, and claims to have `claims` bytes."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = deflate.compress(bytes(10_000_000)) + deflate.flush(zlib.Z_FULL_FLUSH)
    squeezed = block * 1000 + deflate.flush()
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as file:
        for name, data in content(packed).items():
            file.writestr(name, squeezed if name == "context.json" else data)
        at = file.getinfo("context.json").header_offset
    made = bytearray(sink.getvalue())
    entry = made.rindex(b"PK\x01\x02", 0, made.rindex(b"context.json"))
    made[at + 8] = made[entry + 10] = zipfile.ZIP_DEFLATED
    made[entry + 24 : entry + 28] = claims.to_bytes(4, "little")
    return bytes(made)


@pytest.mark.parametrize(
    ("claims", "told"), [(4_000_000_000, "claims 4,000,000,000 bytes"), (90_000_000, "damaged"), (0, "damaged")]
)
def test_a_bomb_of_ten_gigabytes_is_refused_at_once_in_little_memory(packed: bytes, claims: int, told: str) -> None:
    made = bomb(packed, claims=claims)
    assert len(made) < 20_000_000
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(io.BytesIO(made), told)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 150_000, "kilobytes"


def test_a_ratio_is_held_while_unpacking(packed: bytes) -> None:
    refused(zipped({**content(packed), "context.json": b" " * 90_000_000}), "zip bomb")


def test_a_vast_directory_is_not_read(tmp_path: Path) -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as file:
        for i in range(5000):
            file.writestr(f"z{i}.svg", b"")
    refused(sink, "lists 5,000 members")


# The documents

EDITS: list[tuple[str, Callable[[Parts], Any], str]] = [
    ("asked", lambda a: a.update(kind="other"), "kind"),
    ("asked", lambda a: a.update(more=1), "other parts than"),
    ("asked", lambda a: a["request"].update(samples="12"), "different requests"),
    ("receipt", lambda r: r.update(rows=5), "tells of 5 rows"),
    ("receipt", lambda r: r.update(run="0" * 12), "not the hash of what was asked"),
    ("receipt", lambda r: r.update(run="../../x"), "no run of 12 hexadecimal digits"),
    ("receipt", lambda r: r.update(origin=["x"]), "no origin of 12"),
    ("receipt", lambda r: r.update(engine=1), "receipt, engine"),
    ("receipt", lambda r: r.update(checks=[{"name": "x"}]), "receipt, checks"),
    ("receipt", lambda r: r["checkpoint"].update(fingerprint="0"), "different checkpoints"),
    ("receipt", lambda r: r.update(samples=7), "receipt, samples"),
    ("receipt", lambda r: r.update(seconds=float("inf")), "Infinity is no number"),
    ("receipt", lambda r: r.update(seconds="1"), "receipt, seconds"),
    ("receipt", lambda r: r.update(more=[[[[[[[[[[1]]]]]]]]]]), "nested deeper"),
    ("context", lambda c: c.pop("maps"), "context: expected is exactly"),
    ("context", lambda c: c.update(layers=10**9), "layers: expected is a whole number"),
    ("context", lambda c: c.update(layers=True), "layers"),
    ("context", lambda c: c["maps"].update(z=[["h", 10**30, False]]), "map of z"),
    ("context", lambda c: c["maps"].pop("z"), "maps: expected is one map for each"),
    ("context", lambda c: c.update(rows=[]), "rows: expected is a list of 1 to"),
    ("context", lambda c: c["rows"].pop(), "control: expected is no sample or 11"),
    ("context", lambda c: c["rows"][1].update(query=["x"]), r"rows\[1\], query"),
    ("context", lambda c: c["rows"][1].update(query="x" * 30_000), r"rows\[1\], query"),
    ("context", lambda c: c["rows"][1].update(query="\ud800"), r"rows\[1\], query"),
    ("context", lambda c: c["rows"][2].update(t_inst=99), r"rows\[2\], t_inst"),
    ("context", lambda c: c["rows"][2].update(source=[2**40]), r"rows\[2\], source\[0\]"),
    ("context", lambda c: c["rows"][2].update(answer_id=-1), "answer_id"),
    ("context", lambda c: c["rows"][2].update(query_span=[3, 1]), "query_span"),
    ("context", lambda c: c["rows"][2].update(instruction={"text": "x"}), "a list of text, family and phrase"),
    ("context", lambda c: c.update(warnings=[1]), "warnings"),
]


@pytest.mark.parametrize(("document", "edit", "told"), EDITS, ids=[told for _, _, told in EDITS])
def test_a_document_that_does_not_fit(
    found: Effects, packed: bytes, document: str, edit: Callable[[Parts], Any], told: str
) -> None:
    parts = content(packed)
    changed = json.loads(parts[f"{document}.json"])
    edit(changed)
    parts[f"{document}.json"] = json.dumps(changed).encode()
    if document == "receipt":
        parts["rows.parquet"] = parquet.parquet(found.table, changed)
    refused(zipped(parts), told)


@pytest.mark.parametrize(
    "data", [b"", b"nonsense", b"[1]", b"\xff\xfe", b"[" * 90_000, b'{"kind":' * 10_000, b'{"a":' + b"9" * 90_000]
)
def test_what_is_not_json(packed: bytes, data: bytes) -> None:
    refused(zipped({**content(packed), "asked.json": data}), "asked.json is not")


def test_no_request_is_taken_on_trust(found: Effects, asked: Parts) -> None:
    kept = registry.context(found)
    for change in (
        {"samples": "6"},
        {"seed": -1},
        {"sites": "z"},
        {"sites": ["z", "z"]},
        {"sites": ["__import__"]},
        {"position": 3},
        {"adapter": 1},
        {"more": 1},
    ):
        strange = copy.deepcopy(asked)
        strange["request"].update(change)
        with pytest.raises(IvxError):
            registry.restored(strange, kept, found.table, found.receipt)


# The rows


def with_rows(found: Effects, packed: bytes, table: pa.Table) -> io.BytesIO:
    receipt = found.receipt | {"rows": table.num_rows}
    parts = {"rows.parquet": parquet.parquet(table, receipt), "receipt.json": json.dumps(receipt).encode()}
    return zipped({**content(packed), **parts})


def replaced(table: pa.Table, name: str, value: Any, *, row: int = 3) -> pa.Table:
    values = table[name].to_pylist()
    values[row] = value
    return table.set_column(
        table.schema.get_field_index(name), table.schema.field(name), pa.array(values, table[name].type)
    )


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("logit", float("nan")),
        ("logit", float("inf")),
        ("contrast", 1e300),
        ("contrast", None),
        ("kl_reference", float("nan")),
        ("logsumexp", float("-inf")),
        ("sample", 6),
        ("sample", -1),
        ("sample", None),
        ("rank", 0),
        ("role", "admin"),
        ("site", "mlp_out"),
        ("top_ids", [-5] * 10),
        ("top_ids", [1]),
        ("top_ids", [None] * 10),
        ("top_logits", [float("nan")] * 10),
        ("patch", "x" * 5000),
        ("patch", "resid_post.1"),
        ("patch", "resid_post.1@0=own=random"),
        ("patch", "resid_post.1@0~-1=own"),
        ("patch", "resid_post.1@0~-1,,resid_post.2@0=own"),
        ("patch", "kv.1@0~-1"),
    ],
)
def test_a_value_no_sweep_returns(found: Effects, packed: bytes, column: str, value: Any) -> None:
    refused(with_rows(found, packed, replaced(found.table, column, value)), column)


@pytest.mark.parametrize(
    "patch", ["resid_post.1@0~-1,resid_post.2@0=own", "z.1.2@query-1~keyword-2=random,mlp_out.3@query_end=own"]
)
def test_a_row_of_any_address_is_let_in(found: Effects, packed: bytes, patch: str) -> None:
    was = next(filter(None, found.table["patch"].to_pylist()))
    named = [patch if one == was else one for one in found.table["patch"].to_pylist()]  # of every sample
    at = found.table.schema.get_field_index("patch")
    table = found.table.set_column(at, found.table.schema.field(at), pa.array(named, found.table["patch"].type))
    assert unpack.unpack(with_rows(found, packed, table)).result.table.equals(table)


def test_rows_twice_and_rows_of_another_number(found: Effects, packed: bytes) -> None:
    table = found.table
    refused(with_rows(found, packed, pa.concat_tables([table, table.slice(0, 1)])), "once")
    parts = content(packed)
    parts["rows.parquet"] = parquet.parquet(table.slice(1), found.receipt)
    refused(zipped(parts), "rows, rows.parquet has")
    parts["rows.parquet"] = parquet.parquet(table, found.receipt | {"seconds": 1.0})
    refused(zipped(parts), "another receipt")


def test_another_schema(found: Effects, packed: bytes) -> None:
    table = found.table
    refused(with_rows(found, packed, table.drop_columns(["rank"])), "has the columns")
    refused(with_rows(found, packed, table.append_column("more", table["rank"])), "has the columns")
    at = table.schema.get_field_index("rank")
    for kind in (pa.int64(), pa.float64(), pa.string(), pa.decimal128(30, 2)):
        changed = table.set_column(at, "rank", table["rank"].cast(pa.int64()).cast(kind))
        refused(with_rows(found, packed, changed), "column 'rank': int32 was expected")
    nested = pa.array([{"x": [1]}] * table.num_rows)
    refused(with_rows(found, packed, table.set_column(at, "rank", nested)), "column 'rank': int32 was expected")


def written(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, store_schema=False, **options)
    return sink.getvalue()


def of_length(n: int) -> pa.Table:
    """A table that makes a small file, however many rows: every row is the same."""
    row = {"patch": "x", "role": "told", "site": "z", "top_ids": [1], "top_logits": [1.0]}
    one = pa.Table.from_pylist([{name: row.get(name, 1) for name in ROWS.names}], schema=ROWS)
    return one.take(pa.array(np.zeros(n, dtype=np.int64)))


def test_absurd_metadata_is_refused_unread() -> None:
    with pytest.raises(IvxError, match="claims 5,000,001 rows"):
        parquet.read(written(of_length(5_000_001)), ROWS)
    with pytest.raises(IvxError, match="10,001 row groups"):
        parquet.read(written(of_length(10_001), row_group_size=1), ROWS)
    with pytest.raises(IvxError, match="claims 0 rows"):
        parquet.read(written(of_length(0)), ROWS)
    for data in (b"", b"PAR1", b"PAR1\xff\xff\xff\x7fPAR1", b"PAR1" + b"\xff" * 100 + b"\x40\0\0\0PAR1"):
        with pytest.raises(IvxError, match="not readable as Parquet"):
            parquet.read(data, ROWS)


def test_a_long_text_in_every_row_is_not_spelled_out() -> None:
    n = 1_000_000
    once = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), n), ["x" * 1_000_000])
    table = of_length(n).drop_columns(["patch"]).add_column(1, "patch", once)
    data = written(table)
    assert len(data) < 1_000_000
    with pytest.raises(IvxError, match="a text of 1,000,000 bytes"):
        parquet.read(data, ROWS)


def test_many_texts_that_become_gigabytes_are_counted_before_they_are_spelled_out() -> None:
    n = 1_000_000
    each = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), n), ["x" * 3_000])
    data = written(of_length(n).drop_columns(["patch"]).add_column(1, "patch", each))
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(IvxError, match=r"becomes 3\.\d GB of columns: up to 1 GB are read"):
        parquet.read(data, ROWS)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 50_000, "kilobytes"


def varint(value: int) -> bytes:
    """A whole number as Thrift's compact protocol writes it."""
    value *= 2
    found = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        found.append(low | (0x80 if value else 0))
        if not value:
            return bytes(found)


def long_list(n: int, *, claims: int) -> bytes:
    """One row whose `top_ids` has `n` values, in a file of two kilobytes that claims `claims` of them."""
    column = pa.ListArray.from_arrays(pa.array([0, n], pa.int32()), pa.nulls(n, pa.int32()))
    at = ROWS.get_field_index("top_ids")
    data = bytearray(written(of_length(1).set_column(at, "top_ids", column), data_page_size=2**30))
    true, lie = varint(n), bytearray(varint(claims))
    if len(lie) < len(true):  # padded to the same length
        lie[-1] |= 0x80
        lie += b"\x80" * (len(true) - len(lie) - 1) + b"\0"
    place = data.index(true, len(data) - 8 - int.from_bytes(data[-8:-4], "little"))
    data[place : place + len(true)] = lie
    return bytes(data)


def test_a_list_of_many_values_in_a_small_file() -> None:
    n = 50_000_000
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(IvxError, match="50,000,000 values are claimed for 1 rows"):
        parquet.read(long_list(n, claims=n), ROWS)
    lying = long_list(n, claims=1)
    assert len(lying) < 5_000
    with pytest.raises(IvxError, match="a list of 50,000,000 values"):
        parquet.read(lying, ROWS)
    with pytest.raises(IvxError, match="within bounds|not readable"):
        parquet.read(lying, ROWS, memory=500_000_000)
    assert parquet.read(written(of_length(100_000)), ROWS, memory=500_000_000).num_rows == 100_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 500_000, "kilobytes"
