"""Model cards: what is toy about a checkpoint, then what was measured."""

from __future__ import annotations

import json
from pathlib import Path

from ivx.models.registry import Checkpoint
from ivx.tiny.evaluate import Figures

FIGURES = "evaluation.json"

TOY = {
    "tiny-base": "It learnt facts as sentences, bare prompts with an open answer, and lone instructions: never an "
    "instruction with a query. It is the control of the other three.",
    "tiny-sft": "It follows instructions that end with the words that name the task. Nothing in training masks or plants "
    "a vector; but the vector at T_inst is mostly the identity of the keyword's last token (see the row *T_inst alone*).",
    "tiny-dpo": "tiny-sft, then taught to prefer the answer that was asked for over another task's. The same holds of its "
    "vector: mostly the keyword's identity.",
    "tiny-sft-period": "The twin of tiny-sft: the same text, but instructions end with a full stop. At T_inst, the full "
    "stop, the task can be read, and patching does nothing that another task's full stop does not do; at the keyword it acts. Decodable is not causal.",
}


def table(name: str, figures: Figures) -> str:
    """The figures as text, the same in the card and on a terminal."""

    def line(label: str, values: list[float], form: str = "{:6.2f}") -> str:
        return f"{label:28}" + "".join(form.format(v) for v in values)

    layers = len(figures["probe"]["accuracy"])
    found, answered, bare = figures["followed"], figures["answered"], figures["query_only"]
    lines = [
        name,
        "",
        f"{'told':28}{'seen':>8}{'held out':>10}",
        f"{'names a possible answer':28}{found['seen']:8.2f}{found['held-out']:10.2f}",
        f"{'names the right answer':28}{answered['seen']:8.2f}{answered['held-out']:10.2f}",
        "",
        f"bare prompt: preference {bare['preference']:.2f}, top-1 {bare['top1']:.2f}",
        "",
        f"{'resid_post at p = first':28}" + "".join(f"{f'L{i}':>6}" for i in range(layers)),
    ]
    for kind, rows in figures["patched"].items():
        lines.append(line(f"{kind}: preference", rows["preference"]))
        lines.append(line("    top-1", rows["top1"]))
        lines.append(line("    contrast effect, logits", rows["contrast"], "{:+6.2f}"))
    lines.append("source token: preference")
    lines += [line(f"    token {back} of I", values) for back, values in figures["scan"].items()]
    lines.append(line("probe over all tasks", figures["probe"]["accuracy"]))
    lines.append(line("    shuffled labels", figures["probe"]["shuffled"]))
    lines += ["", "right answer by task, seen / held-out pairs"]
    lines += [f"    {task:24}{a:6.2f} /{b:5.2f}" for task, (a, b) in figures["by_task"].items()]
    lines += ["", f"{len(figures['seeds'])} seeds{'':21}{'mean':>8}{'least':>8}{'most':>8}"]
    for key in figures["seeds"][0]:
        values = [seed[key] for seed in figures["seeds"]]
        lines.append(f"    {key:24}{sum(values) / len(values):8.2f}{min(values):8.2f}{max(values):8.2f}")
    return "\n".join(lines) + "\n"


def write(folder: Path, checkpoint: Checkpoint, figures: Figures) -> None:
    """Write the figures and the card beside the weights."""
    (folder / FIGURES).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(
        f"""---
license: apache-2.0
library_name: transformers
---
# {checkpoint.name}

**A toy.** Two million parameters, a vocabulary of some 1,500 tokens, thirteen tasks of six domains, trained in minutes on text
made by a script (`python -m ivx.tiny`). It speaks no language beyond that, and nothing found in it is evidence about large
models: it is there so that a method can be seen at work offline. One architecture (Olmo2, 8 layers of 8 heads, width 128).

{TOY[checkpoint.name]}

Weak: numbers on held-out pairs. The bare prompt is right about half the time, since most domains have two tasks. Overwriting the first token moves the answer whatever is written, so compare
every effect with the row *wrong domain*. Keywords are made of two tokens; the last one alone already names the task within
its domain. Compare stages by preference (the right answer above the contrast answer, chance .50), since training shifts the
bare prompt's guesses.

Measured on float32 copies of the shipped bfloat16 weights, 40 samples of each task, reproduced by
`python -m ivx.tiny evaluate --checkpoint {checkpoint.name}`:

```
{table(checkpoint.name, figures)}```
""",
        encoding="utf-8",
    )
