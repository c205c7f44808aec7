"""The worker and its queue: equal requests once, fair turns, stops that lose nothing, starts that go on."""

from __future__ import annotations

import threading
import time
import weakref
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import ivx
from ivx import request as requests
from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.effects.result import Effects
from ivx.analyses.interactions.request import InteractionsRequest
from ivx.engine.schema import KEY
from ivx.errors import Cancelled
from ivx.jobs import worker as workers
from ivx.jobs.compute import Busy, computed, stored
from ivx.jobs.job import Job
from ivx.jobs.queue import HALF_LIFE, QUANTUM, Queue
from ivx.jobs.worker import Wake, Worker
from ivx.models.load import load
from ivx.models.model import Model
from ivx.store.store import Store
from ivx.tasks import catalogue

SMALL = EffectsRequest("tiny-sft", "animal/colour", samples=4)
LARGE = replace(SMALL, task="animal/can-fly", samples=60)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def by_key(table: pa.Table) -> pa.Table:
    return table.sort_by([(name, "ascending") for name in KEY])


def same(one: pa.Table, other: pa.Table) -> None:
    """Every row once in both, and equal but for the rounding of another batch."""
    one, other = by_key(one), by_key(other)
    assert all(one[name].equals(other[name]) for name in KEY)
    assert one.group_by(list(KEY)).aggregate([]).num_rows == one.num_rows
    for name in ("logit", "contrast", "logsumexp"):
        assert np.abs(one[name].to_numpy() - other[name].to_numpy()).max() < 2e-5


def patient(job: Job) -> None:
    assert job.wait(60), job.view()
    assert job.view().state == "done", job.view()


def test_everything_that_changes_a_number_is_in_the_run_id() -> None:
    known = SMALL.run_id("weights", "texts")
    assert (
        known == SMALL.run_id("weights", "texts") == replace(SMALL, checkpoint="elsewhere").run_id("weights", "texts")
    )
    other: dict[str, Any] = {
        "against": "animal/can-fly", "position": "first", "source_token": "keyword", "target_format": "query",
        "samples": 5, "seed": 1, "dtype": "float64", "device": "cpu", "adapter": "a", "sites": ("z",),
        "direction": "noise", "controls": ("task", "random"), "template": "{query} is", "demonstrations": 3,
        "spelling": "plain", "layers": "1-2", "heads": "1", "wording": 1,
    }  # fmt: skip
    chat = replace(SMALL, target_format="chat")  # only there is a system's turn
    system = replace(chat, system="Be brief.")
    alone = replace(SMALL, sites=("resid_post",))  # heads are never patched together
    joint = [alone, replace(alone, window=2), replace(alone, span=2)]
    named = {field.name for field in fields(EffectsRequest)} - {"checkpoint", "task", *EffectsRequest.same}
    assert named == {*other, "system", "window", "span"}, "a new field must change the run id, and be named here"
    ids = [replace(SMALL, **{name: value}).run_id("weights", "texts") for name, value in other.items()]
    ids += [one.run_id("weights", "texts") for one in (chat, system, *joint)]
    ids += [
        SMALL.run_id("other", "texts"),
        SMALL.run_id("weights", "other"),
        SMALL.run_id("weights", "texts", engine="x"),
    ]
    ids.append(InteractionsRequest("tiny-sft", "animal/colour", samples=4).run_id("weights", "texts"))
    assert len({known, *ids}) == len(ids) + 1
    assert replace(SMALL, weights="stream").run_id("weights", "texts") == known  # it changes no number


def test_a_users_task_is_named_by_its_content(tmp_path: Path) -> None:
    head, places = "query,answer,contrast,instruction\n", [tmp_path / "one.csv", tmp_path / "two.csv"]
    for place, answer in zip(places, ("brown", "white"), strict=True):
        place.write_text(f"{head}pig,pink,no,name its colour\ncow,{answer},no,\n")
    one, two = (catalogue.find(str(place)).fingerprint for place in places)
    assert one != two
    moved = tmp_path / "deep"
    moved.mkdir()
    copy = Path(places[0].rename(moved / "one.csv"))
    assert catalogue.find(str(copy)).fingerprint == one


def test_a_stopped_request_goes_on_from_its_rows(store: Store) -> None:
    model, seen = ivx.load("tiny-sft"), []

    def stop(result: Effects, done: int, total: int) -> None:
        seen.append(done)
        if done > total // 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        computed(store, model, LARGE, on_progress=stop)
    assert stored(store, LARGE) is None
    counts: list[int] = []
    found = computed(store, model, LARGE, on_progress=lambda result, done, total: counts.append(done))
    assert counts[0] >= seen[-1] > 0 and counts == sorted(counts) and counts[-1] == found.table.num_rows - 60
    same(found.table, ivx.effects(model, LARGE.task, samples=60).table)
    kept = stored(store, LARGE)
    assert kept is not None and by_key(kept.table).equals(by_key(found.table))
    assert kept.cells("resid_post") == found.cells("resid_post") and kept.receipt["resumed_rows"] >= seen[-1]


