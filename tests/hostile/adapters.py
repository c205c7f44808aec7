"""Adapters: expressions that never end, ranks without end, bases elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.case import Case, Harm, edited, lie

WHY = "a process that never ends, memory without end, or other weights than it says"
NEVER = r"(\w+.?)+\w+.?!"


def config(**changes: Any) -> Harm:
    """Change values of its config."""
    return lambda folder: edited(folder / "adapter" / "adapter_config.json", **changes)


def header(change: Callable[[dict[str, Any]], object]) -> Harm:
    """A header that lies."""
    return lambda folder: lie(folder / "adapter" / "adapter_model.safetensors", change)


def base(name: str) -> Harm:
    """Another base; `@` stands for the folder of all."""
    return lambda folder: config(base_model_name_or_path=name.replace("@", str(folder)))(folder)


def pickled(folder: Path) -> None:
    path = folder / "adapter" / "adapter_model.safetensors"
    path.unlink()
    path.with_suffix(".bin").write_bytes(b"cos\nsystem\n(S'touch /tmp/ivx-was-here'\ntR.")


def beside(folder: Path) -> None:
    """A base that is an adapter's directory, too, and names another base."""
    told = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    (folder / "base" / "adapter_config.json").write_text(json.dumps(told | {"base_model_name_or_path": "../outside"}))


def cases() -> list[Case]:
    """All of them."""
    unfit = "adapter"
    told: list[tuple[str, Harm, str]] = [
        ("modules by an expression that never ends", config(target_modules=NEVER), "adapter in .* (took|broke)"),
        ("ranks by an expression that never ends", config(rank_pattern={NEVER: 2}), "adapter in .* (took|broke)"),
        ("scales by an expression that never ends", config(alpha_pattern={NEVER: 2}), "adapter in .* (took|broke)"),
        ("left out by an expression that never ends", config(exclude_modules=NEVER), "adapter in .* (took|broke)"),
        ("layers by an expression that never ends", config(layers_pattern=[NEVER], layers_to_transform=[0]), "adapter"),
        ("modules by a broken expression", config(target_modules="(("), unfit),
        ("ranks by a broken expression", config(rank_pattern={"((": 2}), unfit),
        *(
            (f"a rank of {rank!r:.20}", config(r=rank), r"\br in .*adapter_config.json|adapter")
            for rank in (0, -1, 10**9, 10**40, "x", 1.5, [2], True, None)
        ),
        *(
            (f"ranks of {rank!r:.20}", config(rank_pattern={"q_proj": rank}), "rank_pattern|adapter")
            for rank in (0, -1, 10**9, "x")
        ),
        ("a rank that its file has not", config(r=4_096, use_rslora=True), "describes|does not fit|adapter"),
        ("a scale that is a text", config(lora_alpha="x"), unfit),
        ("a scale that is none", config(lora_alpha=None), unfit),
        ("a scale without end", config(lora_alpha=10**400), unfit),
        ("a kind that is not there", config(peft_type="EVIL"), unfit),
        ("a kind that is a number", config(peft_type=5), unfit),
        (
            "a thousand million virtual tokens",
            config(peft_type="PROMPT_TUNING", num_virtual_tokens=10**9, task_type="CAUSAL_LM"),
            "num_virtual_tokens|adapter",
        ),
        (
            "a hundred thousand virtual tokens",
            config(peft_type="PREFIX_TUNING", num_virtual_tokens=60_000, task_type="CAUSAL_LM"),
            "adapter",
        ),
        ("modules that are a number", config(target_modules=5), unfit),
        ("modules that are numbers", config(target_modules=[5]), unfit),
        ("no modules", config(target_modules=[]), unfit),
        ("modules that are not there", config(target_modules=["evil"]), unfit),
        ("modules that are saved whole", config(modules_to_save=["lm_head"]), unfit),
        ("code of its own", config(auto_mapping={"base_model_class": "system", "parent_library": "os"}), ""),
        ("a corpus to be drawn from", config(init_lora_weights="eva"), ""),
        ("weights to be split", config(init_lora_weights="pissa"), ""),
        ("of a base that leads up", base("../outside"), "base|outside|not here|path"),
        ("of a base elsewhere", base("/etc"), "base|etc|not here"),
        ("of a base that is a device", base("/dev/zero"), "base|zero"),
        ("of a base that is itself", base("@/adapter"), "base|adapter"),
        ("of a base on the hub", base("evil/model"), "not here|not on this machine|hub"),
        ("of a base by an address", base("https://evil.example/x"), "base|not here"),
        ("of a base that is a number", config(base_model_name_or_path=5), "does not name its base"),
        ("of a base with a NUL", base("a\0b"), "base|path"),
        ("weights that are a pickle", pickled, "safetensors adapters only"),
        (
            "numbers of another shape",
            header(lambda said: [one.update(shape=one["shape"][::-1]) for one in said.values() if "shape" in one]),
            unfit,
        ),
        ("numbers of another name", header(lambda said: said.update({"evil": said.pop(sorted(said)[-1])})), unfit),
        ("numbers beyond the file", header(lambda said: said[sorted(said)[-1]].update(data_offsets=[0, 2**40])), unfit),
        (
            "a hole of a terabyte",
            lambda folder: os.truncate(folder / "adapter" / "adapter_model.safetensors", 2**40),
            unfit,
        ),
    ]
    return [
        Case(f"adapter, {what}", WHY, harm, sentence, opened="adapter", other=not sentence)
        for what, harm, sentence in told
    ] + [Case("a base that is an adapter's, too", "another base is read", beside, "adapter|base")]
