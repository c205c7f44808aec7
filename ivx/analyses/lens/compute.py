"""The patch lens: a logit lens on every layer of a free prompt, and what changes when a state is patched in.

A cell is the residual stream after one block at one token, read with the model's final norm and unembedding
(`ivx.engine.hooks.lens`). Dropping a cell of one prompt on a cell of another puts the state there, and everything later
is computed anew: in the grid, and in the text that is then written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from ivx.analyses.base import Progress, Steps
from ivx.analyses.lens.request import LensRequest
from ivx.analyses.lens.result import MOST, TABLE, Reading, address
from ivx.engine.address import STREAM, Patch
from ivx.engine.draws import draw_of, drawn
from ivx.engine.hooks import lens as engine
from ivx.engine.hooks.generate import Push, Written, generate
from ivx.engine.hooks.sites import Writes, read, write
from ivx.engine.plan.forecast import Forecast, of_texts
from ivx.engine.turns import only_user
from ivx.models.doctor import TOLERANCE
from ivx.models.model import Model
from ivx.patching.positions import shown
from ivx.patching.prepare import asked_of, receipt_of
from ivx.patching.table import Key, sampled
from ivx.tasks import catalogue
from ivx.tasks.encoder import Encoder
from ivx.tasks.way import Way

Edits = dict[tuple[str, int], Writes]
WRITTEN = 12
SAMPLES = 40
"""Queries of the task that are asked told and untold, where the texts ask one."""


def compute(
    model: Model,
    request: LensRequest,
    *,
    on_progress: Progress[Reading] | None = None,
    known: pa.Table | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Reading:
    """Read a prompt with the logit lens, as it is or with a state of another one, and let the model go on with it.

    Raises:
        TaskError: an empty prompt, one of more than 48 tokens, or no chat template.
        AddressError: a layer or token that is not there.
    """
    began = time.perf_counter()
    receipt = receipt_of(model, request, request.subject(model.collection, lambda: model.tokenizer)) | {
        "how": "hooks",
        "samples": 1,
        "warnings": [],
    }
    if request.task:
        pair = catalogue.find(request.task, collection=model.collection)
        way = Way("chat" if request.chat else "prompt")
        asked, uncounted = asked_of(model, pair, way, samples=SAMPLES, seed=request.seed)
        receipt |= asked | {"warnings": uncounted}
    nothing = Reading(
        request=request,
        table=TABLE.empty_table(),
        layers=model.layers,
        receipt=receipt,
        tokens=(),
        text="",
        first=0,
        unknown=0,
    )

    def alive() -> None:
        beat()
        if on_progress is not None:
            on_progress(nothing, 0, model.layers)

    ids = _ids(model, request.prompt, "prompt", chat=request.chat)
    alive()
    if request.source is None:
        lens = engine.lens(model, ids)
        (written,) = generate(model, [ids], tokens=WRITTEN, beat=alive)
        found = _filled(model, nothing, lens)
    else:
        found, written = _dropped(model, nothing, request.source, ids, alive)
    receipt = found.receipt | {"rows": found.table.num_rows, "seconds": round(time.perf_counter() - began, 3)}
    found = replace(found, text=_text(model, written), receipt=receipt)
    if on_progress is not None:
        on_progress(found, model.layers, model.layers)
    return found


def replay(
    model: Model, found: Reading, *, rows: int, seed: int, beat: Callable[[], None]
) -> tuple[list[Key], list[float], list[float]]:
    """Compute some probabilities again in the slow way: the cell's state is written after the last block at the last
    token of a run, and the model itself reads it.

    Returns:
        (word, prompt's token, `layer@position`, rank) of each, and its probability as it is stored and as it is now.
    """
    request = found.request
    ids = _ids(model, request.prompt, "prompt", chat=request.chat)
    writes: Edits = {}
    if request.source is not None:
        take, put = request.spots
        theirs = _ids(model, request.source, "source", chat=request.chat)
        state = _states(model, theirs, [take.layer])[take.layer][take.position].clone()
        writes = {(STREAM, put.layer): Writes([0], [put.position % len(ids)], [-1], [state])}
    names: list[Key] = []
    before: list[float] = []
    now: list[float] = []
    for row in sampled(found.table, rows, seed=seed):
        beat()
        state = _states(model, ids, [row["layer"]], writes)[row["layer"]][row["position"]].clone()
        last = {(STREAM, model.layers - 1): Writes([0], [len(ids) - 1], [-1], [state])}
        names.append((row["word"], row["token"], f"{row['layer']}@{row['position']}", row["rank"]))
        before.append(row["probability"])
        now.append(float(_own(model, ids, last)[row["id"]]))
    return names, before, now


def _ids(model: Model, text: str, what: str, *, chat: bool) -> tuple[int, ...]:
    return Encoder(model.tokenizer).free(text, chat=chat, what=what, most=MOST)


def _states(model: Model, ids: Sequence[int], layers: Sequence[int], writes: Edits | None = None) -> dict[int, Tensor]:
    """The stream after some blocks of one run, `[tokens, width]` each."""
    with only_user(model), torch.inference_mode():
        with write(model, writes or {}), read(model, [(STREAM, layer) for layer in layers]) as seen:
            model.hf(input_ids=torch.tensor([list(ids)], device=model.device), use_cache=False)
        return {layer: seen[STREAM, layer][0] for layer in layers}


def _own(model: Model, ids: Sequence[int], writes: Edits) -> Tensor:
    """The model's own probabilities after the last token, `[vocabulary]`."""
    with only_user(model), torch.inference_mode(), write(model, writes):
        logits = model.hf(input_ids=torch.tensor([list(ids)], device=model.device), use_cache=False).logits[0, -1]
    return logits.double().softmax(dim=0)


def _dropped(
    model: Model, nothing: Reading, source: str, own: tuple[int, ...], beat: Callable[[], None]
) -> tuple[Reading, Written]:
    """The prompt read with a state of the source, and what is then written."""
    take, put = nothing.request.spots
    theirs = _ids(model, source, "source", chat=nothing.request.chat)
    found = engine.drop(model, theirs, own, take=take, put=put)
    taken = take.position % len(theirs)
    seed = Patch(STREAM, put.layer, put.position % len(own), source=taken)
    chance = drawn(found.state, draw_of(seed, target=own, source=theirs, taken=taken), heads=model.heads)
    states = torch.stack([found.state, chance])
    push = Push(STREAM, put.layer, states, 1.0, (put.position,), "patch")
    written, control = generate(model, [own, own], pushes=[push], tokens=WRITTEN, beat=beat)
    outside = float(found.moved[~found.cone].max(initial=0.0))
    check = {
        "name": "nothing outside the cone moved",
        "passed": outside <= TOLERANCE[model.dtype],
        "deviation": outside,
        "tolerance": TOLERANCE[model.dtype],
        "detail": "largest relative change of a stream that the patch cannot reach",
    }
    receipt = nothing.receipt | {"patch": address(take, put), "checks": [*nothing.receipt["checks"], check]}
    reading = _filled(model, replace(nothing, receipt=receipt), found.lens, change=found.change, cone=found.cone)
    return replace(reading, control=_text(model, control)), written


def _filled(
    model: Model,
    nothing: Reading,
    lens: engine.Lens,
    *,
    change: NDArray[np.float64] | None = None,
    cone: NDArray[np.bool_] | None = None,
) -> Reading:
    """A reading with its cells, and the check that its last layer gives the model's own probabilities."""
    tokens = tuple(shown(model, token) for token in lens.ids)
    names = {int(i): shown(model, int(i)) for i in np.unique(lens.top_ids)}
    rows = [
        {
            "layer": layer,
            "position": position,
            "token": token,
            "rank": rank,
            "id": int(word),
            "word": names[int(word)],
            "probability": float(share),
            "change": 0.0 if change is None else float(change[layer, position]),
            "reached": True if cone is None else bool(cone[layer, position]),
        }
        for layer in range(lens.layers)
        for position, token in enumerate(tokens)
        for rank, (word, share) in enumerate(
            zip(lens.top_ids[layer, position], lens.shares[layer, position], strict=True), start=1
        )
    ]
    encoder = Encoder(model.tokenizer)
    own = {
        "name": "last layer is what the model says",
        "passed": lens.deviation <= TOLERANCE[model.dtype],
        "deviation": lens.deviation,
        "tolerance": TOLERANCE[model.dtype],
        "detail": "largest deviation of a probability at the last token",
    }
    return replace(
        nothing,
        table=pa.Table.from_pylist(rows, schema=TABLE),
        tokens=tokens,
        first=0 if nothing.request.chat else min(encoder.leading, len(tokens) - 1),
        unknown=encoder.unknown(lens.ids),
        receipt=nothing.receipt | {"checks": [own, *nothing.receipt["checks"]]},
    )


def _text(model: Model, written: Written) -> str:
    return str(model.tokenizer.decode(list(written.ids))).strip()


def cost_of(model: Model, request: LensRequest) -> Forecast:
    """What a request will cost: a pass of its prompts, and the text that is written."""
    prompts = [_ids(model, text, "prompt", chat=request.chat) for text in (request.prompt, request.source) if text]
    return of_texts(model, prompts, tokens=WRITTEN, rows=model.layers * len(prompts[0]) * engine.TOP)


STEPS: Steps[LensRequest, Reading] = Steps(compute=compute, replay=replay, replayed="probability", cost=cost_of)