def test_a_run_that_another_process_computes_is_left_to_it(store: Store) -> None:
    model = ivx.load("tiny-sft")
    pair = catalogue.find(SMALL.task, collection=model.collection)
    run = store.begin(SMALL.run_id(model.fingerprint, pair.fingerprint), asked={})
    with run.lock(), pytest.raises(Busy):
        computed(store, model, SMALL)


def test_equal_requests_are_one_job_and_a_stored_one_needs_no_model(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(store)
    jobs = {id(worker.submit(SMALL, session=name)) for name in "abc"}
    assert len(jobs) == 1
    patient(worker.submit(SMALL, session="a"))
    monkeypatch.setattr(Worker, "_loaded", lambda *_: pytest.fail("a model was loaded"))
    again = Worker(store).submit(SMALL, session="d")
    patient(again)
    assert again.view().stored and again.view().result.table.num_rows > 0
    absent = Worker(store).submit(LARGE, session="d", compute=False)
    assert absent.wait(20) and absent.view().state == "stopped"


@pytest.mark.parametrize("later", [False, True])
def test_what_is_only_looked_up_is_computed_for_who_wants_it(
    store: Store, later: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    may = threading.Event()
    monkeypatch.setattr(workers, "stored", lambda *asked: stored(*asked) if may.wait(20) else pytest.fail("not asked"))
    worker = Worker(store)
    if later:
        may.set()
    looked = worker.submit(SMALL, session="a", compute=False)
    assert not later or looked.wait(20)
    wanted = worker.submit(SMALL, session="b")
    may.set()
    patient(wanted)
    assert (wanted is looked) is not later and not wanted.view().stored


def test_it_is_known_at_once_whether_a_request_is_stored(store: Store) -> None:
    """Before a model is read: a page waits for it, so as not to draw a wait that is none."""
    worker, over = Worker(store), threading.Event()
    worker._loaded = lambda _: over.wait(60)  # type: ignore[assignment, return-value, method-assign]
    job = worker.submit(SMALL, session="a")
    assert job.sought(20) and job.view().live
    over.set()


def test_a_model_is_read_before_it_is_asked_for(store: Store) -> None:
    worker = Worker(store)
    patient(worker.submit(Wake("tiny-sft"), session="warm"))
    read = worker._server.device.model
    assert read is not None and read.name == "tiny-sft"
    patient(worker.submit(SMALL, session="a"))
    assert worker._server.device.model is read


def test_who_leaves_stops_nobody_else(store: Store) -> None:
    worker = Worker(store)
    job = worker.submit(LARGE, session="a")
    worker.submit(LARGE, session="b")
    worker.leave(LARGE, session="a")
    assert job.view("a").state == "stopped" and job.view("b").live
    while not job.view().done:
        time.sleep(0.01)
    began = time.monotonic()
    worker.leave(LARGE, session="b")
    assert job.wait(20) and job.view("b").state == "stopped"
    print(f"stopped after {time.monotonic() - began:.2f} s")
    going = worker.submit(LARGE, session="b")
    assert going is not job
    patient(going)


def test_a_small_request_passes_a_long_one_which_then_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "RELOADS", 0)
    monkeypatch.setattr("ivx.jobs.queue.QUANTUM", 0.05)
    worker = Worker(store)
    long = worker.submit(replace(LARGE, samples=100, sites=("resid_post", "z", "attn_out", "mlp_out")), session="a")
    while not long.view().done:
        time.sleep(0.01)
    small = worker.submit(SMALL, session="b")
    patient(small)
    assert long.view().live, "the long one was first"
    patient(long)
    same(long.view().result.table, ivx.effects("tiny-sft", LARGE.task, samples=100, sites=long.request.sites).table)


def test_thirty_sessions_with_ten_requests_are_served_by_ten_runs(store: Store) -> None:
    worker = Worker(store)
    asked = [replace(SMALL, seed=i % 10, checkpoint=("tiny-sft", "tiny-base")[i % 2]) for i in range(30)]
    jobs = [worker.submit(request, session=f"s{i}") for i, request in enumerate(asked)]
    for job in jobs:
        patient(job)
    assert len({id(job) for job in jobs}) == len(store.entries()) == 10
    for job, request in zip(jobs, asked, strict=True):
        assert job.view().result.request == request
    for entry in store.entries():
        run = store.find(entry.run)
        # Rows of shards count doubled ones, too: a run that was computed twice would have more than its receipt says.
        assert run is not None and run.receipt is not None and entry.rows == run.receipt["rows"]


def test_a_bad_request_is_refused_and_the_worker_lives_on(store: Store) -> None:
    worker = Worker(store)
    bad = worker.submit(replace(SMALL, task="animal/weight"))
    assert bad.wait(20) and bad.view().state == "refused" and "no task" in bad.view().message
    patient(worker.submit(SMALL))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_turns_go_to_who_has_had_least() -> None:
    clock = Clock()
    queue, jobs = Queue(clock), [Job(SMALL, session) for session in ("a", "a", "a", "b")]
    for job in jobs:
        queue.put(job)
    first = queue.take()
    assert first is jobs[0]
    queue.charge(first, 1.0)
    assert not queue.is_due(first, cost=lambda _: 0.0), "a second is no reason to change"
    queue.charge(first, QUANTUM)
    assert queue.is_due(first, cost=lambda _: 0.0) and not queue.is_due(first, cost=lambda _: 60.0)
    assert [queue.ahead(job) for job in jobs[1:]] == [1, 2, 0], (
        "one session's three do not stand before another's first"
    )
    queue.put(first)
    assert queue.take() is jobs[3]
    clock.now += 20 * HALF_LIFE
    assert queue.take() is jobs[1], "what was long ago is forgotten"


def test_a_job_that_must_wait_is_not_taken_before() -> None:
    clock = Clock()
    queue, early, late = Queue(clock), Job(SMALL), Job(SMALL)
    queue.put(early, after=5.0)
    queue.put(late)
    assert queue.take() is late
    clock.now += 6
    assert queue.take() is early


def test_requests_refuse_what_is_not_known() -> None:
    for wrong in ({"samples": 0}, {"direction": "up"}, {"sites": ()}, {"position": "here"}):
        with pytest.raises(requests.IvxError):
            replace(SMALL, **wrong)


def test_who_has_closed_the_page_is_not_counted_but_still_served() -> None:
    job = Job(SMALL, "a")
    job.join("b")
    assert job.watchers(within=60) == 0
    job.view("a")
    assert job.watchers(within=60) == 1
    assert job.watchers(within=-1) == 0 and job.sessions == {"a", "b"}


def test_a_model_is_gone_before_the_next_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, left = Worker(store), []
    patient(worker.submit(Wake("tiny-sft"), session="a"))
    model = weakref.ref(worker._server.device.model.hf)  # type: ignore[union-attr]
    read = load

    def watched(name: str, **how: Any) -> Model:
        left.append(model() is None)
        return read(name, **how)

    monkeypatch.setattr("ivx.models.load.load", watched)
    patient(worker.submit(Wake("tiny-base"), session="a"))
    assert left == [True]


def test_a_checkpoint_is_read_ahead_only_while_nothing_else_waits() -> None:
    clock = Clock()
    queue, ahead = Queue(clock), Job(Wake("tiny-sft"), "a", idle=True)
    real, late = Job(SMALL, "a"), Job(LARGE, "b")
    queue.put(ahead)
    assert not queue.is_due(real, cost=lambda _: 0.0), "no job steps back for it"
    queue.charge(real, 10 * QUANTUM)
    assert not queue.is_due(real, cost=lambda _: 0.0)
    queue.put(real)
    assert queue.ahead(real) == 0 and queue.ahead(ahead) == 1
    assert queue.take() is real
    queue.put(late, after=0.05)
    threading.Timer(0.2, lambda: setattr(clock, "now", clock.now + 1)).start()
    assert queue.take() is late, "nor is it taken while a job waits for another process"
    assert queue.take() is ahead


def test_the_newest_choice_alone_is_read_ahead(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, loads = Worker(store), []
    read = load

    def counted(name: str, **how: Any) -> Model:
        loads.append(name)
        return read(name, **how)

    monkeypatch.setattr("ivx.models.load.load", counted)
    theirs = worker.submit(Wake("tiny-dpo"), session="b")
    chosen = ("tiny-base", "tiny-dpo", "tiny-sft-period", "tiny-sft")
    first, shared, third, newest = (worker.submit(Wake(name), session="a") for name in chosen)
    patient(newest)
    patient(theirs)
    assert shared is theirs and first.view().state == third.view().state == "stopped"
    assert sorted(loads) == ["tiny-dpo", "tiny-sft"]
    patient(worker.submit(replace(SMALL, checkpoint="tiny-base"), session="b"))
    patient(worker.submit(Wake("tiny-sft"), session="a"))
    assert loads[2:] == ["tiny-base", "tiny-sft"], "what was read and is gone is read again"


def test_a_checkpoint_that_cannot_be_read_ahead_is_refused_when_it_is_asked_for(store: Store) -> None:
    worker = Worker(store)
    ahead = worker.submit(Wake("no/such"), session="a")
    assert ahead.wait(20) and ahead.view().state == "refused"
    patient(worker.submit(SMALL, session="a"))
    asked = worker.submit(replace(SMALL, checkpoint="no/such"), session="a")
    assert asked.wait(20) and asked.view().state == "refused" and "no/such" in asked.view().message


def test_what_is_under_way_is_told_in_its_turns_even_after_its_page_is_closed(store: Store) -> None:
    worker = Worker(store)
    worker.submit(LARGE, session="closed")
    while not (first := worker.under_way()) or first[0].view().state == "queued":
        time.sleep(0.01)
    worker.submit(SMALL, session="waits")
    worker.submit(Wake("tiny-base"), session="waits")
    worker.submit(replace(SMALL, samples=5), session="looks", compute=False).wait(60)
    told = worker.under_way()
    assert [job.request for job in told] in ([LARGE, SMALL], [SMALL, LARGE]), "neither read ahead nor looked up"
    assert told[0].view().state != "queued" and told[0].watchers(within=60) == 0
