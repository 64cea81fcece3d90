"""Many writers, rolling back now and then and committing out of order; every reader of /events sees
each committed event exactly once, in id order, whichever source wakes the poller.

CMDB_TEST_SECONDS sets how long each source is tried (10; tests/run --long: 60)."""
import json
import os
import socket
import struct
import threading
import time

import pytest

import wire
from conftest import SLOWER, wait_until
from readers import Reader, check, fates, start_writers
from sio import Client

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
        self.sock.sendall(struct.pack("<IBHBIQ", 16, wire.HELLO, wire.VERSION, 1, os.getpid(), 1))

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


# Transactions whose rows are in the binlog and never become events: each is run, and then an event.
NEVER = {
    "rolled back with a temporary table": [
        "BEGIN", "CREATE TEMPORARY TABLE scratch (i INT)", "{insert}", "ROLLBACK",
        "DROP TEMPORARY TABLE scratch"],
    "inserted and deleted in one": ["BEGIN", "{insert}", "DELETE FROM ws_events WHERE id = {id}", "COMMIT"],
    "inserted and deleted at once": ["{insert}", "DELETE FROM ws_events WHERE id = {id}"],
    "replaced": ["{insert}", "REPLACE INTO ws_events (id, topic, event_type, payload) "
                             "VALUES ({id}, 'nobody', 'update', '{{}}')"],
    "prepared and rolled back": ["XA START 'never'", "{insert}", "XA END 'never'", "XA PREPARE 'never'",
                                 "XA ROLLBACK 'never'"],
    "rolled back to a savepoint": ["BEGIN", "CREATE TEMPORARY TABLE scratch (i INT)", "SAVEPOINT s", "{insert}",
                                   "ROLLBACK TO s", "COMMIT", "DROP TEMPORARY TABLE scratch"],
}
INSERT = "INSERT INTO ws_events (topic, event_type, payload) VALUES ('websites', 'update', '{}')"


def run_never(db, statements):
    event = None
    with db.cursor() as c:
        for s in statements:
            c.execute(s.format(insert=INSERT, id=event))
            event = c.lastrowid or event


@pytest.mark.parametrize("what", NEVER)
def test_a_row_in_the_binlog_is_no_promise(stack, admin, what):
    """What was written down and taken back holds nobody up."""
    wait_until(lambda: stack.status()["active_source"] == "binlog", 15)
    with stack.connect() as db:
        for _ in range(3):
            since = admin.tail()
            run_never(db, NEVER[what])
            started = time.monotonic()
            with db.cursor() as c:
                c.execute(INSERT)
                event = c.lastrowid
            admin.read_events(since, lambda events: event in [e["id"] for e in events])
            assert time.monotonic() - started < 1 * SLOWER


def questions(db):
    with db.cursor() as c:
        c.execute("SHOW GLOBAL STATUS LIKE 'Com_stmt_execute'")
        return int(c.fetchone()[1])


@pytest.mark.parametrize("what", NEVER)
def test_nothing_to_wait_for_costs_nothing(stack, what):
    """With no event behind it, the poller soon goes back to sleep."""
    wait_until(lambda: stack.status()["active_source"] == "binlog", 15)
    with stack.connect() as db:
        run_never(db, NEVER[what])

        def is_quiet():
            before = questions(db)
            until = time.monotonic() + 1
            while time.monotonic() < until:
                time.sleep(0.1)
            return questions(db) - before < 40
        wait_until(is_quiet, 10, "a poller that sleeps")


def test_a_table_of_another_shape_is_followed_by_the_timer(own_stack):
    """A column before the id: the binlog's rows are not taken for what they are not."""
    stack = own_stack()
    admin = stack.admin()
    wait_until(lambda: stack.status()["active_source"] == "binlog", 15)
    with stack.connect() as db, db.cursor() as c:
        for column in ("note VARCHAR(20) NOT NULL DEFAULT 'text text'", "note BIGINT NOT NULL DEFAULT 99999999"):
            c.execute(f"ALTER TABLE ws_events ADD COLUMN {column} FIRST")
            for n in range(5):
                since = admin.tail()
                c.execute(INSERT)
                event = c.lastrowid
                got = admin.read_events(since, lambda events: events)
                assert [e["id"] for e in got] == [event]
            status = wait_until(lambda: (stack.status()["sources"]["binlog"]["state"] == "connecting"
                                         and stack.status()), 15)
            assert status["newest_seen"] == event and status["gaps"]["held"] == 0
            assert "first column" in wait_until(
                lambda: "first" in stack.status()["sources"]["binlog"].get("reason", "")
                and stack.status()["sources"]["binlog"]["reason"], 15)
            before = questions(db)
            until = time.monotonic() + 1
            while time.monotonic() < until:
                time.sleep(0.1)
            assert questions(db) - before < 60
            found = stack.ctl("doctor", check=False).stdout
            assert "first column" in found, found
            c.execute("ALTER TABLE ws_events DROP COLUMN note")
            wait_until(lambda: stack.status()["active_source"] == "binlog", 30)
            since = admin.tail()
            c.execute(INSERT)
            admin.read_events(since, lambda events: events)


