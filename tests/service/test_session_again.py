"""Which request is one that comes again: only one whose process is gone, whatever marks its client
gives. There are clients without marks and clients that mark all their requests alike."""
import itertools
import re
import socket
import threading

import pytest

import wire
from conftest import unique, wait_until
from sio import Client, Refused, is_event
from test_sessions import joined, numbers, publish
from test_socketio_sync import insert
from wire import BAD, OK, Done, Process


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    from conftest import Stack, stack_home, TEST_SETS
    made = Stack(stack_home(), [*TEST_SETS, "socketio.ping_interval_ms=600000"])
    made.up()
    yield made
    made.discard()


@pytest.fixture
def two(calm):
    """Two processes."""
    made = [Process(calm.env["CMDB_POLLER_SOCKET"]) for _ in range(2)]
    yield made
    for process in made:
        process.close()


MARKS = pytest.mark.parametrize("tag", [0, 5], ids=["no mark", "one mark"])


@MARKS
def test_a_living_process_asks_something_new_each_time(calm, two, tag):
    """Nothing is told twice, and each POST is done."""
    one, _ = two
    s = joined(one)
    for n in range(5):
        held = one.hold(s, tag=tag)
        publish(calm, n)
        assert numbers(one.answer(held)) == [n]
        assert one.apply(s, wire.emit('"reply",{"n":%d}' % (100 + n)), tag=tag or n + 1).what == OK
        assert numbers(one.poll(s, tag=tag)) == [100 + n]


@MARKS
def test_so_do_two_that_take_turns(calm, two, tag):
    s = joined(two[0])
    turns = itertools.cycle(two)
    if tag:  # by this one it is seen that marks tell nothing
        assert two[0].apply(s, wire.send("4x"), tag=tag).what == OK
        assert two[0].poll(s, tag=tag) == ["4x"]
    for n in range(4):
        process = next(turns)
        held = process.hold(s, tag=tag)
        publish(calm, n)
        assert numbers(process.answer(held)) == [n]
        assert next(turns).apply(s, wire.emit('"reply",{"n":%d}' % (100 + n)), tag=tag or n + 1
                                 ).what == OK
        assert numbers(process.poll(s, tag=tag)) == [100 + n]


def test_a_mark_that_comes_twice_is_waited_for_once(calm, two):
    """It may be a process that is about to be gone; if it stays, marks are worth nothing."""
    one, other = two
    s = joined(one)
    held = one.hold(s, tag=7)
    publish(calm, 1)
    assert numbers(one.answer(held)) == [1]
    held = other.hold(s, tag=7)
    publish(calm, 2)
    assert numbers(other.answer(held)) == [2]
    held = one.hold(s, tag=7)
    publish(calm, 3)
    assert numbers(one.answer(held)) == [3]


@MARKS
def test_a_held_get_of_a_process_that_died(calm, two, tag):
    one, other = two
    s = joined(one)
    other.hold(s, tag=tag)
    other.close()
    held = one.hold(s, tag=tag)
    publish(calm, 1)
    assert numbers(one.answer(held)) == [1]


@MARKS
def test_one_that_dies_a_moment_later(calm, two, tag):
    one, other = two
    s = joined(one)
    other.held(s, tag=tag)
    held = one.hold(s, tag=tag)
    other.close()
    publish(calm, 1)
    assert numbers(one.answer(held)) == [1]


@MARKS
def test_an_answer_that_went_with_its_process(calm, two, tag):
    one, other = two
    s = joined(one)
    held = other.hold(s, tag=tag)
    publish(calm, 1)
    assert numbers(other.answer(held)) == [1]
    other.close()
    assert numbers(one.poll(s, tag=tag)) == [1]


def test_a_post_that_was_done_by_a_process_that_died(calm, two):
    one, other = two
    s = joined(one)
    assert other.apply(s, wire.send("4x"), tag=9).what == OK
    ticket = one.ask(wire.APPLY, wire.text(s) + wire.struct.pack("<QQB", 9, 0, 0)
                     + wire.blob(wire.send("4x")))
    other.close()
    assert one.answer(ticket).what == OK
    assert one.poll(s, tag=2) == ["4x"]


@MARKS
def test_two_gets_of_living_processes_end_the_session(calm, two, tag):
    one, other = two
    s = joined(one)
    first = other.held(s, tag=tag)
    assert one.poll(s, tag=tag) == Done(BAD, "")
    assert other.answer(first) == ["1"]


@MARKS
def test_two_gets_of_one_process_end_it_at_once(calm, two, tag):
    one, _ = two
    s = joined(one)
    first = one.hold(s, tag=tag)
    assert one.poll(s, tag=tag) == Done(BAD, "")
    assert one.answer(first) == ["1"]


def test_one_who_hangs_up_in_doubt_is_forgotten(calm, two):
    one, other = two
    s = joined(one)
    first = other.held(s)
    one.cancel(one.hold(s))
    publish(calm, 1)
    assert numbers(other.answer(first)) == [1]


@MARKS
def test_what_the_web_server_says(calm, two, tag):
    one, other = two
    s = joined(one)
    other.held(s, tag=tag)
    held = one.hold(s, tag=tag, again=True)
    publish(calm, 1)
    assert numbers(one.answer(held)) == [1]


