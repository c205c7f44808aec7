"""Layouts of task files as other people write them, what each is read as, and hostile ones of each."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ivx.cli.main import main
from ivx.errors import TaskError
from ivx.tasks import catalogue
from ivx.tasks.layouts import sheet
from ivx.tasks.place import named, place_of
from ivx.tasks.samples import build
from ivx.tasks.task import Pair
from ivx.tasks.way import Way
from ivx.tasks.wordings import drawn
from tests.support.tokenizers import decoded, tokenizer

FILES = Path(__file__).parent / "files"
HEAD = "query,answer,contrast,instruction\n"


def facts(pair: Pair) -> dict[str, tuple[str, str]]:
    return {query: (pair.task.answers[query], pair.contrast.answers[query]) for query in pair.task.answers}


def texts(pair: Pair) -> tuple[list[str], list[str]]:
    told, contrast = pair.task.instructions, pair.contrast.instructions
    return [wording.text for wording in told], [wording.text for wording in contrast]


def test_two_function_vector_files_are_a_pair_of_the_queries_that_both_have() -> None:
    pair = catalogue.find(str(FILES / "opposite.json"), against=str(FILES / "alike.json"))
    assert facts(pair) == {
        "hot": ("cold", "warm"),
        "tall": ("short", "high"),
        "open": ("shut", "ajar"),
        "wet": ("dry", "damp"),
    }
    assert pair.left_out == ("row 3, column 'input': 'early' is not in alike.json",)
    assert (pair.task.name, pair.contrast.name) == ("opposite/answer", "alike/answer")
    assert "1 query of alike.json left out: not in opposite.json" in pair.notes
    assert pair == catalogue.find(str(FILES / "opposite.json?against=alike.json"))
    assert pair == catalogue.find(named(FILES / "opposite.json", against="alike.json"))


def test_one_function_vector_file_takes_other_queries_answers_and_says_so_wherever_it_is_read() -> None:
    pair = catalogue.find(str(FILES / "opposite.json"))
    answers = dict(pair.task.answers)
    assert len(pair.queries) == 5 and pair.contrast.name == "opposite/another-answer"
    for query, contrast in pair.contrast.answers.items():
        assert contrast in answers.values() and contrast != answers[query]
    assert len(set(pair.contrast.answers.values())) == 5, "each answer is another's contrast once"
    told = " ".join(build(pair, tokenizer("gpt2"), way=Way(demonstrations=2)).warnings)
    assert "each query's is the answer of another query" in told and "demonstrations alone" in told


def test_where_few_answers_are_the_contrast_is_the_nearest_other(tmp_path: Path) -> None:
    for count in range(2, 9):
        rows = [{"input": f"q{k}", "output": "rare" if k == 1 else "common"} for k in range(count)]
        (tmp_path / "two.json").write_text(json.dumps(rows))
        pair = catalogue.find(str(tmp_path / "two.json"))
        assert all(
            pair.contrast.answers[q] == ("common" if a == "rare" else "rare") for q, a in pair.task.answers.items()
        )


def test_a_task_without_instruction_is_asked_by_demonstrations_and_by_an_instruction_refused() -> None:
    pair, tok = catalogue.find(str(FILES / "opposite.json")), tokenizer("gpt2")
    rows = build(pair, tok, way=Way(demonstrations=3)).rows
    assert rows
    for s in rows:
        told = decoded(tok, s.instructed)
        assert told.count("Answer:") == 4 and told.endswith(f"Input: {s.query}. Answer:")
    with pytest.raises(TaskError, match="opposite/answer holds no instruction: ask by demonstrations"):
        build(pair, tok)
    with pytest.raises(TaskError, match="0 wordings"):
        drawn(catalogue.several([str(FILES / "opposite.json"), "animal/colour"]), tok, each=10, families=1)


def test_wordings_stand_in_a_file_beside() -> None:
    pair = catalogue.find(str(FILES / "opposite.json?wordings=opposite.txt"))
    told, contrast = texts(pair)
    assert told == ["Say the opposite of the word.", "Give the word that means the reverse.", "Name its opposite."]
    assert contrast == told and len({wording.family for wording in pair.task.instructions}) == 3
    assert not any("no instruction" in note for note in pair.notes)
    assert build(pair, tokenizer("gpt2"), samples=3).rows


def test_the_papers_csv_names_its_columns_and_its_rephrasings() -> None:
    name = "beasts.csv?answer=colour&contrast=flies&field=Animal&wordings=varied_instructions/colour_rephrased.csv"
    pair = catalogue.find(str(FILES / f"{name}&contrast_wordings=varied_instructions/flies_rephrased.csv"))
    assert facts(pair)["crow"] == ("black", "yes") and len(pair.queries) == 4
    told, contrast = texts(pair)
    assert told[0] == "Given an animal, state its colour." and contrast[1] == "Say whether the animal can fly."
    assert pair.task.field == "Animal" and not pair.notes and not pair.left_out
    plain = catalogue.find(str(FILES / "beasts.csv?answer=flies&contrast=colour"))
    assert facts(plain)["crow"] == ("yes", "black")
    with pytest.raises(
        TaskError, match=r"row 1: column 'answer' is missing; .*found: query, colour, flies.*answer=COL"
    ):
        catalogue.find(str(FILES / "beasts.csv"))


def test_a_bigbench_task_has_the_option_of_score_one_against_the_first_other() -> None:
    pair = catalogue.find(str(FILES / "irony.json"))
    assert facts(pair)["Thank you for the tea"] == ("sincere", "ironic") and len(pair.queries) == 3
    assert pair.left_out == ("row 4, column 'target_scores': no option has score 1",)
    assert texts(pair)[0] == ["Tell whether the remark is sincere or ironic."]
    assert "the options are not shown" in pair.notes[0]
    free = catalogue.find(str(FILES / "counting.json"))
    assert set(free.task.answers.values()) == {"one", "two", "three"} and not free.task.instructions


def test_columns_of_an_export_are_known_where_they_are_unmistakable(tmp_path: Path) -> None:
    pair = catalogue.find(str(FILES / "reviews.jsonl"))
    assert facts(pair)["two hours lost"] == ("negative", "positive")
    rows = [json.loads(line) for line in (FILES / "reviews.jsonl").read_text().splitlines()]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "reviews.parquet")
    cells = "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in rows)
    (tmp_path / "reviews.csv").write_text(cells)
    (tmp_path / "reviews.json").write_text(json.dumps(rows))
    for kind in ("parquet", "csv", "json"):
        assert catalogue.find(str(tmp_path / f"reviews.{kind}")) == pair, kind
    named_so = catalogue.find(str(FILES / "reviews.jsonl?query=text&answer=label"))
    assert named_so.fingerprint == pair.fingerprint
    for query, answer in (("question", "answer"), ("prompt", "completion"), ("input", "output")):
        (tmp_path / "reviews.csv").write_text(cells.replace("text,label", f"{query},{answer}"))
        assert catalogue.find(str(tmp_path / "reviews.csv")) == pair


@pytest.mark.parametrize(
    ("header", "asked", "told"),
    [
        ("input,output,question,answer", "", None),  # `answer` is a role's own name: question goes with it
        ("input,output,text,label", "", "input/output and text/label could be query and answer"),
        ("input,output,text,label", "?query=text", None),
        ("input,output,text,label", "?query=text&answer=output", None),
        ("input,output,answer,b", "", "column 'query' is missing"),
        ("query,input,output,b", "", "column 'answer' is missing"),
        ("instruction,input,output,b", "", "beside input/output stands a column 'instruction'"),
        ("instruction,input,output,b", "?instruction=instruction", None),
        ("instructions,query,answer,contrast", "", None),
        ("query,answer,kontrast,instruction", "", "column 'contrast' is missing; needed are query, answer, contrast"),
        ("query,answer,kontrast,instruction", "?contrast=kontrast", None),
        ("query,answer,contrast,b", "?answer=nine", "row 1: there is no column 'nine' for answer="),
        ("a,b,c,d", "?query=a&answer=a", "column 'a' is named for two things"),
        ("a,b,b,d", "?query=a&answer=b", "row 1: column 'b' stands twice"),
    ],
)
def test_which_columns_are_read(tmp_path: Path, header: str, asked: str, told: str | None) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f"{header}\nk1,l1,m1,n1\nk2,l2,m2,n2\n")
    if told is None:
        assert len(catalogue.find(f"{path}{asked}").queries) == 2
        return
    with pytest.raises(TaskError, match=told) as caught:
        catalogue.find(f"{path}{asked}")
    assert "\n" not in str(caught.value) and "mine.csv" in str(caught.value)


BAD_JSON = [
    ("[" * 100_000, "not JSON"),
    ('{"examples": ' + "[" * 100_000, "not JSON"),
    ("5", "a list 'examples' was expected"),
    ("null", "a list 'examples' was expected"),
    ("{}", "a list 'examples' was expected"),
    ('{"examples": {"input": "a"}}', "a list 'examples' was expected"),
    ('{"examples": [5]}', "row 1: an example was expected"),
    ('{"examples": [{"input": 5, "target": "a"}]}', "row 1, column 'input': text was expected"),
    ('{"examples": [{"input": "a", "target": {"b": 1}}]}', "row 1, column 'target': text was expected"),
    ('{"examples": [{"input": "a", "target_scores": ["b"]}]}', "column 'target_scores': scores by option"),
    ('{"examples": [{"input": "a", "target_scores": {"b": "1"}}]}', "option 'b' has '1' for a score"),
    ('{"examples": [{"input": "a", "target_scores": {"b": true}}]}', "option 'b' has True for a score"),
    ('{"examples": [{"input": "a", "target_scores": {"b": 1, "b": 0}}]}', "option 'b' stands twice"),
    ('{"examples": [], "task_prefix": 5}', "'task_prefix': text was expected"),
    ('{"examples": [], "task_prefix": "\\ud83d"}', "'task_prefix': half a character"),
    ('{"examples": [{"input": "a\\ud83d", "target": "b"}]}', "row 1, column 'input': half a character"),
    ('{"examples": [{"input": "' + "a" * 3000 + '", "target": "b"}]}', "column 'input': more than 2,000 characters"),
    ("[]", "column 'query' is missing"),
    ('["a", "b"]', "row 1: a JSON object was expected"),
    ('[{"input": "a", "output": "b"}, []]', "row 2: a JSON object was expected"),
    ('[{"input": "a", "output": 5}]', "row 1, column 'output': text was expected, not 5"),
    ('[{"input": "a", "output": "b", "output": "c"}]', "row 1: column 'output' stands twice"),
    ('[{"input": "a\\ud83d", "output": "b"}]', "row 1, column 'input': half a character"),
    ('[{"input": "a", "output": "b"}, {"input": "c", "output": "b"}]', "every answer is 'b'.*against=OTHER"),
    ("[" + '{"input":"a","output":"b"},' * 60_000 + "{}]", "more than 50,000 rows"),
    ('[{"input": "a\0", "output": "b"}]', "row 1: it holds a NUL"),
    (b'[{"input": "\xff", "output": "b"}]', "row 1: byte 0xff is not UTF-8"),
]


@pytest.mark.parametrize(("content", "told"), BAD_JSON, ids=range(len(BAD_JSON)))
def test_hostile_json_is_one_sentence(tmp_path: Path, content: str | bytes, told: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TaskError, match=told) as caught:
        catalogue.find(str(path))
    assert "\n" not in str(caught.value) and "a.json" in str(caught.value) and len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ("x=1", "'x' is not known; use one of query"),
        ("", "'' is not known"),
        ("query=input&query=input", "query= stands twice"),
        ("wordings=", "wordings= names nothing"),
        ("wordings=%00", "wordings= names nothing"),
        ("wordings=none.txt", "there is no file .*none.txt"),
        ("wordings=alike.json", "alike.json: wordings are read from a .txt"),
        ("wordings=beasts.csv", "beasts.csv, row 1: column 'instruction' is missing; needed are instruction"),
        ("against=verb", "against='verb' is no task file"),
        ("against=none.json", "there is no file .*none.json"),
        ("against=reviews.jsonl", "no query in common"),
        ("against=alike.json%3Fagainst=opposite.json", "alike.json is a contrast, and has none of its own"),
        ("field=" + "x" * 200, "field= has more than 100"),
    ],
)
def test_what_stands_behind_the_question_mark_is_one_sentence_where_it_is_wrong(parts: str, told: str) -> None:
    with pytest.raises(TaskError, match=told):
        catalogue.find(str(FILES / f"opposite.json?{parts}"))


def test_a_name_holds_any_letter_and_a_file_of_that_name_comes_first(tmp_path: Path) -> None:
    odd = tmp_path / "a&b=50%?.csv"
    odd.write_text(HEAD + "pig,pink,no,x\ncow,brown,no,\n")
    assert len(catalogue.find(str(odd)).queries) == 2, "a file that is there is no file with parts"
    (tmp_path / "c.json").write_text('[{"input": "pig", "output": "oink"}, {"input": "cow", "output": "moo"}]')
    (tmp_path / "ü &%.txt").write_text("Say it.\n")
    place = place_of(named(tmp_path / "c.json", wordings="ü &%.txt", field="A&B=C?"))
    assert place is not None and place.field == "A&B=C?" and place.wordings == tmp_path / "ü &%.txt"
    assert texts(catalogue.find(named(tmp_path / "c.json", wordings="ü &%.txt")))[0] == ["Say it."]
    assert place_of("animal/colour") is None and place_of("tiny:animal/colour") is None


def test_a_contrast_of_ones_own_and_a_second_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(HEAD + "hot,cold,hotter,x\nwet,dry,wetter,\n")
    with pytest.raises(TaskError, match="holds its own contrast task: leave out against='alike.json'"):
        catalogue.find(str(path), against=str(FILES / "alike.json"))
    with pytest.raises(TaskError, match="names its contrast"):
        catalogue.find(str(FILES / "opposite.json?against=alike.json"), against=str(FILES / "alike.json"))
    with pytest.raises(TaskError, match="opposite/another-answer: leave out"):
        catalogue.find(str(FILES / "opposite.json"), against="animal/colour")
    # The second file's own contrast is left alone: its answers are the contrast.
    pair = catalogue.find(str(FILES / "opposite.json"), against=str(path))
    assert facts(pair) == {"hot": ("cold", "cold"), "wet": ("dry", "dry")} and not pair.queries
    assert texts(pair) == ([], ["x"])


def test_a_file_that_may_not_be_read_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEAD)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(TaskError, match="a.csv cannot be read"):
        catalogue.find(str(path))


def test_files_of_ivxs_own_columns_have_the_fingerprints_that_they_had(tmp_path: Path) -> None:
    """Run ids come from them: a stored run of such a file must be found again."""
    line = '{"query":"pig","answer":"pink","contrast":"no","instruction":"Name it."}\n'
    known = {
        "mine.csv": (HEAD + "pig,pink,no,Name its colour.\ncrow,black,yes,State the colour.\n", "92accd98a46ccd40"),
        "full.csv": (
            "query,answer,contrast,instruction,contrast_instruction,field,family\n"
            "pig,pink,no,Name its colour.,Can it fly?,Beast,a\n"
            "crow,black,yes,State the colour.,Does it fly?,Bird,b\ncow,brown,no,,,Beast,\n",
            "d51a1f985e111440",
        ),
        "lines.jsonl": (line + '{"query":"crow","answer":"black","contrast":"yes"}\n', "703bb16e77dcf76f"),
    }
    for name, (content, fingerprint) in known.items():
        (tmp_path / name).write_text(content)
        assert catalogue.find(str(tmp_path / name)).fingerprint == fingerprint, name


def test_the_command_tells_what_a_file_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", str(FILES / "opposite.json")]) == 0
    told = capsys.readouterr().out
    assert "opposite/answer against opposite/another-answer: 5 queries, 0 wordings" in told
    assert "'early': 'late' against" in told and "note: opposite.json holds no instruction" in told
    assert main(["tasks", str(FILES / "opposite.json"), "--against", str(FILES / "alike.json")]) == 0
    told = capsys.readouterr().out
    assert "'hot': 'cold' against 'warm'" in told and "left out: row 3" in told


def test_bounds_are_the_ones_that_the_document_names() -> None:
    told = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
    for bound in (
        f"{sheet.MAX_BYTES // 10**6} MB",
        f"{sheet.MAX_ROWS:,} rows",
        f"{sheet.MAX_CELL:,} characters",
        f"{sheet.MAX_VALUES:,} values",
    ):
        assert bound in told
