"""Where a session's events begin: behind the lists that its client asks for."""
import time

import pytest

import wire
from conftest import SLOWER, unique, wait_until
from test_sessions import numbers, publish
from wire import OK, Process

WAIT_S = 3
TOPICS = ("nodes", "websites")


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A stack that gives clients time to ask."""
    from conftest import Stack, stack_home
    made = Stack(stack_home(), [f"socketio.list_wait_ms={WAIT_S * 1000}",
                                "socketio.ping_interval_ms=600000"])
    made.up()
    yield made
    made.discard()


@pytest.fixture
def poller(slow):
    process = Process(slow.env["CMDB_POLLER_SOCKET"])
    yield process
    process.close()


def connect(poller, **more):
    s = unique("sid")
    poller.open(s)
    assert poller.apply(s, wire.connect(pid=unique("pid"), may=wire.rights([f"{t}:read" for t in TOPICS]), **more)
                        ).what == OK
    assert poller.poll(s, tag=1)[0].startswith("40{")
    return s


def give_list(poller, s, topic, at, n):
    assert poller.apply(s, wire.emit(f'"{topic}:initial",{{"n":{n}}}', flags=wire.SYNC, topic=topic,
                                     at=at)).what == OK


def test_events_wait_for_the_list(slow, poller):
    s = connect(poller)
    one = publish(slow, 1)
    held = poller.hold(s, tag=2)
    publish(slow, 2)
    wait_until(lambda: slow.status()["tail"] > one)
    give_list(poller, s, "websites", one, 100)
    assert numbers(poller.answer(held)) == [100]
    # It has not asked for nodes; what it asked for follows.
    held = poller.hold(s, tag=3)
    assert numbers(poller.answer(held)) == [2]


def test_all_that_may_be_asked_for_was(slow, poller):
    s, started = connect(poller), time.monotonic()
    one = publish(slow, 1)
    wait_until(lambda: slow.status()["tail"] >= one)
    for topic in TOPICS:
        give_list(poller, s, topic, one, 100)
    publish(slow, 2)
    got, tag = [], 2
    while 2 not in got:
        got += numbers(poller.poll(s, tag=tag))
        tag += 1
    assert got == [100, 100, 2] and time.monotonic() - started < WAIT_S * SLOWER


def test_who_asks_for_nothing_waits_for_a_short_time(slow, poller):
    s, started = connect(poller), time.monotonic()
    for n in range(3):
        publish(slow, n)
    assert numbers(poller.poll(s, tag=2)) == [0, 1, 2]
    assert WAIT_S - 0.1 <= time.monotonic() - started


def test_replies_do_not_wait(slow, poller):
    s = connect(poller)
    publish(slow, 1)
    held = poller.hold(s, tag=2)
    assert poller.apply(s, wire.emit('"reply",{"n":70}')).what == OK
    assert numbers(poller.answer(held)) == [70]
    assert numbers(poller.poll(s, tag=3)) == [1]


def test_a_recovered_one_does_not_wait(slow, poller):
    pid, cursor = unique("pid"), slow.status()["tail"]
    s = unique("sid")
    poller.open(s)
    assert poller.apply(s, wire.connect(pid=pid, at=cursor, flags=wire.OFFSETS | wire.RESUMES)
                        ).what == OK
    event = publish(slow, 1)
    wait_until(lambda: slow.status()["tail"] >= event)
    assert numbers(poller.poll(s, tag=1)) == [1]


def test_a_restart_does_not_end_the_wait(slow, poller):
    s = connect(poller)
    one = publish(slow, 1)
    poller.hold(s, tag=2)
    poller.close()
    slow.kill("poller")
    poller = Process(slow.env["CMDB_POLLER_SOCKET"], 30)
    held = poller.hold(s, tag=2)
    wait_until(lambda: (slow.status() or {}).get("tail", 0) >= one)
    give_list(poller, s, "websites", one, 100)
    got = numbers(poller.answer(held))
    assert got == [100]
    publish(slow, 2)
    assert numbers(poller.poll(s, tag=3)) == [2]
    poller.close()