# ---- through the web server ----

class Follower(threading.Thread):
    """Polls until it has had the event `last`, as a client does that is told nothing of deaths."""

    def __init__(self, stack, token, query):
        super().__init__(daemon=True)
        self.client, self.got, self.last, self.trouble = Client(stack.url, query=query), [], None, None
        assert self.client.connect({"token": token})[0] == "0"
        self.client.ask("websites")

    def run(self):
        try:
            while self.last is None or not self.got or max(self.got) < self.last:
                for p in self.client.poll():
                    if is_event(p, "websites:update"):
                        self.got.append(int(p.rsplit(":", 1)[1].split('"')[0]))
        except (Refused, OSError) as e:
            self.trouble = repr(e)


def kill(stack, admin, name):
    """Kills a cmdb-fcgi, and waits until the web server uses both again: it takes a second to do so
    with one that it found dead."""
    def look():
        pid = re.search(r'pid="(\d+)"', admin.get("/metrics").body.decode())
        seen.add(int(pid.group(1)))

    def serve():
        look()
        # A request goes to the one with less to do.
        with socket.create_connection((admin.host, admin.port)) as s:
            s.sendall(f"GET /events?timeout=1 HTTP/1.1\r\nHost: x\r\n"
                      f"Authorization: Bearer {admin.token}\r\n\r\n".encode())
            look()
        return {stack.pid("fcgi-1"), stack.pid("fcgi-2")} <= seen
    seen, old = set(), stack.pid(name)
    stack.kill(name)
    wait_until(lambda: stack.pid(name) != old, 20, "another one")
    wait_until(serve, 30, "both processes serve")


@pytest.mark.slow
@pytest.mark.parametrize("t", [None, "tenant1"], ids=["no t", "one t"])
def test_clients_without_good_marks_outlive_deaths_under_a_stream(calm, t):
    admin = calm.admin()
    crowd = [Follower(calm, admin.token, {"t": t}) for _ in range(8)]
    is_over = threading.Event()
    ids = []

    def write():
        with calm.connect() as db:
            while not is_over.wait(0.02):
                ids.append(insert(db, n=len(ids)))

    writer = threading.Thread(target=write)
    for f in crowd:
        f.start()
    writer.start()
    try:
        for name in ("fcgi-1", "fcgi-2", "fcgi-1", "fcgi-2"):
            seen = len(ids)
            wait_until(lambda: len(ids) > seen + 20, 20)
            kill(calm, admin, name)
    finally:
        is_over.set()
        writer.join()
    for f in crowd:
        f.last = ids[-1]
    with calm.connect() as db:
        ids.append(insert(db, n=-1))
    for f in crowd:
        f.join(60)
    assert [f.trouble for f in crowd if f.trouble] == []
    for f in crowd:
        assert not f.is_alive() and set(ids[:-1]) <= set(f.got)
        # What is told twice is so because a process died over it.
        assert len(f.got) < 3 * len(ids)


def test_a_mark_that_never_changes_swallows_nothing(calm):
    c = Client(calm.url, query={"t": "tenant1"})
    assert c.connect({"token": calm.admin().token})[0] == "0"
    c.event("connected")
    with calm.connect() as db:
        ids = [insert(db, n=n) for n in range(3)]
    assert [c.event("websites:update")[0]["eventId"] for _ in ids] == ids
    for n in range(3):
        c.emit("nobody", ack=n)
        assert c.ack(n) == [{"error": {"code": "unknown_event"}}]
    held = c.hold()
    with calm.connect() as db:
        one = insert(db, n=9)
    got = held.result()
    assert len([p for p in got if is_event(p, "websites:update")]) == 1 and f":{one}" in got[-1]
    c.close()


def test_a_second_death_within_one_get(calm):
    """The web server does a request again once. So what came again is not held."""
    admin = calm.admin()
    c = Client(calm.url, query={"t": None})
    assert c.connect({"token": admin.token})[0] == "0"
    c.event("connected")
    for _ in range(3):
        seen = (calm.status() or {}).get("waiters", 0)
        held = c.hold()
        wait_until(lambda: calm.status()["waiters"] > seen, 10, "it is held")
        kill(calm, admin, "fcgi-1")
        kill(calm, admin, "fcgi-2")
        # Whichever had it, or had it again: it is answered with 200.
        with calm.connect() as db:
            one = insert(db, n=1)
        got = held.result()
        while not any(f":{one}" in p for p in got):
            got = c.poll()
    c.close()


def test_a_post_that_was_done_is_not_looked_at_again(calm, two):
    """Its events may have changed more than the session."""
    one, other = two
    s = joined(one)
    assert isinstance(one.lookup(s, tag=5), wire.State)
    assert one.apply(s, wire.emit('"reply",{"n":1}'), tag=5).what == OK
    assert isinstance(other.lookup(s, tag=6), wire.State)
    one.close()
    assert other.lookup(s, tag=5, again=True) == Done(OK, "")
    assert numbers(other.poll(s, tag=9)) == [1]
