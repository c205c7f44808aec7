"""What a running server tells of itself: to this machine alone, without a name in it."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from ivx.analyses.defaults import glance
from ivx.errors import IvxError
from ivx.jobs import worker as workers
from ivx.jobs.service import Service
from ivx.jobs.tally import Tally
from ivx.store.store import Store
from ivx.ui import metrics
from ivx.ui.kit.limits import metrics_at
from tests.support.browser import free_port

LINE = re.compile(r'(# (HELP|TYPE) ivx_\w+ .+|ivx_\w+(\{state="\w+"\})? [0-9.e+-]+)')


def asked(server: ThreadingHTTPServer, path: str, host: str = "127.0.0.1:1") -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}{path}", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def value(told: str, name: str) -> float:
    return float(next(line for line in told.splitlines() if line.startswith(f"{name} ")).rpartition(" ")[2])


def test_metrics_are_told_to_this_machine_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = workers.Worker(Store(tmp_path))
    monkeypatch.setattr(workers, "_worker", lambda: fresh)
    server = metrics.begin("127.0.0.1", free_port(), sessions=lambda: 3)
    try:
        before = asked(server, "/metrics")[1]
        job = fresh.submit(glance("tiny-sft", "noun/plural")["effects"])
        assert job.wait(120) and job.view().state == "done"
        status, told = asked(server, "/metrics")
        assert status == 200 and all(LINE.fullmatch(line) for line in told.splitlines())
        rows, done = (
            value(told, one) - value(before, one) for one in ("ivx_rows_total", 'ivx_jobs_ended_total{state="done"}')
        )
        assert (
            done == 1
            and rows == job.view().result.table.num_rows
            and value(told, "ivx_sessions") == 3
            and value(told, "ivx_model_loaded") == 1
        )
        assert value(told, "ivx_device_seconds_total") > value(before, "ivx_device_seconds_total")
        assert "tiny" not in told and "noun" not in told
        assert asked(server, "/health") == (200, "ok\n") and asked(server, "/")[0] == 404
        assert server.server_address[0] == "127.0.0.1"
        assert asked(server, "/metrics", host="evil.example:1")[0] == 403
        with pytest.raises(IvxError, match="name another port in IVX_METRICS"):
            metrics.begin("127.0.0.1", server.server_port, sessions=lambda: 0)
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("told", ["0.0.0.0:9464", "evil.example:80", "x", "70000", "0", "127.0.0.1:"])
def test_metrics_at_another_address_are_refused(told: str) -> None:
    with pytest.raises(IvxError, match="IVX_METRICS is"):
        metrics_at(told)
    assert metrics_at("") is None and metrics_at("9464") == metrics_at("127.0.0.1:9464") == ("127.0.0.1", 9464)


def test_a_worker_whose_thread_has_ended_is_not_well(tmp_path: Path) -> None:
    fresh = workers.Worker(Store(tmp_path))
    assert fresh.is_well
    fresh._server = Service("ivx-ended", lambda own: None)
    fresh._server.start()
    fresh._server.thread.join(20)
    assert not fresh.is_well


def test_a_tally_only_grows() -> None:
    tally = Tally()
    tally.rows(3)
    tally.rows(-1)
    tally.ended("done")
    tally.charge(0.5)
    assert tally.told() == ({"done": 1}, 3, 0.5)
