"""The embedded family's tokenizer: whole words, and keywords in pieces (WordPiece over a written vocabulary)."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ivx.tasks.tiny import DETERMINERS, DOMAIN_WORDS, FRAMES, KEYWORDS, VERBS, tasks
from ivx.tiny.corpus import SENTENCES

PAD, UNKNOWN, END = "<pad>", "<unk>", "<end>"


def words() -> list[str]:
    """Every whole word of the tiny world, sorted."""
    templates = [*FRAMES, *DOMAIN_WORDS, *DETERMINERS, *VERBS, *SENTENCES]
    found = {word for text in templates for word in text.split() if "{" not in word}
    found |= {".", ":", ",", ";", "?", "answer"}
    for name, task in tasks().items():
        found |= {name.partition("/")[0], *task.answers, *task.answers.values()}
    return sorted(found)


def pieces() -> list[str]:
    """The tokens that keywords are made of, sorted."""
    found = set()
    for keyword in (keyword for keywords in KEYWORDS.values() for keyword in keywords):
        first, *rest = keyword.split("|")
        found |= {first, *(f"##{piece}" for piece in rest)}
    return sorted(found)


def build() -> PreTrainedTokenizerFast:
    """The tokenizer: lower-case, split at spaces, no BOS, `<end>` after an answer."""
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([PAD, UNKNOWN, END, *words(), *pieces()]))}
    inner = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.decoder = decoders.WordPiece(prefix="##")
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=PAD,
        unk_token=UNKNOWN,
        eos_token=END,
        model_max_length=128,
        clean_up_tokenization_spaces=False,
    )
