"""A stranger's checkpoint is judged once, and what it brings along is bounded whenever it runs, not at load only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import ivx
from ivx.errors import CheckpointError, Ended, Failed, TaskError
from ivx.models import judge, library, paths
from ivx.models.prospect import prospect
from ivx.models.stranger import LONGEST, SECONDS
from ivx.tasks.encoder import Encoder
from tests.support.checkpoints import configured

LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
FINE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def changed(folder: Path, name: str, **changes: Any) -> None:
    """Change values of a JSON document."""
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def kept() -> set[str]:
    """The verdicts that are kept."""
    folder = paths.cache() / "judged"
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def test_a_verdict_is_kept_until_a_file_changes(checkpoint: Path) -> None:
    before = kept()
    prospect(str(checkpoint))
    ivx.load(str(checkpoint), check=False)
    first = kept() - before
    assert len(first) == 1
    configured(checkpoint, initializer_range=0.03)
    prospect(str(checkpoint))
    assert len(kept() - before - first) == 1


def test_what_was_refused_is_refused_again_without_being_read(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(checkpoint, "tokenizer.json", version="9.0")
    with pytest.raises(CheckpointError) as first:
        prospect(str(checkpoint))
    monkeypatch.setattr(judge.ORIGINAL, "copy", lambda *_, **__: pytest.fail("it was judged before"))
    with pytest.raises(CheckpointError) as again:
        prospect(str(checkpoint))
    assert str(first.value) == str(again.value)


def test_what_came_with_ivx_costs_no_process() -> None:
    code = (
        "import ivx, psutil; from ivx.models import judge; m = ivx.load('tiny-sft', check=False); m.tokenizer('a'); "
        "assert judge.ORIGINAL.pid is None and not psutil.Process().children(recursive=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert not done.returncode, done.stderr


def test_a_strangers_tokenizer_answers_as_it_would_here(checkpoint: Path) -> None:
    changed(checkpoint, "tokenizer_config.json", chat_template=FINE)
    mine, theirs = (read(checkpoint, name="x") for read in (library.read_tokenizer, library.tokenizer))
    for text in ("Name the colour of the animal. Animal: crow. Answer:", "", "é </s>", ["a", "b"]):
        how = {"return_offsets_mapping": True, "return_special_tokens_mask": True}
        one, other = mine(text, **how), theirs(text, **how)
        assert {key: json.dumps(value) for key, value in one.items()} == {k: json.dumps(v) for k, v in other.items()}
    ids = mine("Name the colour")["input_ids"]
    assert (mine.decode(ids), mine.encode("a b")) == (theirs.decode(ids), theirs.encode("a b"))
    assert (
        mine("a b", return_tensors="pt")["input_ids"].tolist()
        == theirs("a b", return_tensors="pt")["input_ids"].tolist()
    )
    assert mine.convert_ids_to_tokens(ids) == theirs.convert_ids_to_tokens(ids)
    assert (mine.convert_ids_to_tokens(3), len(mine), mine.get_vocab()) == (
        theirs.convert_ids_to_tokens(3),
        len(theirs),
        theirs.get_vocab(),
    )
    facts = ("is_fast", "chat_template", "unk_token_id", "eos_token_id", "eos_token", "pad_token_id", "bos_token_id")
    assert [getattr(mine, fact) for fact in facts] == [getattr(theirs, fact) for fact in facts]
    assert Encoder(mine).chat("Name it.") == Encoder(theirs).chat("Name it.")


def test_a_text_that_no_judge_has_read_is_bounded_all_the_same(checkpoint: Path) -> None:
    """A space that becomes gigabytes, which nobody asked before."""
    doubled = {"type": "Replace", "pattern": {"String": "\u2004"}, "content": "\u2004\u2004"}
    changed(checkpoint, "tokenizer.json", normalizer={"type": "Sequence", "normalizers": [doubled] * 36})
    tokenizer = library.tokenizer(checkpoint, name="x")
    before = tokenizer("Name it")["input_ids"]
    began = time.monotonic()
    with pytest.raises(CheckpointError, match="took more than|broke off") as told:
        tokenizer("a\u2004b")
    assert time.monotonic() - began < SECONDS + 5 and "\n" not in str(told.value)
    assert tokenizer("Name it")["input_ids"] == before, "another process answers in its place"
    with pytest.raises(CheckpointError, match="is too long"):
        tokenizer("a" * (LONGEST + 1))


def test_a_token_that_the_model_has_not_is_a_sentence(checkpoint: Path) -> None:
    told = json.loads((checkpoint / "tokenizer.json").read_text())
    more = {"content": "<new>", "id": 10**6, "special": True, "lstrip": False, "rstrip": False}
    told["added_tokens"].append(more | {"single_word": False, "normalized": False})
    (checkpoint / "tokenizer.json").write_text(json.dumps(told))
    tokenizer = library.tokenizer(checkpoint, name="x")
    assert tokenizer("Name it")["input_ids"]
    with pytest.raises(CheckpointError, match="vocab_size in config.json is 1,538"):
        tokenizer("Name <new> it")


def test_a_template_that_waits_for_its_text_is_bounded(checkpoint: Path) -> None:
    template = "{% if messages[0]['role'] == 'system' %}" + LOOP + "{% endif %}" + FINE
    changed(checkpoint, "tokenizer_config.json", chat_template=template)
    tokenizer = library.tokenizer(checkpoint, name="x")
    assert Encoder(tokenizer).chat("Name it.") == "Name it."
    with pytest.raises(TaskError, match=r"cannot write a user's turn \(took more than 5 s\)"):
        _ = Encoder(tokenizer, system="Be brief.").turn


def test_files_that_change_are_opened_again_by_whoever_wants_them(checkpoint: Path) -> None:
    tokenizer = library.tokenizer(checkpoint, name="x")
    assert tokenizer("a")["input_ids"]
    for k in range(12):  # others take its place
        other = Path(shutil.copytree(checkpoint, checkpoint.with_name(f"other{k}")))
        library.tokenizer(other, name=str(k))("a")
    changed(checkpoint, "tokenizer_config.json", chat_template=FINE)
    with pytest.raises(CheckpointError, match="have changed since it was opened: open it again"):
        tokenizer("b")


def test_the_chamber_reads_the_files_that_it_was_made_for(checkpoint: Path) -> None:
    other = Path(shutil.copytree(checkpoint, checkpoint.with_name("other")))
    copy = judge.copy_for(checkpoint, seconds=10.0)
    copy.ask("open", place=str(checkpoint), name="x")
    with pytest.raises(CheckpointError, match="not its own file|no tokenizer"):
        copy.ask("open", place=str(other), name="x")
    with pytest.raises((Failed, Ended)):
        copy.ask("nothing")


def test_a_dead_original_is_begun_again(checkpoint: Path) -> None:
    library.tokenizer(checkpoint, name="x")
    judge.ORIGINAL.end()
    other = Path(shutil.copytree(checkpoint, checkpoint.with_name("other")))
    assert library.tokenizer(other, name="x")("a")["input_ids"]


def judged_at_once(keys: str) -> int:
    """Have threads take the turns of these keys; the most that were inside at once."""
    inside, most = 0, 0
    counting = threading.Lock()

    def judge_one(key: str) -> None:
        nonlocal inside, most
        with judge._turn(key):
            with counting:
                inside += 1
                most = max(most, inside)
            time.sleep(0.2)
            with counting:
                inside -= 1

    threads = [threading.Thread(target=judge_one, args=(key,)) for key in keys]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert not any(one.is_alive() for one in threads) and not judge._JUDGING
    return most


@pytest.mark.parametrize(
    ("cores", "free", "keys", "most"),
    [
        (8, 100, "abcdefgh", judge.SIDE_BY_SIDE),
        (2, 100, "abcd", 2),
        (8, 9, "abcd", 2),
        (8, 1, "abc", 1),
        (8, 100, "aaaa", 1),
    ],
    ids=["all", "few cores", "little memory", "hardly any", "the same"],
)
def test_strangers_are_judged_side_by_side_and_each_once(
    monkeypatch: pytest.MonkeyPatch, cores: int, free: int, keys: str, most: int
) -> None:
    monkeypatch.setattr(judge.os, "cpu_count", lambda: cores)
    memory = psutil.virtual_memory()._replace(available=free * 10**9)
    monkeypatch.setattr(judge.psutil, "virtual_memory", lambda: memory)
    assert judged_at_once(keys) == most


def test_verdicts_nobody_asks_for_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(paths.CACHE, str(tmp_path))
    monkeypatch.setattr(judge, "MOST_KEPT", 5)
    for number in range(4):
        judge._keep(f"{number}", tmp_path, seconds=1.0)
    day = judge.DAY
    for name, days in (("0", 40), ("1", 91), ("2", 80), ("3", 30), ("9.77", 2)):
        path = tmp_path / "judged" / name
        path.touch()
        os.utime(path, (time.time() - days * day,) * 2)
    assert judge._is_kept("2") and not judge._is_kept("8")
    judge._keep("4", tmp_path, seconds=1.0)
    assert kept() == {"0", "2", "3", "4"}, "the one of 91 days is gone, and a half that was left; who asks renews"
    for name in ("5", "6"):
        judge._keep(name, tmp_path, seconds=1.0)
    assert kept() == {"2", "3", "4", "5", "6"}
    monkeypatch.setattr(judge, "_KNOWN", {})
    for number in range(9):
        judge._note(f"{number}", None)
    assert list(judge._KNOWN) == ["4", "5", "6", "7", "8"]
