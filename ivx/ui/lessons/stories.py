"""The stories: what each step asks, from which runs its answer is read, and what is drawn."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from html import escape
from types import MappingProxyType

from ivx.analyses import defaults
from ivx.analyses.family import REAL, Family
from ivx.ui.lessons import answers, learnt, planted
from ivx.ui.lessons.guesses import Ask
from ivx.ui.lessons.scenes import Bells, Maps, Pairs, Panel, Strip
from ivx.ui.lessons.story import READ_A_MAP, Step, Story, link

TASK = defaults.SHIPPED[0]
SFT, BASE, TWIN = defaults.FIRST[0], "tiny-base", defaults.TWIN


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
            f"Overview of {SFT}": link("overview", checkpoint=SFT, task=TASK),
            "Effects: every cell and its evidence": link("effects", checkpoint=SFT, task=TASK),
            f"Overview of {BASE}": link("overview", checkpoint=BASE, task=TASK),
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
            "Separability: what is read against what acts": link("separability", checkpoint=TWIN, task=TASK),
            "Effects: the twin, from its keyword": link("effects", checkpoint=TWIN, task=TASK, source="keyword"),
            f"Overview of {TWIN}": link("overview", checkpoint=TWIN, task=TASK),
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
            "Interactions: every pair and its evidence": link("interactions", checkpoint=SFT, task=TASK),
            "Interactions: keys and values instead": link("interactions", checkpoint=SFT, task=TASK, game="read"),
            "Interactions of tiny-dpo": link("interactions", checkpoint="tiny-dpo", task=TASK),
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
                f"Overview of {subject}": link("overview", checkpoint=subject, task=task),
                "Post-training: vector or reader, other tasks": link(
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
STORIES: tuple[Story, ...] = (*TOY, planted.STORY, LEARNT)


@cache
def story(key: str) -> Story:
    """The story of that key, or the first."""
    return next((one for one in STORIES if one.key == key), STORIES[0])
