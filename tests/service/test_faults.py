"""Any process may die at any time: readers that go on with their cursor miss nothing, and everything
comes back by itself within 3 s of what it depends on."""
import datetime
import os
import pathlib
import re
import signal
import threading
import time

import pytest

from conftest import SLOWER, wait_until
from readers import Reader, check, fates, start_writers

BACK_S = 3 * SLOWER


def insert(stack, n):
    with stack.connect() as db, db.cursor() as c:
        c.execute("INSERT INTO ws_events (topic, event_type, payload) "
                  "VALUES ('websites', 'update', JSON_OBJECT('writer', 9999, 'seq', %s))", (n,))
        return c.lastrowid


@pytest.mark.parametrize("victim", ["poller", "fcgi-1", "mariadb"])
def test_readers_miss_nothing_when_it_is_killed(own_stack, tmp_path, victim):
    stack = own_stack()
    admin = stack.admin()
    since = admin.tail()
    readers = [Reader(admin.clone(), since, is_patient=True) for _ in range(8)]
    for r in readers:
        r.start()
    program = start_writers(stack, tmp_path / "fates", 8, "--writers", "16")
    for _ in range(2):
        seen = max(len(r.ids) for r in readers)
        wait_until(lambda: min(len(r.ids) for r in readers) > seen + 20, 20, "events flow")
        stack.kill(victim)
    said, _ = program.communicate(timeout=120 * SLOWER)
    assert program.returncode == 0, said
    committed, _ = fates(tmp_path / "fates")
    for r in readers:
        r.until = max(committed)
    for r in readers:
        r.join(60 * SLOWER)
        assert not r.is_alive(), f"still polling at {r.since}, newest is {r.until}"
    check(readers, committed)


def test_poller_is_back(own_stack):
    """A request that is held stays held while the poller is away, and gets what comes then."""
    stack = own_stack()
    admin = stack.admin()
    got = []
    waiting = threading.Thread(target=lambda: got.append(admin.poll(admin.tail(), timeout=20)))
    waiting.start()
    wait_until(lambda: stack.status()["waiters"] == 1)
    os.kill(stack.pid("poller"), signal.SIGKILL)
    started = time.monotonic()
    event = insert(stack, 1)
    waiting.join(20 * SLOWER)
    assert time.monotonic() - started < BACK_S
    assert [e["id"] for e in got[0]["events"]] == [event]


def test_fcgi_is_back(own_stack):
    stack = own_stack()
    admin = stack.admin()
    for name in ("fcgi-1", "fcgi-2"):
        os.kill(stack.pid(name), signal.SIGKILL)
    started = time.monotonic()
    # Reconnects are the client's: lighttpd answers 503 until one of the two is there.
    wait_until(lambda: admin.get("/api/v1/websites").status == 200, 20)
    assert time.monotonic() - started < BACK_S


def test_all_are_back_after_the_database(own_stack):
    stack = own_stack()
    admin = stack.admin()
    since = admin.tail()

    def answers():
        try:
            return insert(stack, 2)
        except Exception:
            return None

    os.kill(stack.pid("mariadb"), signal.SIGKILL)
    event = wait_until(answers, 30, "MariaDB is back")
    back = time.monotonic()
    wait_until(lambda: admin.get("/api/v1/websites").status == 200, 20)
    assert time.monotonic() - back < BACK_S
    got = admin.read_events(since, lambda events: events)
    assert [e["id"] for e in got] == [event]
    assert time.monotonic() - back < BACK_S
    wait_until(lambda: stack.status()["active_source"] == "binlog", 10, "binlog streams again")


def test_requests_while_the_database_is_away(own_stack):
    """The documented error, no crash; what needs no database goes on."""
    stack = own_stack()
    admin = stack.admin()
    os.kill(stack.pid("mariadb"), signal.SIGSTOP)
    try:
        assert admin.get("/healthz").status == 200
        assert stack.status()["tail"] >= 0
    finally:
        os.kill(stack.pid("mariadb"), signal.SIGCONT)
    wait_until(lambda: admin.get("/api/v1/websites").status == 200, 20)