@pytest.mark.parametrize("way", ["disable", "logout"])
def test_control_does_not_wait_for_a_gap(stack, admin, way):
    """While a writer holds an id, whoever is shut out is out within a second, and once; others still
    get their events in order."""
    user = stack.user()
    socket = Client(stack.url)
    assert socket.connect({"token": user.token})[0] == "0"
    socket.event("connected")
    held = socket.hold()
    got = []
    poll = threading.Thread(target=lambda: got.append(
        user.clone().get(f"/events?since={user.clone().tail()}&timeout=50", timeout=60)))
    poll.start()
    wait_until(lambda: stack.status()["waiters"] >= 2)
    since = admin.tail()
    slow, quick = stack.connect(autocommit=False), stack.connect()
    first = slow.cursor()
    first.execute(INSERT)
    second = quick.cursor()
    second.execute(INSERT)
    wait_until(lambda: stack.status()["gaps"]["held"])
    if way == "disable":
        stack.ctl("user", "disable", user.user["username"])
    else:
        assert user.clone().post("/api/v1/auth/logout").status == 200
    shut_out = time.monotonic()
    packets = held.result(10)
    poll.join(10 * SLOWER)
    assert got and time.monotonic() - shut_out < 1 * SLOWER, time.monotonic() - shut_out
    assert "error" in packets[0] and packets[-1] in ("41", "1"), packets
    assert got[0].status == 401 or got[0].json["events"] == [], got
    assert user.get("/events?timeout=0").status == 401
    assert stack.status()["gaps"]["held"]
    third = quick.cursor()
    third.execute(INSERT)
    slow.commit()
    events = admin.read_events(since, lambda events: len(events) >= 3)
    assert [e["id"] for e in events] == [first.lastrowid, second.lastrowid, third.lastrowid]
    slow.close()
    quick.close()


def test_control_out_of_a_later_gap(stack):
    """The event that shuts out commits behind others, within a gap that is not the lowest."""
    user = stack.user()
    socket = Client(stack.url)
    assert socket.connect({"token": user.token})[0] == "0"
    socket.event("connected")
    held = socket.hold()
    auth = "INSERT INTO ws_events (topic, event_type, payload) VALUES ('_auth', 'update', %s)"
    slow, late, quick = [stack.connect(autocommit=False) for _ in range(3)]
    slow.cursor().execute(INSERT)
    quick.cursor().execute(INSERT)
    with late.cursor() as c:
        c.execute("UPDATE users SET status = 'disabled' WHERE username = %s", (user.user["username"],))
        c.execute(auth, (json.dumps({"revoke": "user", "user_id": user.user["id"]}),))
    quick.cursor().execute(INSERT)
    quick.commit()
    wait_until(lambda: stack.status()["gaps"]["events_behind"] >= 2)
    committed = time.monotonic()
    late.commit()
    packets = held.result(10)
    assert time.monotonic() - committed < 1 * SLOWER
    assert "error" in packets[0], packets
    slow.rollback()
    for db in (slow, late, quick):
        db.close()


# ---- late events ----

class Late:
    """A transaction that is held for too long: others have gone on when it commits."""

    def __init__(self, stack):
        self.slow, self.quick = stack.connect(autocommit=False), stack.connect()
        self.id = self.insert(self.slow, "late")

    def insert(self, db, what):
        with db.cursor() as c:
            c.execute("INSERT INTO ws_events (topic, event_type, payload) VALUES ('websites', 'update', %s)",
                      (json.dumps({"n": what}),))
            return c.lastrowid

    def pass_by(self, stack):
        """Another one's event, which is released when the hold limit is over."""
        last = self.insert(self.quick, "quick")
        wait_until(lambda: stack.status()["tail"] >= last, 20)
        return last

    def commit(self, stack):
        before = stack.status()["gaps"]["late_events"]
        self.slow.commit()
        wait_until(lambda: stack.status()["gaps"]["late_events"] > before, 20)


