"""Time a sweep by plan against what a user would otherwise pick, interleaved in one run, as ratios.

python benchmarks/sweeps.py --quick          # under five minutes on two cores
python benchmarks/sweeps.py --write          # the full table, into benchmarks/results/sweeps.json
python benchmarks/sweeps.py --device cuda --dtype bfloat16    # OLMo-2-1B; first_s is a cold start, run again a warm one
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import models, rivals  # noqa: E402  (the folder is not a package that is installed)
from ivx.engine import sweep  # noqa: E402
from ivx.engine.plan import run
from ivx.engine.plan.forecast import rate  # noqa: E402
from ivx.engine.workload import checked  # noqa: E402
from ivx.models.model import Model  # noqa: E402
from ivx.request import ENGINE  # noqa: E402

STREAMED = " streamed"
KEY = ("model", "workload", "samples", "tokens")
"""What names a line."""
RESULTS = Path(__file__).parent / "results" / "sweeps.json"
QUICK = [
    ("olmo2 16×512", "W1", 16, 24),
    ("olmo2 16×512", "W2", 4, 24),
    ("olmo2 16×512", "W3p", 4, 24),
    ("olmo2 16×512", "W3a", 4, 24),
    ("olmo2 16×512", "W4", 16, 24),
    ("olmo2 16×512", "W4", 1, 24),
    ("olmo2 16×512", "W2", 1, 24),
    ("olmo2 16×512", "W4l", 8, 24),
]
FULL = [
    *QUICK,
    *[(name, w, n, 24) for name in ("llama 12×512 GQA", "gpt2 12×768") for w, n in
      (("W1", 16), ("W2", 4), ("W3p", 4), ("W3a", 4), ("W4", 16))],
    ("olmo2 16×512", "W4", 2, 192),
    ("olmo2 16×512", "W1", 2, 512),
    *[("SmolLM2-135M", w, n, 24) for w, n in (("W1", 16), ("W2", 2), ("W3p", 2), ("W4", 2))],
    ("SmolLM2-135M streamed", "W1", 16, 24),
    *[("gemma-3-270m", w, n, 24) for w, n in (("W1", 16), ("W2", 2), ("W4", 2))],
    ("OLMo-2-1B", "W4", 1, 24),
]  # fmt: skip
GPU = [
    ("OLMo-2-1B", work, samples, 24) for work, samples in (("W1", 16), ("W2", 4), ("W3p", 4), ("W3a", 4), ("W4", 16))
]


def measured(
    name: str, work: str, samples: int, tokens: int, *, rounds: int, others: bool, **place: Any
) -> dict[str, Any]:
    """One line of the table: seconds of both, their ratio, states and the largest difference of the answers' logits."""
    with tempfile.TemporaryDirectory() as folder:
        if name.endswith(STREAMED):
            model = models.streamed(name.removesuffix(STREAMED), Path(folder))
            beside = models.random_checkpoint(name.removesuffix(STREAMED))
            return _measured(name, model, beside, work, samples, tokens, rounds=rounds, others=False)
        model = models.random_checkpoint(name, **place)
        return _measured(name, model, model, work, samples, tokens, rounds=rounds, others=others)


