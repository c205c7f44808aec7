"""Tasks: the built-in data, what a tokenizer makes of them, and hostile files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import PreTrainedTokenizerFast

from ivx.errors import TaskError
from ivx.tasks import catalogue, tiny
from ivx.tasks.samples import build
from ivx.tasks.way import Way
from tests.support.tokenizers import decoded, tokenizer


@pytest.fixture(scope="module", params=["gpt2", "bos", "metaspace"])
def tok(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return tokenizer(request.param)


@pytest.mark.parametrize("form", ["prompt", "query", "filler"])
def test_positions_and_the_instruction_as_prefix(tok: PreTrainedTokenizerFast, form: str) -> None:
    built = build(catalogue.find("animal/colour"), tok, samples=20, way=Way(form))
    bos = 1 if tok("a")["input_ids"][0] == tok.bos_token_id else 0
    for s in built.rows:
        assert s.instructed[: len(s.source)] == s.source
        assert s.t_inst == len(s.source) - 1 and decoded(tok, s.source[s.t_inst]).strip() == "."
        assert s.instruction.phrase is not None and s.keyword is not None and s.keyword < s.t_inst
        phrase = s.instruction.text[slice(*s.instruction.phrase)]
        assert phrase.endswith(decoded(tok, s.source[s.keyword]).strip())
        assert decoded(tok, s.target[slice(*s.query_span)]).strip() == s.query
        assert s.first == bos
    assert built == build(catalogue.find("animal/colour"), tok, samples=20, way=Way(form))
    assert built != build(catalogue.find("animal/colour"), tok, samples=20, way=Way(form), seed=1)


def test_the_answer_token_is_what_follows_the_prompt(tok: PreTrainedTokenizerFast) -> None:
    built = build(catalogue.find("animal/can-fly"), tok, samples=10)
    for s in built.rows:
        text = f"Animal: {s.query}. Answer:"
        whole, bare = tok(f"{text} {s.answer}")["input_ids"], tok(text)["input_ids"]
        assert whole[: len(bare)] == bare and whole[len(bare)] == s.answer_id
    assert len(built.control) == 10 and {c.query for c in built.control} == {s.query for s in built.rows}


def test_chat_needs_a_template_and_uses_it() -> None:
    tok = tokenizer("gpt2")
    with pytest.raises(TaskError, match="no chat template"):
        build(catalogue.find("animal/colour"), tok, way=Way("chat"))
    tok.chat_template = "<s>{% for m in messages %}user: {{ m.content }}\n{% endfor %}assistant:"
    s = build(catalogue.find("animal/colour"), tok, samples=3, way=Way("chat")).rows[0]
    assert decoded(tok, s.target).endswith(f"user: Animal: {s.query}. Answer:\nassistant:")
    assert s.instructed[: len(s.source)] == s.source and decoded(tok, s.source).endswith(s.instruction.text)
    assert decoded(tok, s.target[slice(*s.query_span)]).strip() == s.query


def test_a_template_that_writes_the_first_token_gets_it_once() -> None:
    tok = tokenizer("bos")
    tok.chat_template = "<s>{% for m in messages %}user: {{ m.content }}\n{% endfor %}assistant:"
    for s in build(catalogue.find("animal/colour"), tok, samples=3, way=Way("chat")).rows:
        for ids in (s.source, s.instructed, s.target):
            assert ids[0] == tok.bos_token_id and ids.count(tok.bos_token_id) == 1
        turn = [{"role": "user", "content": f"Animal: {s.query}. Answer:"}]
        assert list(s.target) == tok.apply_chat_template(turn, add_generation_prompt=True, return_dict=False)
        assert s.first == 1 and decoded(tok, s.target[slice(*s.query_span)]).strip() == s.query


def test_the_tiny_world() -> None:
    for ending in ("", " ."):
        for name, task in tiny.tasks(ending).items():
            assert len({w.text for w in task.instructions}) >= 200 and task.unseen
            assert all(w.text.endswith(ending) for w in task.instructions), name
            assert task.contrast in tiny.tasks(ending)


def test_unknown_names_are_one_sentence() -> None:
    with pytest.raises(TaskError, match="did you mean animal/colour"):
        catalogue.find("animal/color")
    with pytest.raises(TaskError, match="must answer the same queries"):
        catalogue.find("animal/colour", against="adjective/antonym")


HEAD = "query,answer,contrast,instruction\n"
GOOD = HEAD + "pig,pink,no,Name its colour.\ncrow,black,yes,State the colour.\n"


def written(folder: Path, content: str | bytes, name: str = "mine.csv") -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


@pytest.mark.parametrize(
    ("content", "name", "told"),
    [
        (GOOD.replace("contrast", "other"), "a.csv", "row 1: column 'contrast' is missing"),
        (HEAD + "pig,,no,Say it.\n", "a.csv", "row 2, column 'answer': it is empty"),
        (GOOD.encode() + b"b\xffd,red,no,\n", "a.csv", "row 4: byte 0xff is not UTF-8"),
        (GOOD + "a\0b,red,no,\n", "a.csv", "row 4: it holds a NUL"),
        (HEAD + "".join(f"q{i},a,b,x\n" for i in range(10**6)), "a.csv", "rows|MB"),
        (GOOD + "a,b,c,d,e\n", "a.csv", "row 4: 5 cells under 4 columns: quote cells that hold a comma"),
        (GOOD.replace(",", ";") + "a;b;c;d;e\n", "a.csv", "row 4: .* quote cells that hold a semicolon"),
        (GOOD.replace("instruction\n", "instruction,answer\n"), "a.csv", "row 1: column 'answer' stands twice"),
        (HEAD + 'pig,pink,no,"Name\nit."\n\ncow,,no,\n', "a.csv", "row 5, column 'answer'"),
        (HEAD + "pig,pink,no,x\n", "a.csv", "at least 2"),
        (HEAD + "pig,pink,no,\ncow,brown,no,\n", "a.csv", "no row holds a wording"),
        (HEAD + "p" * 3000 + ",a,b,c\n", "a.csv", "more than 2,000 characters"),
        ("", "a.csv", "column 'query' is missing"),
        ('{"query": 1}\n', "a.jsonl", "row 1, column 'query': text was expected"),
        ('{"query": "a", "query": "b"}\n', "a.jsonl", "row 1: column 'query' stands twice"),
        ('{"query": "a"}\n', "a.jsonl", "row 1: column 'answer' is missing"),
        ('[["query", "a"]]\n', "a.jsonl", "row 1: a JSON object was expected"),
        ('{"query": "crow \\ud83d", "answer": "b"}\n', "a.jsonl", "column 'query': half a character|is missing"),
        ("nonsense\n", "a.jsonl", "row 1: not a line of JSON"),
        ("[" * 100_000, "a.jsonl", "row 1: not a line of JSON"),
        ('[{"input": "hot", "output": "cold"}]', "a.json", "holds 1 queries that can be asked: at least 2"),
        (GOOD, "a.xlsx", "reads .csv, .jsonl and .parquet"),
        (b"PAR1 not really PAR1", "a.parquet", "not readable as Parquet"),
    ],
)
def test_hostile_files_give_one_clear_message(tmp_path: Path, content: str | bytes, name: str, told: str) -> None:
    with pytest.raises(TaskError, match=told) as caught:
        catalogue.find(written(tmp_path, content, name))
    assert "\n" not in str(caught.value) and name in str(caught.value)


def test_a_million_rows_of_parquet_are_refused_from_the_header(tmp_path: Path) -> None:
    column = pa.array(["x"] * 10**6)
    path = tmp_path / "big.parquet"
    pq.write_table(pa.table(dict.fromkeys(["query", "answer", "contrast", "instruction"], column)), path)
    with pytest.raises(TaskError, match="1,000,000 rows"):
        catalogue.find(str(path))


def test_formulas_and_tags_are_text(tmp_path: Path) -> None:
    text = HEAD + '=1+1,two,no,Name it.\n"<b onload=""x()"">pig</b>",pink,no,\n{field},brace,no,\n'
    pair = catalogue.find(written(tmp_path, text))
    assert set(pair.queries) == {"=1+1", '<b onload="x()">pig</b>', "{field}"}
    rows = build(pair, tokenizer("gpt2"), samples=3).rows
    assert {s.query for s in rows} == set(pair.queries)


@pytest.mark.parametrize("mark", [";", "\t"])
def test_cells_may_stand_between_semicolons_or_tabs(tmp_path: Path, mark: str) -> None:
    plain = catalogue.find(written(tmp_path, GOOD, "mine.csv"))
    other = catalogue.find(written(tmp_path, "\ufeff" + GOOD.replace(",", mark).replace("\n", "\r\n"), "mine.csv"))
    assert other == plain


def test_columns_and_cells_that_are_not_there_are_no_fault(tmp_path: Path) -> None:
    """Columns beside the ones that are read hold anything; a cell that is not there is an empty one."""
    rows = [
        {"query": "pig", "answer": "pink", "contrast": "no", "instruction": "Name it.", "id": 1, "meta": {"a": [1]}}
    ]
    rows += [{"query": "crow", "answer": "black", "contrast": "yes", "score": 0.5}]
    lines = catalogue.find(written(tmp_path, "\n".join(map(json.dumps, rows)), "mine.jsonl"))
    cells = catalogue.find(written(tmp_path, HEAD + "pig,pink,no,Name it.\ncrow,black,yes\n"))
    columns = {name: [row.get(name) for row in rows] for name in ("query", "answer", "contrast", "instruction", "id")}
    table = pa.table(columns)
    table = table.set_column(2, "contrast", table["contrast"].dictionary_encode())
    table = table.set_column(0, "query", table["query"].cast(pa.string_view()))
    table = table.append_column("field", pa.nulls(2))
    pq.write_table(table, tmp_path / "mine.parquet")
    assert lines == cells == catalogue.find(str(tmp_path / "mine.parquet"))


def test_the_three_file_kinds_agree(tmp_path: Path) -> None:
    rows = [dict(zip(HEAD.strip().split(","), line.split(","), strict=True)) for line in GOOD.split("\n")[1:3]]
    lines = "\n".join(json.dumps(row) for row in rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "mine.parquet")
    found = [
        catalogue.find(written(tmp_path, GOOD)),
        catalogue.find(written(tmp_path, lines, "mine.jsonl")),
        catalogue.find(str(tmp_path / "mine.parquet")),
    ]
    assert found[0] == found[1] == found[2]
    assert found[0].control is not None


def test_a_row_that_asks_nothing_is_left_out_by_its_number_and_the_others_stay(tmp_path: Path) -> None:
    rows = 'pig,rosy,no,\n" sea  lion",grey,no,\n"sea lion",brown,no,\ncow,,no,\na,b\n,red,no,\n'
    pair = catalogue.find(written(tmp_path, GOOD + rows))
    assert pair.left_out == (
        "row 4, column 'query': 'pig' stands twice",
        "row 6, column 'query': 'sea lion' stands twice, as 'sea  lion'",
        "row 7, column 'answer': it is empty",
        "row 8, column 'contrast': it is empty",
        "row 9, column 'query': it is empty",
    )
    assert pair.queries == ("crow", "pig", "sea  lion") and pair.task.answers["pig"] == "pink"
    told = " ".join(build(pair, tokenizer("gpt2")).warnings)
    assert "5 rows of the file left out: row 4, column 'query': 'pig' stands twice; row 6" in told and "2 more" in told
    with pytest.raises(TaskError, match="1 queries that can be asked .row 3, column 'answer': it is empty"):
        catalogue.find(written(tmp_path, HEAD + "pig,pink,no,x\ncow,,no,\n"))


def test_a_row_has_the_field_that_it_names(tmp_path: Path) -> None:
    head = HEAD.replace("instruction", "instruction,field")
    rows = "pig,pink,no,Name its colour.,Beast\ncrow,black,yes,,Bird\ncow,brown,no,,Beast\nfox,red,no,,\n"
    pair = catalogue.find(written(tmp_path, head + rows))
    assert [pair.task.field_of(query) for query in ("pig", "crow", "fox")] == ["Beast", "Bird", "Beast"]
    tok = tokenizer("gpt2")
    built = build(pair, tok)
    prompts = {s.query: decoded(tok, s.target) for s in built.rows}
    if len(tok("Bird: ")["input_ids"]) == len(tok("Beast: ")["input_ids"]):
        assert prompts["crow"].startswith("Bird: crow")
    else:
        assert "crow" not in prompts and "their field has another number of tokens" in " ".join(built.warnings)
    assert prompts["pig"].startswith("Beast: pig") and prompts["fox"].startswith("Beast: fox")
    plain = catalogue.find(written(tmp_path, head + rows.replace("Bird", "Beast")))
    assert plain.fingerprint != pair.fingerprint


def parquet_of(path: Path, **columns: pa.Array) -> str:
    pq.write_table(pa.table(columns), path, compression="zstd", store_schema=False)
    return str(path)


def repeated(text: str, rows: int) -> pa.DictionaryArray:
    """The same text in every row, which a file holds once."""
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows), [text])


def hostile_parquet(what: str, path: Path) -> str:
    """A file of some kilobytes that becomes hundreds of megabytes, or gigabytes."""
    if what == "texts":  # each within the bound of a cell
        return parquet_of(path, **{name: repeated("x" * 1999, 50_000) for name in ("query", "answer", "contrast")})
    if what == "long texts":
        return parquet_of(path, **{name: repeated("x" * 10**6, 50_000) for name in ("query", "answer", "contrast")})
    if what == "plain texts":
        table = pa.table({name: ["x" * 10**6] * 10 for name in ("query", "answer", "contrast")})
        with pq.ParquetWriter(path, table.schema, compression="zstd", use_dictionary=False) as file:
            for _ in range(15):
                file.write_table(table)
        return str(path)
    ends, text = pa.array(range(0, 2_001 * 900, 900), pa.int32()), repeated("x" * 8000, 1_800_000)
    lists = pa.ListArray.from_arrays(ends, text)
    return parquet_of(path, inputs=pa.array([f"q{i}" for i in range(2000)]), targets=lists)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("texts", "becomes 0.3 GB of columns: up to 0.064 GB"),
        ("long texts", "a text of 1,000,000 bytes"),
        ("plain texts", "claims 0.5 GB of columns"),
        ("lists", "becomes 14.4 GB of columns"),
    ],
)
def test_a_small_parquet_file_that_becomes_gigabytes_is_a_sentence(tmp_path: Path, what: str, told: str) -> None:
    name = hostile_parquet(what, tmp_path / "own.parquet")
    assert Path(name).stat().st_size < 20_000_000
    script = (
        "import resource, sys\nfrom ivx.errors import TaskError\nfrom ivx.tasks import catalogue\n"
        "peak = lambda whose: resource.getrusage(whose).ru_maxrss // 1000\nbefore = peak(resource.RUSAGE_SELF)\n"
        "try:\n    catalogue.find(sys.argv[1])\nexcept TaskError as error:\n    print(error)\n"
        "print(peak(resource.RUSAGE_SELF) - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, name], capture_output=True, text=True, timeout=60)
    sentence, more = done.stdout.splitlines()
    assert re.search(told, sentence) and "own.parquet" in sentence, done
    assert int(more) < 60, "MB that the server took; the confined process has a bound of its own"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("own.json", '[{"input": "a", "output": "b"}, ' + "[]," * 3_000_000 + "{}]"),
        ("own.json", '{"examples": [' + "{}," * 3_000_000 + "{}]}"),
        ("own.jsonl", '{"query": [' + "{}," * 3_000_000 + "{}]}\n"),
        ("own.csv", "query,answer" + "," * 3_000_000 + "\n"),
        ("own.csv", "query,answer\n" + "," * 3_000_000 + "\n"),
    ],
)
def test_a_text_of_millions_of_values_is_refused_before_one_is_made(tmp_path: Path, name: str, content: str) -> None:
    file = written(tmp_path, content, name)
    tracemalloc.start()
    with pytest.raises(TaskError, match=rf"{name} has .* values, more than 2,000,000"):
        catalogue.find(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * len(content)