@pytest.fixture
def hurried(own_stack):
    return own_stack("poller.hold_limit_ms=1000")


def follow(stack, token):
    socket = Client(stack.url)
    assert socket.connect({"token": token})[0] == "0"
    socket.event("connected")
    socket.ask("websites")
    return socket


def late_of(packets):
    return [json.loads(p[2:])[1]["data"]["n"] for p in packets if p.startswith('42["websites:update"')]


def test_a_late_event_reaches_sessions_whatever_they_do(hurried):
    """Once each: one that holds a GET, and one that is between two GETs. One that is away does not
    take itself for recovered."""
    stack = hurried
    admin = stack.admin()
    holds, between, away = [follow(stack, admin.token) for _ in range(3)]
    late = Late(stack)
    late.pass_by(stack)
    for socket in (holds, between, away):
        assert socket.event("websites:update")[0]["data"] == {"n": "quick"}
    away.close()
    held = holds.hold()
    wait_until(lambda: stack.status()["waiters"] == 1)
    late.commit(stack)
    assert late_of(held.result()) == ["late"]
    assert late_of(between.poll()) == ["late"]
    late.insert(late.quick, "next")
    for socket in (holds, between):
        assert socket.event("websites:update")[0]["data"] == {"n": "next"}
    _, _, is_recovered = away.recover({"token": admin.token})
    assert not is_recovered


def test_a_late_event_reaches_who_is_between_two_polls(hurried):
    """With what comes next; who comes back after that is told to read anew, and goes on."""
    stack = hurried
    admin = stack.admin()
    late = Late(stack)
    since = late.pass_by(stack)
    late.commit(stack)
    got = []
    waiting = threading.Thread(target=lambda: got.append(admin.clone().poll(since, timeout=20)))
    waiting.start()
    wait_until(lambda: stack.status()["waiters"] == 1)
    new = late.insert(late.quick, "next")
    waiting.join(20 * SLOWER)
    assert [e["data"]["n"] for e in got[0]["events"]] == ["late", "next"]
    assert got[0]["lastEventId"] == new
    assert admin.poll(since)["reset"] == {"reason": "expired"}
    # A cursor before it has it in its place, a later one has no reset; other topics do not mind.
    assert [e["data"]["n"] for e in admin.poll(late.id - 1)["events"]] == ["late", "quick", "next"]
    assert admin.poll(new, timeout=0)["events"] == []
    assert "reset" not in admin.poll(since, timeout=0, topics="nodes")


def test_a_late_event_of_many_sessions_is_kept_once(own_stack):
    """Sessions between two GETs share it: nine copies would be more than may be kept for all."""
    stack = own_stack("poller.hold_limit_ms=1000", "socketio.memory_bytes=67108864", "socketio.queue_bytes=16777216")
    admin = stack.admin()
    sockets = [follow(stack, admin.token) for _ in range(9)]
    late = Late(stack)
    late.insert(late.slow, "x" * 8_000_000)
    late.pass_by(stack)
    for socket in sockets:
        assert socket.event("websites:update")[0]["data"] == {"n": "quick"}
    late.commit(stack)
    for socket in sockets:
        assert [len(n) for n in late_of(socket.poll())] == [4, 8_000_000]


def test_a_burst_of_large_rows_is_read_in_portions(own_stack):
    """However small those before it were: what one read brings is in memory as a whole."""
    stack = own_stack()
    db = stack.connect()
    before = stack.status()
    with db.cursor() as c:
        c.execute("INSERT INTO ws_events (topic, event_type, payload) SELECT 'websites', 'update', "
                  "CONCAT('{\"n\":\"', REPEAT('x', IF(seq > 64, 500000, 1)), '\"}') FROM seq_1_to_256")
        last = c.lastrowid + 255
    wait_until(lambda: stack.status()["tail"] >= last, 30)
    assert stack.status()["reads"] - before["reads"] >= 1 + 192 * 500_000 // (17 << 20)
