"""Previews: a task's prompts as the tokens a checkpoint will see, before anything is run."""

from __future__ import annotations

from typing import Any

from ivx.tasks.encoder import Encoder
from ivx.tasks.samples import Samples
from ivx.tasks.task import Pair, Task


def listing(tasks: dict[str, Task]) -> str:
    """One line per task: name, contrast, queries, wordings."""
    width = max(map(len, tasks))
    return "\n".join(
        f"{name:{width}}  against {task.contrast:{width}}  {len(task.answers):4} queries  "
        f"{len(task.instructions):4} wordings"
        for name, task in tasks.items()
    )


def preview(pair: Pair, samples: Samples, tokenizer: Any) -> str:
    """The three prompts of each sample with [T_inst], {keyword} and (first) marked, and the answer tokens."""
    encoder = Encoder(tokenizer)
    words = encoder.tokenizer.convert_ids_to_tokens
    lines = [f"{pair.task.name} against {pair.contrast.name}"]
    for s in samples.rows:
        source = [repr(word)[1:-1] for word in words(list(s.source))]
        if s.keyword is not None and s.keyword != s.t_inst:
            source[s.keyword] = "{" + source[s.keyword] + "}"
        source[s.t_inst] = f"[{source[s.t_inst]}]"
        target = [repr(word)[1:-1] for word in words(list(s.target))]
        target[s.first] = f"({target[s.first]})"
        bare = [encoder.tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in (s.answer, s.contrast)]
        lines += [
            f"  I   {' '.join(source)}",
            f"  IT  {' '.join(repr(word)[1:-1] for word in words(list(s.instructed)))}",
            f"  TO  {' '.join(target)}",
            f"      answer {s.answer!r}: token {s.answer_id} ({bare[0]} without the space); "
            f"contrast {s.contrast!r}: token {s.contrast_id} ({bare[1]} without the space)",
        ]
    lines.append("  [T_inst]  {keyword}  (first patched token)")
    return "\n".join([*lines, *(f"  note: {warning}" for warning in samples.warnings)])