def _measured(
    name: str, model: Model, whole: Model, work: str, samples: int, tokens: int, *, rounds: int, others: bool
) -> dict[str, Any]:
    """The line of a model; hooks run on the `whole` one, which is it, but where weights are streamed."""
    source, target = models.prompts(model, samples=samples, tokens=tokens)
    patches, answer = models.workload(work, model, tokens=tokens), [7] * samples
    asked: dict[str, Any] = {"source": source, "target": target, "answer": answer, "patches": patches}
    begun = time.perf_counter()
    sweep.sweep(model, **{**asked, "patches": patches[:2]})  # proves the model, makes or reads kernels
    first = time.perf_counter() - begun
    ours, theirs = [], []
    for _ in range(rounds):
        begun = time.perf_counter()
        table = sweep.sweep(model, engine="plan", **asked)
        ours.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        logits = rivals.hooks(whole, source, target, answer, patches)
        theirs.append(time.perf_counter() - begun)
    beside = {}
    for other, rival in rivals.OTHERS.items() if others else ():
        try:
            rival(model, source, target, answer, patches[:2])
        except NotImplementedError:  # an architecture that this tool does not know
            continue
        begun = time.perf_counter()
        found = rival(model, source, target, answer, patches)
        beside[other] = round((time.perf_counter() - begun) / statistics.median(ours), 2)
        assert (found - logits).abs().max() < 1e-3, f"{other} computes something else"
    apart = (torch.tensor(table["logit"].to_pylist()[samples:]) - logits).abs().max()
    begun = time.perf_counter()
    made, _ = run.plan_of(
        model,
        checked(model, contrast=None, reference=None, **asked),
        [run.Item(i, p) for i in range(samples) for p in ("", *patches)],
    )
    planning = time.perf_counter() - begun
    blocks = sum(p.numel() for p in model.blocks[0].parameters())
    flops = 2.0 * (blocks * made.cost.tokens + model.width * model.vocabulary * len(np.unique(made.rows)))
    floor = flops / rate(model)
    return {
        "model": name,
        "workload": work,
        "samples": samples,
        "tokens": tokens,
        "rows": table.num_rows,
        "engine": ENGINE,
        "floor_s": round(floor, 3),
        "floor_share": round(floor / statistics.median(ours), 3),
        "beside_weights_mb": round(run.peak_bytes(model, made, run.way_of(model)) / 1e6),
        "plan_s": round(statistics.median(ours), 3),
        "plan_spread_s": [round(min(ours), 3), round(max(ours), 3)],
        "hooks_s": round(statistics.median(theirs), 3),
        "hooks_spread_s": [round(min(theirs), 3), round(max(theirs), 3)],
        "first_s": round(first, 3),
        "ratio": round(statistics.median(t / o for t, o in zip(theirs, ours, strict=True)), 2),
        "other_ratios": beside,
        "planning_share": round(planning / statistics.median(ours), 4),
        "states": made.cost.tokens,
        "rowwise_states": made.cost.rowwise,
        "largest_logit_difference": float(apart),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The results as a Markdown table; a dash where a rival was not timed."""
    lines = [
        "| model | workload | N | T | hooks, s | ivx, s | hooks / ivx | nnsight / ivx | TransformerLens / ivx "
        "| pyvene / ivx | states | floor |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        others = [r["other_ratios"].get(name) for name in rivals.OTHERS]
        ratios = " | ".join("–" if x is None else f"{x:.1f}×" for x in others)
        lines.append(
            f"| {r['model']} | {r['workload']} | {r['samples']} | {r['tokens']} | {r['hooks_s']:.2f} "
            f"| {r['plan_s']:.2f} | **{r['ratio']:.1f}×** | {ratios} | {r['states'] / r['rowwise_states']:.0%} "
            f"| {format(r['floor_share'], '.0%') if 'floor_share' in r else '–'} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print; write when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one architecture, one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--only", default="", help="lines whose model or workload holds this text")
    parser.add_argument("--others", action="store_true", help="time the tools of requirements.txt too")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    found = []
    on_cpu, place = given.device == "cpu", {"device": given.device, "dtype": getattr(torch, given.dtype)}
    for line in GPU if not on_cpu else QUICK if given.quick else FULL:
        if given.only and given.only not in f"{line[0]} {line[1]}":
            continue
        rounds = 1 if given.quick or line[0] == "OLMo-2-1B" else given.rounds
        small = line[0] != "OLMo-2-1B" and (line[1] == "W1" or line[2] == 1)
        one = measured(*line, rounds=rounds, others=given.others and small, **place)
        found.append(one)
        print(json.dumps(one), flush=True)
    print(table(found))
    if given.write:
        machine = {
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}, {given.dtype}",
            "device": "cpu" if on_cpu else torch.cuda.get_device_name(given.device),
            "threads": given.threads,
        }
        # Lines that were not measured now stay as they were, under the engine that they name.
        where = RESULTS.with_stem(f"sweeps{_stem(given, on_cpu=on_cpu)}")
        before = json.loads(where.read_text(encoding="utf-8"))["lines"] if where.is_file() else []
        by_key = {tuple(line[k] for k in KEY): line for line in (*before, *found)}
        where.write_text(
            json.dumps({**machine, "lines": list(by_key.values())}, indent=1, ensure_ascii=False) + "\n",
            encoding="utf-8",
        )
        print(table(list(by_key.values())))


def _stem(given: argparse.Namespace, *, on_cpu: bool) -> str:
    if not on_cpu:
        return f"-gpu-{given.dtype}"
    return f"-{given.threads}-threads" if given.threads > 1 else ""


if __name__ == "__main__":
    main()
