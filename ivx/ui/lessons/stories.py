"""The stories: what each step asks, from which runs its answer is read, and what is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from html import escape
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

from ivx.analyses import defaults
from ivx.analyses.family import REAL, Family
from ivx.request import BaseRequest
from ivx.ui.lessons import answers, learnt, planted
from ivx.ui.lessons.guesses import Ask, Truth
from ivx.ui.lessons.scenes import Bells, Maps, Pairs, Panel, Scene, Strip

TASK = defaults.SHIPPED[0]
SFT, BASE, TWIN = defaults.FIRST[0], "tiny-base", defaults.TWIN
READ_A_MAP = (
    "Rows are layers, columns the tokens of the bare prompt; only the first column is asked about. Orange moves the "
    "answer toward what was instructed, blue away from it. Hatched cells do no more than a control, such as "
    "another task’s vector; grey ones nothing."
)


@dataclass(frozen=True)
class Step:
    """One question of a story.

    `rule` finds its answer in the results that `needs` names; `chips` names the result whose prompts are shown, with
    the `other` task’s instruction where that is what is copied.

    `text` may hold <b>; `hints` are shown before the guess.
    """

    question: str
    text: str
    ask: Ask
    rule: Callable[[Mapping[str, Any]], Truth]
    scene: Scene
    needs: tuple[str, ...]
    hints: tuple[str, ...]
    chips: str
    other: bool = False


@dataclass(frozen=True)
class Story:
    """Steps over the same runs; `onward` gives the pages to go on to, by what they show.

    `further` gives the requests that follow from others' results; `absent` says how runs are had that are not here.
    """

    key: str
    name: str
    requests: Mapping[str, BaseRequest]
    steps: tuple[Step, ...]
    onward: Mapping[str, str]
    further: Callable[[], Mapping[str, BaseRequest]] = dict
    absent: str = ""

    def asked(self) -> dict[str, BaseRequest]:
        """All requests, by the names of their results."""
        return {**self.requests, **self.further()}


def _link(page: str, **view: str) -> str:
    return f"/{page}?{urlencode(view)}"


LAYER = Ask("layer")
PAIR = Ask("pair")

WHERE = Story(
    "where",
    "Where it lives",
    MappingProxyType({"sft": defaults.effects(SFT, TASK), "base": defaults.effects(BASE, TASK)}),
    (
        Step(
            "At which layer does the instruction act most?",
            "<b>T_inst</b>, the instruction’s last token, is copied onto the <b>first token</b> of a prompt without "
            "one. Which layer’s copy acts most?",
            LAYER,
            answers.acts_most,
            Maps((Panel("sft", SFT),)),
            ("sft",),
            (READ_A_MAP, "This family was trained to have such a vector."),
            chips="sft",
        ),
        Step(
            "Does the same copy act in a model that was never instructed?",
            "tiny-base is what tiny-sft was trained from. At the outlined layer: how much of what tiny-sft’s copy "
            "does <b>beyond its control</b> is already there?",
            answers.SHARE,
            answers.never_instructed,
            Maps((Panel("sft", SFT, known=True), Panel("base", BASE))),
            ("sft", "base"),
            (
                "Both maps have one scale. A state that is copied disturbs the prompt whatever it says, so what counts "
                "is how much farther it goes than another task’s.",
            ),
            chips="sft",
        ),
        Step(
            "Must it be this instruction’s vector?",
            "T_inst of <b>another task’s</b> instruction goes into the same prompts, at the outlined layer. How "
            "far does it move the answer toward the first task’s?",
            answers.OTHER,
            answers.another_task,
            Maps((Panel("sft", "this task’s vector", known=True), Panel("sft", "another task’s", control=True))),
            ("sft",),
            (
                "This is the control that every map of ivx is compared with. Where it goes as far as the vector "
                "itself, a cell is hatched: that anything was copied matters there, what was copied does not.",
            ),
            chips="sft",
            other=True,
        ),
    ),
    MappingProxyType(
        {
            f"Overview of {SFT}": _link("overview", checkpoint=SFT, task=TASK),
            "Effects: every cell and its evidence": _link("effects", checkpoint=SFT, task=TASK),
            f"Overview of {BASE}": _link("overview", checkpoint=BASE, task=TASK),
        }
    ),
)

TWINS = Story(
    "twin",
    "Decodable is not causal",
    MappingProxyType(
        {
            "twin": defaults.effects(TWIN, TASK),
            "read": defaults.separability(TWIN, TASK),
            "keyword": replace(defaults.effects(TWIN, TASK), source_token="keyword"),
        }
    ),
    (
        Step(
            "Can the instruction be read off a full stop?",
            "tiny-sft’s twin is told everything with a <b>full stop</b> behind it: T_inst is always the same "
            "token. How often can a probe name the task from it?",
            answers.READ,
            answers.read_off,
            Bells("read"),
            ("read",),
            (
                "The probe is tried on families of wordings that it never saw. Grey: the same probe on shuffled "
                "labels. Blue: on the true ones. Lines: what a bag of words and the token’s embedding reach.",
                "This family was trained to be so.",
            ),
            chips="twin",
        ),
        Step(
            "Does copying the full stop’s state move the answer?",
            "It is copied onto the <b>first token</b> of the bare prompt. Does any layer’s copy move the answer "
            "more than another task’s full stop does?",
            answers.WAY,
            answers.moves,
            Maps((Panel("twin", "from the full stop"),)),
            ("twin",),
            (READ_A_MAP,),
            chips="twin",
        ),
        Step(
            "Where can the twin’s vector be taken from?",
            "From the <b>full stop</b>, or from the <b>keyword</b>, the last token of what names the task: whose "
            "copy moves the answer beyond its control?",
            answers.TOKEN,
            answers.taken_from,
            Maps((Panel("twin", "from the full stop", known=True), Panel("keyword", "from the keyword"))),
            ("twin", "keyword"),
            (
                "Both maps have one scale, and both copies land on the same tokens. Only the token that the state is "
                "taken from differs.",
            ),
            chips="keyword",
        ),
    ),
    MappingProxyType(
        {
            "Separability: what is read against what acts": _link("separability", checkpoint=TWIN, task=TASK),
            "Effects: the twin, from its keyword": _link("effects", checkpoint=TWIN, task=TASK, source="keyword"),
            f"Overview of {TWIN}": _link("overview", checkpoint=TWIN, task=TASK),
        }
    ),
)

TOGETHER = Story(
    "together",
    "One plus one is not two",
    MappingProxyType({"pairs": defaults.interactions(SFT, TASK)}),
    (
        Step(
            "What do two layers give together?",
            "Each bar is the copy of T_inst at <b>one layer alone</b>. Now both of the marked layers are copied in the "
            "same run: how far does the answer move?",
            answers.SUM,
            answers.together,
            Strip("pairs"),
            ("pairs",),
            (
                "A bar’s line is its 95 % interval. The two copies go to the same token, the first token of the bare "
                "prompt, one at the earlier and one at the later layer.",
            ),
            chips="pairs",
        ),
        Step(
            "Which pairs need no run at all?",
            "<b>J</b> is what two copies give together, minus the sum of the two alone. For some pairs it is known "
            "before anything is run. Which is one of them?",
            PAIR,
            answers.known_before,
            Pairs("pairs", shown="degenerate"),
            ("pairs",),
            (
                "The later layer goes up, the earlier one across. A copy changes what later layers read of that token; "
                "think of a pair where one of the two is read by nobody.",
            ),
            chips="pairs",
        ),
        Step(
            "Which two layers interact most?",
            "Which pair’s J is <b>farthest from 0</b>, in either direction, and beyond the J of another task’s "
            "vectors?",
            PAIR,
            answers.interacts_most,
            Pairs("pairs", known="degenerate"),
            ("pairs",),
            (
                "J below 0: together they give less than the sum of the two alone. J above 0: more. The dashes are the "
                "pairs that needed no run.",
            ),
            chips="pairs",
        ),
    ),
    MappingProxyType(
        {
            "Interactions: every pair and its evidence": _link("interactions", checkpoint=SFT, task=TASK),
            "Interactions: keys and values instead": _link("interactions", checkpoint=SFT, task=TASK, game="read"),
            "Interactions of tiny-dpo": _link("interactions", checkpoint="tiny-dpo", task=TASK),
        }
    ),
)


KNOWN = Story(
    "known",
    "Planted",
    MappingProxyType(planted.requests()),
    (
        Step(
            "Up to which layer does the copy act?",
            "<b>planted-path</b> was not trained: every weight was set by hand. Block 0 moves the task to "
            "<b>T_inst</b>, block 2 reads it from there. T_inst is copied onto the first token of a bare prompt: which "
            "is the last layer whose copy acts?",
            planted.BLOCKS,
            planted.last_layer,
            Maps((Panel("path", planted.PATH),)),
            ("path",),
            (READ_A_MAP, "Layer 1 is the state behind block 1. A block reads the state below it."),
            chips="path",
        ),
        Step(
            "Which head do pathways miss?",
            "In <b>planted-and</b> an answer needs both: one head brings the instruction, one the query, and an MLP "
            "multiplies the two. Pathways split the answer’s logit over heads. Which of the two do they give nothing?",
            planted.MISSED,
            planted.missed,
            planted.Bars(),
            ("ways", "heads"),
            (
                "The MLP is gated: what the instruction’s head writes opens a gate, what the query’s head writes goes "
                "through it. Pathways hold attention, norm scales and gates at what they are in the run.",
            ),
            chips="heads",
        ),
        Step(
            "Do heads that are not shared share no work?",
            "In <b>planted-heads</b>, shape and weight have one of five heads in common. All but shape’s "
            "three strongest are ablated, and the model is asked for the <b>weight</b>: how much is left of what "
            "weight’s own three do?",
            planted.CARRIES,
            planted.phantom,
            planted.Matrix(),
            ("carried",),
            ("Heads are found on one half of the queries, and tried on the other.",),
            chips="",
        ),
    ),
    MappingProxyType(
        {
            "Pathways of planted-and": _link("pathways", checkpoint=planted.AND, task=planted.TASK),
            "Effects of planted-path": _link("effects", checkpoint=planted.PATH, task=planted.TASK),
            "Circuit transfer of planted-heads": _link(
                "pathways",
                checkpoint=planted.HEADS,
                task=planted.TASK,
                **{"carry": f"{planted.TASK},thing/size,{planted.SHAPE},{planted.WEIGHT}", "carry-heads": "3"},
            ),
        }
    ),
)


def learnt_by(family: Family) -> Story:
    """The story of a family: does it follow, where, and who learnt."""
    task, subject, first = family.tasks[0], family.subject, family.names[0]
    about = f"<b>{escape(subject)}</b> is {escape(first)} taught to follow such instructions ({escape(task)})."
    return Story(
        "learnt",
        "Who learnt to follow",
        learnt.requests(family),
        (
            Step(
                f"How often does {first} do what it is told?",
                f"{about} Before that: what share of its answers is right when it is told what to do?",
                learnt.FOLLOWS,
                learnt.follows,
                learnt.Told(),
                ("before", "place"),
                (
                    "An answer counts when its first token is the likeliest of all. Untold: the same prompt without "
                    "the instruction.",
                ),
                chips="",
            ),
            Step(
                "From which token of the instruction can its vector be taken?",
                f"Each token’s state was put on each token of a bare prompt, in {escape(subject)}, layer by layer. "
                "From which one does it act most, beyond its controls?",
                learnt.FROM,
                learnt.taken_from,
                learnt.Searched(),
                ("place",),
                (
                    "Each strip is one pair of tokens, its bars the layers, its line the strongest control. Orange "
                    "stands out from that. The place was chosen on some queries and confirmed on others.",
                ),
                chips="",
            ),
            Step(
                "How many of the later blocks read it there?",
                "The vector is put on one token, and the token’s own value is given back behind each later block: only "
                "the blocks up to there have read it.",
                learnt.READERS,
                learnt.read_by,
                learnt.Read(),
                ("place",),
                (
                    "The dashed line across is what arrives when nothing is given back. A step of the curve is a "
                    "block that reads.",
                ),
                chips="",
            ),
            Step(
                "What did post-training teach: the vector, or those who read it?",
                "Every checkpoint’s vector is put into every checkpoint, at the same token and layer. Down: whose "
                "vector; across: who reads it.",
                learnt.TAUGHT,
                learnt.WhoLearnt(family),
                learnt.Crossed(family),
                learnt.crossed(family),
                (
                    "If the vector was taught, the later checkpoint’s acts in both. If its readers were, both vectors "
                    "act in the later checkpoint.",
                ),
                chips="",
            ),
        ),
        MappingProxyType(
            {
                f"Overview of {subject}": _link("overview", checkpoint=subject, task=task),
                "Post-training: vector or reader, other tasks": _link(
                    "training", checkpoints=",".join(family.names), task=task, show="exchange"
                ),
            }
        ),
        further=partial(learnt.further, family),
        absent="python -m ivx get smollm2, then python -m ivx.taught runs",
    )


LEARNT = learnt_by(REAL)
TOY = (WHERE, TWINS, TOGETHER)
"""The stories of the embedded family."""
STORIES: tuple[Story, ...] = (*TOY, KNOWN, LEARNT)


@cache
def story(key: str) -> Story:
    """The story of that key, or the first."""
    return next((one for one in STORIES if one.key == key), STORIES[0])
