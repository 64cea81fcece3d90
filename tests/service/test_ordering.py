"""Many writers, rolling back now and then and committing out of order; every reader of /events sees
each committed event exactly once, in id order, whichever source wakes the poller.

CMDB_TEST_SECONDS sets how long each source is tried (10; tests/run --long: 60)."""
import os
import socket
import struct
import threading
import time

import pytest

import wire
from conftest import SLOWER, wait_until
from readers import Reader, check, fates, start_writers

SECONDS = int(os.environ.get("CMDB_TEST_SECONDS", "10"))
READERS = 8
SOURCES = {
    "binlog": ["poller.doorbell=off", "poller.safety_ms=5000"],
    "doorbell": ["poller.binlog=off", "poller.timer_ms=5000"],
    "timer": ["poller.binlog=off", "poller.doorbell=off"],
}


class Bell(threading.Thread):
    """What cmdb-fcgi does after a commit, all the time: plain SQL rings no bell."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.sock.sendall(struct.pack("<IBHBI", 8, wire.HELLO, wire.VERSION, 1, os.getpid()))

    def run(self):
        while not self.stop.wait(0.005):
            self.sock.sendall(struct.pack("<IB", 1, wire.DOORBELL))
        self.sock.close()


@pytest.mark.parametrize("source", SOURCES)
def test_each_reader_sees_each_event_once_in_order(own_stack, tmp_path, source):
    stack = own_stack(*SOURCES[source], "poller.grace_ms=50")
    admin = stack.admin()
    if source == "binlog":
        wait_until(lambda: stack.status()["active_source"] == "binlog")
    since = admin.tail()
    readers = [Reader(admin.clone(), since) for _ in range(READERS)]
    bell = Bell(stack.env["CMDB_POLLER_SOCKET"]) if source == "doorbell" else None
    for thread in [*readers, *([bell] if bell else [])]:
        thread.start()
    program = start_writers(stack, tmp_path / "fates", SECONDS)
    said, _ = program.communicate(timeout=SECONDS * 3 + 60 * SLOWER)
    assert program.returncode == 0, said

    committed, rolled_back = fates(tmp_path / "fates")
    assert len(committed) > 64 and rolled_back > 0, said
    for r in readers:
        r.until = max(committed)
    started = time.monotonic()
    for r in readers:
        r.join(60 * SLOWER)
        assert not r.is_alive(), f"still polling at {r.since}, newest is {r.until}"
    if bell:
        bell.stop.set()
        bell.join()
    check(readers, committed)
    status = stack.status()
    assert status["gaps"]["late_events"] == 0, status["gaps"]
    assert status["gaps"]["dead_ids"] >= 1, status["gaps"]
    wakes = status["sources"]
    assert wakes[source]["wakes"] > 10, wakes
    for other in set(SOURCES) - {source, "timer"}:
        assert wakes[other]["state"] == "off", wakes
    print(f"{source}: {len(committed)} events, {rolled_back} rolled back, "
          f"drained in {time.monotonic() - started:.2f} s")


def test_an_open_transaction_holds_what_is_behind_it(stack, admin):
    """In order also when the first id commits last; and a rollback lets the others go."""
    insert = "INSERT INTO ws_events (topic, event_type, payload) VALUES ('websites', 'update', %s)"
    first, second = stack.connect(autocommit=False), stack.connect()
    for finish in ("commit", "rollback"):
        since = admin.tail()
        with first.cursor() as slow, second.cursor() as quick:
            slow.execute(insert, ('{"n":1}',))
            quick.execute(insert, ('{"n":2}',))
            assert admin.poll(since, timeout=1)["events"] == []
            getattr(first, finish)()
        expected = [1, 2] if finish == "commit" else [2]
        got = admin.read_events(since, lambda events: len(events) >= len(expected))
        assert [e["data"]["n"] for e in got] == expected
    first.close()
    second.close()


def test_what_was_held_too_long_is_delivered_late(own_stack):
    """Past poller.hold_limit_ms others go on; the late one still reaches who waits, and is counted."""
    stack = own_stack("poller.hold_limit_ms=1000")
    admin = stack.admin()
    insert = "INSERT INTO ws_events (topic, event_type, payload) VALUES ('websites', 'update', %s)"
    slow, quick = stack.connect(autocommit=False), stack.connect()
    since = admin.tail()
    late_n = 600  # more than a poll's limit
    slow.cursor().execute(insert + ", ('websites', 'update', '{\"n\":\"late\"}')" * (late_n - 1),
                          ('{"n":"late"}',))
    quick.cursor().execute(insert, ('{"n":"quick"}',))
    got = admin.read_events(since, lambda events: events)
    assert [e["data"]["n"] for e in got] == ["quick"]
    late = []

    def wait():
        answer = admin.clone().poll(got[-1]["id"], timeout=15)
        assert answer["lastEventId"] >= got[-1]["id"]
        late.extend(answer["events"])

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: stack.status()["waiters"] == 1)
    slow.commit()
    waiting.join(20 * SLOWER)
    assert [e["data"]["n"] for e in late] == ["late"] * late_n
    assert late[-1]["id"] < got[-1]["id"]
    assert stack.status()["gaps"]["late_events"] == late_n