def test_a_stopped_poller_holds_and_then_answers(own_stack):
    """No poller at all: what is parked is answered at its timeout with its cursor unchanged."""
    stack = own_stack()
    admin = stack.admin()
    since = admin.tail()
    os.kill(stack.pid("poller"), signal.SIGSTOP)
    try:
        got = admin.poll(since, timeout=1)
        assert got["events"] == [] and got["lastEventId"] == since and got["more"] is False
    finally:
        os.kill(stack.pid("poller"), signal.SIGCONT)
    event = insert(stack, 3)
    got = admin.read_events(since, lambda events: events)
    assert [e["id"] for e in got] == [event]


def test_source_falls_back_and_recovers(own_stack):
    """Without the right to read the binlog the timer takes over; with it again the binlog does."""
    stack = own_stack()
    admin = stack.admin()
    wait_until(lambda: stack.status()["active_source"] == "binlog")
    with stack.connect() as db, db.cursor() as c:
        c.execute("REVOKE REPLICATION SLAVE ON *.* FROM cmdb_poller@localhost")
        c.execute("SELECT id FROM information_schema.processlist WHERE command = 'Binlog Dump'")
        for (connection,) in c.fetchall():
            c.execute(f"KILL {connection}")
        wait_until(lambda: "REPLICATION SLAVE" in stack.status()["sources"]["binlog"].get("reason", ""), 10)
        assert "timer" in stack.status()["active_source"]
        since = admin.tail()
        event = insert(stack, 4)
        got = admin.read_events(since, lambda events: events)
        assert [e["id"] for e in got] == [event]
        c.execute("GRANT REPLICATION SLAVE ON *.* TO cmdb_poller@localhost")
    wait_until(lambda: stack.status()["active_source"] == "binlog", 15)


def test_a_restart_of_all_processes_is_waited_for(own_stack):
    """An EventSource gives up at an answer other than 200, a Socket.IO client drops its session: so
    nobody who comes while no cmdb-fcgi runs is answered 503; the requests wait."""
    stack = own_stack()
    admin = stack.admin()
    for _ in range(3):
        before = [stack.pid(name) for name in ("fcgi-1", "fcgi-2")]
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        for _ in range(8):
            api = admin.clone()
            assert api.get("/healthz").status == 200
            reply = api.get("/events?timeout=0", headers={"Connection": "close"})
            assert reply.status == 200, reply
            api.close()
        wait_until(lambda: all(stack.pid(n) not in before for n in ("fcgi-1", "fcgi-2")))


def test_a_process_that_does_not_start_is_passed_over(own_stack):
    """Its socket is not kept: the web server goes to the other at once."""
    stack = own_stack()
    config = stack.dir / "cmdb.conf"
    good = config.read_text()
    config.write_text(good + "\n[fcgi]\nnonsense = 1\n")
    os.kill(stack.pid("fcgi-1"), signal.SIGTERM)
    try:
        socket = pathlib.Path((stack.dir / "sockets.dir").read_text().strip()) / "fcgi-1.sock"
        wait_until(lambda: not socket.exists(), 30)
        for _ in range(10):
            assert stack.api().get("/healthz").status == 200
    finally:
        config.write_text(good)
    wait_until(socket.exists, 20)
    for _ in range(4):
        assert stack.api().get("/healthz").status == 200


def test_an_open_transaction_holds_up_no_start(own_stack):
    """It holds back what comes after it, not the clients' return to the next poller: one that has
    to wait for it each time never serves anybody if it is killed each second."""
    stack = own_stack()

    def start_ms():
        stack.kill("poller")
        pid = stack.pid("poller")

        def at(event):
            found = re.search(rf"^\S+T(\S+)Z \S+ +cmdb-poller\[{pid}\] {event}:",
                              stack.log("poller"), re.M)
            return found and datetime.time.fromisoformat(found.group(1))

        wait_until(lambda: at("ready"), 20, "a poller that is ready")
        day = datetime.date.min
        took = (datetime.datetime.combine(day, at("ready")) -
                datetime.datetime.combine(day, at("tail_start")))
        return took.total_seconds() * 1000

    first = insert(stack, 1)
    wait_until(lambda: stack.has_noted(first), 10, "the event is released")
    with stack.connect(autocommit=False) as held, held.cursor() as c:
        c.execute("INSERT INTO ws_events (topic, event_type, payload) "
                  "VALUES ('websites', 'update', '{}')")
        insert(stack, 2)
        wait_until(lambda: (stack.status() or {"gaps": {"held": 0}})["gaps"]["held"], 10,
                   "events are held")
        assert min(start_ms() for _ in range(5)) < 900
