"""Tokenizers that expand without bound, never end, or have tokens that the model has not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.hostile.case import Case, Harm, edited

WHY = "a process that never ends, or memory without end, at a text that somebody asks"
NEVER = {"nested repeats": "(a+)+$", "names": r"^(([a-z])+.)+[A-Z]([a-z])+$"}
ENDS = {
    "alternatives that are alike": "(a|a)*b",
    "repeats of anything": "(.*)*=",
    "three in one another": "((a*)*)*b",
    "repeats side by side": r"\s*\s*\s*\s*\s*\s*=",
    "a reference back": r"(a*)*\1b",
}


def tokenizer(**changes: Any) -> Harm:
    """Change values of tokenizer.json."""
    return lambda folder: edited(folder / "base" / "tokenizer.json", **changes)


def model(**changes: Any) -> Harm:
    """Change values of its model."""

    def done(folder: Path) -> None:
        path = folder / "base" / "tokenizer.json"
        edited(path, model={**json.loads(path.read_text())["model"], **changes})

    return done


def word(text: str, number: Any) -> Harm:
    """Give a word of its vocabulary another number."""

    def done(folder: Path) -> None:
        path = folder / "base" / "tokenizer.json"
        told = json.loads(path.read_text())["model"]
        edited(path, model={**told, "vocab": {**told["vocab"], text: number}})

    return done


def settings(**changes: Any) -> Harm:
    """Change values of tokenizer_config.json."""
    return lambda folder: edited(folder / "base" / "tokenizer_config.json", **changes)


def replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def split(regex: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}


def after(regex: str) -> Harm:
    """Split by an expression before what the tokenizer does already."""

    def done(folder: Path) -> None:
        path = folder / "base" / "tokenizer.json"
        own = json.loads(path.read_text())["pre_tokenizer"]
        edited(path, pre_tokenizer={"type": "Sequence", "pretokenizers": [split(regex), own]})

    return done


def template(*pieces: dict[str, Any], special: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "TemplateProcessing", "single": list(pieces), "pair": list(pieces), "special_tokens": special or {}}


A = {"Sequence": {"id": "A", "type_id": 0}}
S = {"SpecialToken": {"id": "<s>", "type_id": 0}}
START = {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}


def added(number: Any, **more: Any) -> list[dict[str, Any]]:
    told = {"special": True, "lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
    return [{"id": number, "content": "<new>", **told, **more}]


def cases() -> list[Case]:
    """All of them."""
    doubled = [replace({"String": "a"}, "aa")] * 40
    found = [
        Case(f"an expression: {what}", WHY, after(regex), "the tokenizer in .* (took|failed|cannot)")
        for what, regex in NEVER.items()
    ]
    found += [Case(f"an expression: {what}", WHY, after(regex), "", other=True) for what, regex in ENDS.items()]
    found += [
        Case("a broken expression", WHY, after("(("), "no tokenizer that can be read"),
        Case(
            "a letter is a million",
            WHY,
            tokenizer(normalizer=replace({"String": "a"}, "b" * 1_000_000)),
            "the tokenizer in .*(tokens of|took more)",
        ),
        Case(
            "nothing is a thousand", WHY, tokenizer(normalizer=replace({"Regex": ""}, "b" * 1_000)), "the tokenizer in"
        ),
        Case(
            "a letter is doubled forty times",
            WHY,
            tokenizer(normalizer={"type": "Sequence", "normalizers": doubled}),
            "the tokenizer in .*(took more|broke off|tokens of)",
        ),
        Case(
            "a preface of ten million",
            WHY,
            tokenizer(normalizer={"type": "Prepend", "prepend": "b" * 10_000_000}),
            "the tokenizer in",
        ),
        Case("an unknown normaliser", WHY, tokenizer(normalizer={"type": "Evil"}), "no tokenizer that can be read"),
        Case("a normaliser that is a list", WHY, tokenizer(normalizer=[1]), "no tokenizer that can be read"),
        Case(
            "a hundred thousand specials in front",
            WHY,
            tokenizer(post_processor=template(*[S] * 100_000, A, special=START)),
            "the tokenizer in .* tokens of",
        ),
        Case(
            "a special that is a hundred thousand",
            WHY,
            tokenizer(
                post_processor=template(
                    S, A, special={"<s>": {"id": "<s>", "ids": [0] * 100_000, "tokens": ["<s>"] * 100_000}}
                )
            ),
            "the tokenizer in .* tokens of",
        ),
        Case(
            "a special outside the vocabulary",
            "a read beyond the embeddings",
            tokenizer(post_processor=template(S, A, special={"<s>": {"id": "<s>", "ids": [10**6], "tokens": ["<s>"]}})),
            "vocab_size in config.json",
        ),
        Case(
            "the text twice",
            "other tokens than a text has",
            tokenizer(post_processor=template(A, A)),
            "",
            other=True,
        ),
        Case(
            "no place for the text",
            "a prompt without its words",
            tokenizer(post_processor=template(S, special=START)),
            "tokens and BOS shown",
        ),
        Case(
            "padded to a thousand million",
            WHY,
            tokenizer(
                padding={
                    "strategy": {"Fixed": 10**9},
                    "direction": "Right",
                    "pad_to_multiple_of": None,
                    "pad_id": 0,
                    "pad_type_id": 0,
                    "pad_token": "<s>",
                }
            ),
            "",
        ),
        Case(
            "padded to a multiple of a million",
            WHY,
            tokenizer(
                padding={
                    "strategy": "BatchLongest",
                    "direction": "Right",
                    "pad_to_multiple_of": 10**6,
                    "pad_id": 0,
                    "pad_type_id": 0,
                    "pad_token": "<s>",
                }
            ),
            "",
        ),
        Case(
            "cut to three tokens",
            "prompts without their end",
            tokenizer(truncation={"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}),
            "",
        ),
        Case(
            "a token beyond the embeddings",
            "a read beyond the embeddings",
            word("Ġa", 10**6),
            "vocab_size|the tokenizer",
        ),
        Case(
            "a token of a negative number",
            "a read before the embeddings",
            word("Ġa", -1),
            "no tokenizer that can be read",
        ),
        Case("a token of half a number", WHY, word("Ġa", 1.5), "no tokenizer that can be read"),
        Case(
            "a token of four thousand million",
            "a read beyond the embeddings",
            word("a", 2**32 - 1),
            "vocab_size|the tokenizer",
        ),
        Case(
            "an added token beyond the embeddings",
            "a read beyond the embeddings",
            tokenizer(added_tokens=added(10**6)),
            "",
        ),
        Case("an added token that is every letter", WHY, tokenizer(added_tokens=added(1, content="a")), "", other=True),
        Case("an added token of nothing", WHY, tokenizer(added_tokens=added(1, content="")), "", other=True),
        Case("no vocabulary", WHY, model(vocab={}), "no tokenizer that can be read|the tokenizer"),
        Case("a vocabulary that is a list", WHY, model(vocab=[1]), "no tokenizer that can be read"),
        Case("joins of no words", WHY, model(merges=[["qqq", "zzz"]]), "no tokenizer that can be read"),
        Case("a model that is unknown", WHY, model(type="Evil"), "no tokenizer that can be read"),
        Case(
            "drops nine of ten at random",
            "other tokens at each reading",
            model(dropout=0.9),
            "other tokens each time",
        ),
        Case(
            "a decoder that makes millions",
            WHY,
            tokenizer(decoder=replace({"String": "a"}, "b" * 1_000_000)),
            "the tokenizer in .*characters|no tokenizer|took more",
        ),
        Case(
            "a decoder that never ends",
            WHY,
            tokenizer(decoder=replace({"Regex": "(a+)+$"}, "b")),
            "",
        ),
        Case("of another version", WHY, tokenizer(version="9.0"), "no tokenizer that can be read"),
        Case("a class that is code", "it is imported", settings(tokenizer_class="os.system"), ""),
        Case("a class that is a number", WHY, settings(tokenizer_class=5), "no tokenizer that can be read"),
        Case(
            "code of its own",
            "it is run",
            settings(auto_map={"AutoTokenizer": ["evil.Evil", None]}, tokenizer_class="Evil"),
            "",
        ),
        Case(
            "a length that is a text",
            WHY,
            settings(model_max_length="x"),
            "no tokenizer that can be read|the tokenizer",
        ),
        Case("a special that is a number", WHY, settings(bos_token=5), "no tokenizer that can be read"),
        Case("a special that is a list", WHY, settings(extra_special_tokens=[["x"]]), "no tokenizer that can be read"),
        Case("a file elsewhere", "it is read", settings(tokenizer_file="/etc/passwd", vocab_file="/etc/passwd"), ""),
        Case("a name elsewhere", "it is read", settings(name_or_path="../outside"), ""),
        Case(
            "thirty thousand specials",
            WHY,
            settings(extra_special_tokens=[f"<{k}>" for k in range(30_000)]),
            "the tokenizer in|",
            other=True,
        ),
        Case(
            "added by its settings beyond the embeddings",
            "a read beyond the embeddings",
            settings(added_tokens_decoder={"1000000000000": {"content": "<new>", "special": True}}),
            "",
        ),
        Case(
            "added by its settings under no number",
            WHY,
            settings(added_tokens_decoder={"x": {"content": "<new>"}}),
            "no tokenizer that can be read",
        ),
    ]
    return found
