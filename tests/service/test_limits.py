"""What one client, one request or one process can make the poller hold, and what becomes of those
who do not fetch what they asked for."""
import json
import os
import pathlib
import select
import signal
import socket
import struct
import threading

import pytest

import wire
from conftest import wait_until
from sio import Client, call

MB = 1 << 20


def rss(pid):
    """Resident memory, in bytes."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def parent(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class Liar:
    """A poller that greets, and hangs up at the first LOOKUP."""

    def __init__(self, path):
        self.path, self.lookups, self.listener = path, 0, socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(16)
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.greet, args=(conn,)).start()

    def greet(self, conn):
        buffer = b""
        conn.sendall(self.frame(wire.WELCOME, struct.pack("<HHQ", wire.VERSION, 1, 1)
                                + wire.text("e" * 32)))
        while True:
            more = conn.recv(65536)
            buffer += more
            while len(buffer) >= 5 and len(buffer) >= 4 + struct.unpack_from("<I", buffer)[0]:
                n, kind = struct.unpack_from("<IB", buffer)
                buffer = buffer[4 + n:]
                if kind == wire.LOOKUP:
                    self.lookups += 1
                    more = b""
            if not more:
                conn.close()
                return

    @staticmethod
    def frame(kind, fields):
        return struct.pack("<IB", len(fields) + 1, kind) + fields

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        os.unlink(self.path)


def poller_socket(stack):
    return str(stack.dir / "run/poller.sock")


def events_interest(limit):
    """All of websites as JSON, as GET /events asks for it; another limit is another interest."""
    return struct.pack("<IBHB", 1, 1, limit, 0) + struct.pack("<H", 1) + wire.text("websites") \
        + struct.pack("<HH", 0, 0)


def waits(p, n, since, limits=1):
    """n requests of GET /events, of so many interests."""
    return [p.ask(wire.WAIT, struct.pack("<QI", since, 50000) + wire.text("")
                  + wire.blob(events_interest(500 + i % limits)) + wire.text("user:1")
                  + wire.text("") + b"\1") for i in range(n)]


class Held:
    """Large events that become visible at once: the first one's transaction is open until then, so
    that the poller has seen ids beyond its tail."""

    def __init__(self, stack, n, size):
        self.stack, self.slow = stack, stack.connect(autocommit=False)
        self.first = self.insert(self.slow, size)
        with stack.connect() as db:
            self.last = [self.insert(db, size) for _ in range(n - 1)][-1]

    @staticmethod
    def insert(db, size):
        with db.cursor() as c:
            c.execute("INSERT INTO ws_events (topic, event_type, payload) VALUES "
                      "('websites', 'update', %s)", (json.dumps({"pad": "x" * size}),))
            return c.lastrowid

    def let_go(self):
        self.slow.commit()
        self.slow.close()


# ---- those who do not read ----


@pytest.mark.parametrize("limits", [1, 120], ids=["one-interest", "many-interests"])
def test_who_waits_beyond_the_tail_and_does_not_read(own_stack, limits):
    """120 requests that wait for what is beyond the tail, and then five large events: what is sent
    for one of them may not end the walk over the others."""
    stack = own_stack()
    poller, p = stack.pid("poller"), wire.Process(poller_socket(stack))
    events = Held(stack, 5, 900_000)
    waits(p, 120, events.first, limits)
    wait_until(lambda: stack.status()["waiters"] == 120, 10, "all of them waiting")
    events.let_go()
    wait_until(lambda: stack.status()["tail"] >= events.last, 20, "the events released")
    p.close()
    wait_until(lambda: stack.status()["waiters"] == 0, 10, "the waiters gone")
    assert stack.pid("poller") == poller, "the poller has died"


def test_a_crowd_beyond_the_tail_gets_one_body(own_stack):
    """Those who ask the same in one moment are answered by one frame, not by a copy each."""
    stack = own_stack()
    p = wire.Process(poller_socket(stack))
    events = Held(stack, 5, 900_000)
    tickets = waits(p, 120, events.first)
    wait_until(lambda: stack.status()["waiters"] == 120, 10, "all of them waiting")
    events.let_go()
    kind, frame = p.frame(60)
    assert kind == wire.DELIVER
    n, = struct.unpack_from("<I", frame, 9)
    assert sorted(struct.unpack_from(f"<{n}Q", frame, 13)) == tickets
    assert len(json.loads(frame[13 + 8 * n + 4:])["events"]) == 4
    p.close()


def test_who_asks_and_does_not_read_is_asked_no_more(own_stack):
    """A million questions of a program that reads no answer: the poller stops reading them."""
    stack = own_stack()
    poller, s = stack.pid("poller"), socket.socket(socket.AF_UNIX)
    s.connect(poller_socket(stack))
    s.sendall(struct.pack("<IBHBIQ", 16, wire.HELLO, wire.VERSION, 3, 4711, 1))
    before, sent = rss(poller), 0
    question = struct.pack("<IBQ", 25, wire.ASK, 1) + wire.text("status") + bytes(4) + wire.blob("")
    most = len(question) * 1_000_000
    while sent < most and select.select([], [s], [], 5)[1]:
        sent += s.send(question * 1000, socket.MSG_DONTWAIT)
    assert sent < most, "it takes them all"
    assert rss(poller) - before < 500 * MB  # most of it is the sanitizer's
    assert stack.status(), "the others are served"
    s.close()


# ---- rows ----


def fill(stack, n):
    """n line groups: more than a list has, 4 MB of them."""
    with stack.connect() as db, db.cursor() as c:
        c.execute("INSERT INTO line_groups (tenant_id, name, description) SELECT 1, "
                  f"CONCAT('group ', seq), REPEAT('x', 260) FROM seq_1_to_{n}")


def joined(stack, viewer):
    client = Client(stack.url)
    assert client.connect({"token": viewer.token})[0] == "0"
    return client


def drain(client, n):
    """All packets up to the n-th acknowledgement, and what came with it."""
    packets = []
    while sum(p.startswith("43") for p in packets) < n:
        packets += client.request("GET", {}, timeout=60).split("\x1e")
    return packets


def test_the_same_rows_asked_for_many_times_in_one_body(own_stack):
    """Twenty (and two hundred) requests in a body of a few kilobytes: one list, an
    acknowledgement each, nobody else notices, and the link to the poller holds."""
    stack = own_stack()
    fill(stack, 10200)
    viewer = stack.viewer()
    pids = {name: stack.pid(name) for name in ("poller", "fcgi-1", "fcgi-2")}
    for n in (20, 150):
        client = joined(stack, viewer)
        client.post(*(f'42{i}["request:line-groups"]' for i in range(n)))
        packets = drain(client, n)
        lists = [p for p in packets if p.startswith('42["line-groups:initial"')]
        assert len(lists) == 1 and len(lists[0]) > 3 * MB
        acks = {int(p[2:p.index("[")]): json.loads(p[p.index("["):])[0]
                for p in packets if p.startswith("43")}
        assert acks.keys() == set(range(n)) and all(a["ok"] for a in acks.values())
    assert "connection to the poller lost" not in stack.log("fcgi-1") + stack.log("fcgi-2")
    assert {name: stack.pid(name) for name in pids} == pids


def test_rows_for_many_who_do_not_fetch_are_kept_once(own_stack):
    """Ten sessions ask for the same five times each and fetch nothing."""
    stack = own_stack("socketio.ping_interval_ms=600000")
    fill(stack, 10200)
    viewer, poller = stack.viewer(), stack.pid("poller")
    clients = [joined(stack, viewer) for _ in range(10)]
    before = rss(poller)
    for client in clients:
        for i in range(5):
            client.post(f'42{i}["request:line-groups"]')
    st = stack.status()["sessions"]
    assert st["held_bytes"] < 20 * MB and st["journal_bytes"] < 60 * MB
    assert rss(poller) - before < 100 * MB
    assert st["queue_overflows"] == 0
    packets = drain(clients[-1], 5)
    lists = [p for p in packets if p.startswith('42["line-groups:initial"')]
    assert len(lists) == 1 and sum(p.startswith("43") for p in packets) == 5


# ---- what a poller keeps for all ----


@pytest.fixture
def small(own_stack):
    """A stack whose poller keeps 64 MiB for all clients together."""
    return own_stack("socketio.memory_bytes=67108864")


def open_socket(p, name):
    assert p.open(name).what == wire.OK
    assert p.apply(name, wire.connect(sid="s-" + name, pid="p-" + name)).what == wire.OK
    assert p.poll(name, tag=1)
    p.poll_tag = 1
    return name


def give_rows(p, name, body, at=0):
    """As cmdb-fcgi does: the key first, the body if it is not there."""
    done = p.apply(name, wire.rows(body, at=at))
    if done.what == wire.LACKS:
        p.send(wire.BODY, wire.blob(body))
        done = p.apply(name, wire.rows(body, at=at))
        assert done.what == wire.OK
        return True
    assert done.what == wire.OK
    return False


def body_of(i, size):
    return f'"websites:initial",{{"n":{i},"pad":"{"x" * size}"}}'


def test_past_the_bound_who_fetches_nothing_goes_first(small):
    """A list of its own for each of many: those who do not fetch them make room, and are told."""
    p = wire.Process(poller_socket(small))
    names = [open_socket(p, f"o{i}") for i in range(12)]
    for i, name in enumerate(names):
        assert give_rows(p, name, body_of(i, 10 * MB))
    st = small.status()["sessions"]
    assert st["held_bytes"] <= 64 * MB
    assert st["queue_overflows"] == 12 - 6
    first, last = p.poll(names[0], tag=2), p.poll(names[-1], tag=2)
    assert any('"resync"' in packet for packet in first)
    assert any(len(packet) > 10 * MB for packet in last)
    p.close()


def test_the_same_body_is_sent_to_the_poller_once_and_outlives_it(small):
    p = wire.Process(poller_socket(small))
    names = [open_socket(p, f"b{i}") for i in range(5)]
    same = body_of(7, 2 * MB)
    assert [give_rows(p, name, same) for name in names] == [True] + [False] * 4
    assert small.status()["sessions"]["journal_bytes"] < 4 * MB
    p.close()
    small.kill("poller")
    p = wire.Process(poller_socket(small), 30)
    got = [p.poll(name, tag=2) for name in names]
    assert all([len(x) > 2 * MB for x in packets].count(True) == 1 for packets in got)
    p.close()
    # Those were the last words of a process: the same again.
    p = wire.Process(poller_socket(small))
    assert [p.poll(name, tag=2) for name in names] == got
    p.close()


def test_rows_asked_for_again_replace_those_not_fetched(small):
    p = wire.Process(poller_socket(small))
    name = open_socket(p, "r")
    for i in range(20):
        assert give_rows(p, name, body_of(i, 4 * MB))
    assert small.status()["sessions"]["held_bytes"] < 5 * MB
    got = [x for x in p.poll(name, tag=2) if "initial" in x]
    assert len(got) == 1 and '"n":19' in got[0][:60]
    p.close()


# ---- a question that a poller does not survive ----


def test_what_ends_the_link_is_not_said_for_ever(own_stack):
    """A poller that goes away whenever it is asked: a POST is answered after a few tries."""
    stack = own_stack()
    viewer = stack.viewer()
    client = joined(stack, viewer)
    path = poller_socket(stack)
    supervisor = parent(stack.pid("poller"))
    os.kill(supervisor, signal.SIGSTOP)
    os.kill(stack.pid("poller"), signal.SIGKILL)
    os.unlink(path)
    asked = Liar(path)
    try:
        status, _, _ = call(stack.url, "POST", {"EIO": "4", "transport": "polling", "t": "x",
                                                "sid": client.sid}, "42[\"request:line-groups\"]",
                            timeout=40)
        assert status == 503
        assert 1 < asked.lookups < 40
    finally:
        asked.close()
        os.kill(supervisor, signal.SIGCONT)


def test_large_old_events_are_read_in_parts(own_stack):
    """Who comes from far back, over small rows, large ones and small ones again, gets them all, in
    order."""
    stack = own_stack("poller.ring_bytes=65536")
    client = stack.admin()
    begin = since = client.tail()
    with stack.connect() as db, db.cursor() as c:
        for n, size in ((300, 10), (60, 500000), (600, 10)):
            c.execute("INSERT INTO ws_events (topic, event_type, payload) SELECT 'websites', "
                      "'update', JSON_OBJECT('text', REPEAT('x', %s)) FROM seq_1_to_1000 LIMIT %s",
                      (size, n))
        c.execute("SELECT id FROM ws_events WHERE id > %s ORDER BY id", begin)
        ids = [row[0] for row in c.fetchall()]
    wait_until(lambda: client.tail() >= ids[-1], 30)
    seen = []
    for _ in range(100):
        got = client.poll(since, timeout=1, topics="websites")
        seen += [e["id"] for e in got["events"]]
        since = got["lastEventId"]
        if since >= ids[-1]:
            break
    assert seen == ids
    # Others, who begin within.
    for at in (310, 333, 359, 363):
        got = client.poll(ids[at], timeout=1, topics="websites", limit=3)
        assert [e["id"] for e in got["events"]] == ids[at + 1:at + 4]
