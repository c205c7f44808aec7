"""The glossary: what the method's terms mean, and how they explain themselves where they stand in a sentence."""

from __future__ import annotations

import re
from html import escape
from typing import NamedTuple


class Term(NamedTuple):
    """A term: `name` heads its entry, `pattern` finds it in ivx's own sentences, `meaning` is plain text."""

    name: str
    pattern: str
    meaning: str


TERMS = (
    Term(
        "T_inst",
        r"T_inst",
        "The last token of the instruction. Its state has read the whole instruction, so the instruction is looked for "
        "there first.",
    ),
    Term(
        "instruction vector",
        r"instruction(?:’s)? vectors?",
        "The state of one of the instruction’s tokens at one layer, copied into a prompt without that instruction.",
    ),
    Term(
        "keyword",
        r"keyword",
        "The last token of the words that name the task, such as “colour” in “state its colour”.",
    ),
    Term(
        "bare prompt",
        r"bare prompt",
        "The same query without the instruction. A state is put there to see whether the answer moves.",
    ),
    Term(
        "denoising",
        r"denoising",
        "A state of the instructed run is put into the bare prompt. Noising goes the other way.",
    ),
    Term(
        "logit",
        r"logits?",
        "A token’s score before it becomes a probability. One logit more multiplies its odds against any other token "
        "by 2.7.",
    ),
    Term(
        "contrast",
        r"contrast(?: answer(?:['’]s)?)?",
        "What another task would answer to the same query. The metric of that name is the answer’s logit minus the "
        "contrast answer’s.",
    ),
    Term(
        "follow",
        r"follow(?:s|ed)?",
        "To do what the instruction asks: the answer comes first. Told is with the instruction in the prompt, untold "
        "without it.",
    ),
    Term(
        "hatched",
        r"[Hh]atched|no better than a control",
        "Different from 0, but no better than a control, which moves the answer as much: not a finding.",
    ),
    Term(
        "control",
        r"controls?",
        "The same patch with something that should not work, such as another task’s vector or a random one of the "
        "same norm. A finding beats its controls, not only 0.",
    ),
    Term(
        "adjusted p",
        r"adjusted p",
        "A p-value corrected (Benjamini and Hochberg) for all that is tested beside it: below .05 a cell counts as "
        "different.",
    ),
    Term(
        "place",
        r"(?<=[Tt]he )(?<!in the )place(?! of\b)",
        "Where the vector acts: from which of the instruction’s tokens, on which token of the bare prompt, in which "
        "layers. Some queries choose it, others confirm it.",
    ),
    Term(
        "readers",
        r"readers",
        "The later blocks that take the vector up. The token gets its own value back after one block or another: what "
        "is left of the effect has been read by then.",
    ),
    Term(
        "sink",
        r"[Ss]inks?",
        "A token where a control moves the answer at least half as much as the vector: what acts there is not the "
        "instruction alone.",
    ),
    Term(
        "probe",
        r"probes?",
        "A linear classifier that tells tasks apart from states. It is fitted on some wordings and tested on others.",
    ),
    Term(
        "selectivity",
        r"[Ss]electivity",
        "The probe’s accuracy minus that of a probe fitted on shuffled labels: what is read beyond chance.",
    ),
    Term(
        "bag of words",
        r"[Bb]ag of words",
        "A classifier that sees only which words an instruction has. Where it does as well, the words alone tell the "
        "tasks apart.",
    ),
    Term(
        "J",
        r"J(?=\(| = |, )",
        "What two patches do together minus the sum of what each does alone. Negative: together less than the sum.",
    ),
    Term(
        "degenerate",
        r"[Dd]egenerate",
        "A pair whose J follows from its halves without a run, for instance because no later layer reads the state.",
    ),
    Term(
        "Shapley interaction",
        r"Shapley (?:interactions?|values?)",
        "How much more two layers do together than each by itself, averaged over all sets of other layers. A layer’s "
        "Shapley value is its own part.",
    ),
)
"""In the order of the list. Where two begin at the same letter, the first is meant."""

_ASIDE = (
    r"""<(?P<tag>a|code|button)\b.*?</(?P=tag)>|<span class="ivx-term".*?</span>|"""
    r"""</?[A-Za-z](?:[^>"']|"[^"]*"|'[^']*')*>|“[^”]*”|&#?\w+;"""
)
"""What no term is looked for in: links, code, what explains itself already, tags, quotations (a user's own words stand
in these), entities."""
_FOUND = re.compile(
    "|".join([_ASIDE, r"\b(?:" + "|".join(f"(?P<t{i}>{one.pattern})" for i, one in enumerate(TERMS)) + r")(?!\w)"]),
    re.DOTALL,
)


def marked(html: str) -> str:
    """Sentences, as HTML, with each term dotted where it stands first; what is no text stays as it is."""
    said: set[str] = set()

    def mark(found: re.Match[str]) -> str:
        kind = found.lastgroup or ""
        if not kind.startswith("t") or kind == "tag" or kind in said:
            return found.group()
        said.add(kind)
        return dotted(TERMS[int(kind[1:])], found.group())

    return _FOUND.sub(mark, html)


def dotted(term: Term, shown: str) -> str:
    """A term as it stands in a sentence: its meaning is shown on hover, focus and touch, and told to screen readers."""
    meaning = escape(term.meaning, quote=True)
    return (
        f'<span class="ivx-term" role="term" tabindex="0" aria-description="{meaning}" data-tip="{meaning}">'
        f"{shown}</span>"
    )


def explained(shown: str, meaning: str) -> str:
    """Words that explain themselves like a term, such as what a chosen metric measures; both are plain text."""
    return dotted(Term("", "", meaning), escape(shown))


def listed() -> str:
    """The whole glossary, as HTML."""
    entries = "".join(f"<div><dt>{escape(one.name)}</dt><dd>{escape(one.meaning)}</dd></div>" for one in TERMS)
    return f'<dl class="ivx-glossary">{entries}</dl>'
