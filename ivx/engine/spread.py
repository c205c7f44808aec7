"""Spreading: a sweep's samples dealt out, a few at a time, to hands that each have a replica of the model.

A hand takes the next shard when it is done with its own, so that a slow one holds nobody up. What a hand that died had
not finished is given out again; rows that it had handed over are not taken twice.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Protocol

import pyarrow as pa

from ivx.engine.how import How, Maker
from ivx.engine.shard import Beat
from ivx.errors import IvxError

SHARDS = 4
"""Shards for each hand: the fewer, the more a death costs and the longer the last one is waited for."""
DEATHS = 3
"""So often a shard is tried, and so often a hand may die before it finishes one."""
BEAT_SECONDS = 0.2

Shard = tuple[int, ...]
"""Numbers of samples."""


class Died(Exception):
    """A replica is gone, with what it had not handed over; another may take its place."""


class Lost(Exception):
    """A hand has no replica and gets none; the message says why."""


class Hand(Protocol):
    """Who computes shards; its methods are called from one thread of its own."""

    name: str
    device: str

    def begin(self, beat: Beat) -> str:
        """Make ready, with a new replica after a death; returns why hooks do the work, or nothing."""

    def rows(self, samples: Sequence[int], beat: Beat) -> Generator[pa.RecordBatch, None, None]:
        """The rows of these samples as they finish; raises `Died`."""


class _Over(Exception):
    """Ends a hand's work: nobody waits for it."""


def shards_of(samples: int, *, parts: int) -> list[Shard]:
    """The shards that so many samples are dealt out in: so many, or some more."""
    size = max(1, samples // parts)
    return [tuple(range(start, min(start + size, samples))) for start in range(0, samples, size)]


class Spread:
    """One sweep over several hands.

    Attributes:
        how: who has made rows so far.
    """

    def __init__(self, hands: Sequence[Hand], samples: int, *, each: int = SHARDS, cluster: bool = False) -> None:
        """`each` is how many shards there are for a hand."""
        self.how = How(cluster=cluster)
        self._hands = hands
        self._changed = threading.Condition()
        self._waiting = deque(shards_of(samples, parts=len(hands) * each))
        self._left, self._at_work = len(self._waiting), len(hands)
        self._ready: deque[pa.RecordBatch] = deque()
        self._had: dict[Shard, set[tuple[int, str]]] = defaultdict(set)
        self._deaths: Counter[Shard] = Counter()
        self._error: BaseException | None = None
        self._over = False

    def rows(self, beat: Beat) -> Generator[pa.RecordBatch, None, None]:
        """The rows as they come, in any order; `beat` is called between them, in the caller's thread.

        Raises:
            IvxError: all hands are lost, or a shard kills whoever takes it.
        """
        threads = [threading.Thread(target=self._serve, args=(hand,), name=f"ivx-{hand.name}") for hand in self._hands]
        for thread in threads:
            thread.start()
        try:
            while (batch := self._next()) is not None:
                if batch.num_rows:
                    yield batch
                else:
                    beat()
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()
            for thread in threads:
                thread.join()

    def _next(self) -> pa.RecordBatch | None:
        """The next rows; none of them when it is time for a beat; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._error or not self._left, BEAT_SECONDS)
            if self._ready:
                return self._ready.popleft()
            if self._error is not None:
                raise self._error
            return _NOTHING if self._left else None

    def _serve(self, hand: Hand) -> None:
        """A hand's thread."""
        died = 0
        try:
            while True:
                shard: Shard | None = None
                try:
                    why = hand.begin(self._beat)
                    while (shard := self._take()) is not None:
                        with closing(hand.rows(shard, self._beat)) as rows:
                            for batch in rows:
                                self._put(shard, batch)
                        self._done(shard, Maker(hand.name, hand.device, why))
                        died = 0
                    return
                except Died as death:
                    died += 1
                    if shard is not None:
                        self._again(shard, str(death))
                    if died >= DEATHS:
                        raise Lost(str(death)) from death
        except _Over:
            pass
        except Lost as lost:
            self._lose(str(lost))
        except BaseException as error:  # the sweep's own thread raises it
            self._fail(error)

    def _beat(self) -> None:
        if self._over:
            raise _Over

    def _take(self) -> Shard | None:
        """The next shard; None when all are done. While others hold the last ones it waits: they may die."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._over or not self._left)
            self._beat()
            return self._waiting.popleft() if self._waiting else None

    def _put(self, shard: Shard, batch: pa.RecordBatch) -> None:
        keys = list(zip(batch["sample"].to_pylist(), batch["patch"].to_pylist(), strict=True))
        with self._changed:
            self._beat()
            had = self._had[shard]
            fresh = batch.filter(pa.array([key not in had for key in keys], pa.bool_()))
            had.update(keys)
            if fresh.num_rows:
                self._ready.append(fresh)
                self._changed.notify_all()

    def _done(self, shard: Shard, maker: Maker) -> None:
        with self._changed:
            del self._had[shard]
            self.how |= How(frozenset([maker]))
            self._left -= 1
            self._changed.notify_all()

    def _again(self, shard: Shard, reason: str) -> None:
        with self._changed:
            self.how |= How(died=1)
            self._deaths[shard] += 1
            self._waiting.appendleft(shard)
            self._changed.notify_all()
        if self._deaths[shard] == DEATHS:
            samples = ", ".join(map(str, shard))
            raise IvxError(
                f"{DEATHS} actors died while they computed sample {samples} ({reason}): most likely they ran out of "
                "memory; free some, or ask for fewer patches at once"
            )

    def _lose(self, reason: str) -> None:
        with self._changed:
            self._at_work -= 1
        if not self._at_work:
            self._fail(IvxError(f"nobody is left to compute: {reason}"))

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()


_NOTHING = pa.RecordBatch.from_pylist([], schema=pa.schema([]))
