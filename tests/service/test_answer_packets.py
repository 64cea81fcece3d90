"""Clients that take no more than so many packets in an answer: they get all there is, once and in
order, in portions; others get it at once, as ever."""
import json

import pytest

import wire
from conftest import unique, wait_until
from sio import Client, binary, is_event
from test_ordering import Late, hurried  # noqa: F401
from test_sessions import again, drop, poller, quiet, sid  # noqa: F401
from test_socketio_sync import insert, update

PYTHON = {"User-Agent": "python-requests/2.28.1"}
ASYNCIO = {"User-Agent": "Python/3.11 aiohttp/3.8.4"}
MOST = 16


def connect(stack, token, headers=PYTHON):
    c = Client(stack.url, headers)
    assert c.connect({"token": token})[0] == "0"
    c.event("connected")
    c.ask("websites")
    return c


def burst(db, n, topic="websites"):
    """n events of one INSERT: their ids."""
    with db.cursor() as c:
        c.execute("INSERT INTO ws_events (topic, event_type, payload) "
                  "SELECT %s, 'update', CONCAT('{\"id\":', seq, '}') FROM seq_1_to_" + str(n), (topic,))
        c.execute("SELECT id FROM ws_events WHERE topic = %s ORDER BY id DESC LIMIT " + str(n), (topic,))
        return [row[0] for row in c.fetchall()][::-1]


def ids_of(packets):
    return [json.loads(p[2:])[1]["eventId"] for p in packets if is_event(p, "websites:update")]


def portions(c, first, enough):
    """The answers that come until enough(packets so far): each as its packets."""
    got = [first] if first else []
    while not enough([p for packets in got for p in packets]):
        got.append(c.poll())
    return got


def fetch(c, ids, first=None):
    return portions(c, first, lambda packets: ids[-1] in ids_of(packets))


def flat(answers):
    return [p for packets in answers for p in packets]


@pytest.mark.parametrize("headers", [PYTHON, ASYNCIO], ids=["sync", "asyncio"])
@pytest.mark.parametrize("n", [MOST, MOST + 1, 100])
def test_a_burst_of_events(stack, admin, db, headers, n):
    c = connect(stack, admin.token, headers)
    held = c.hold()
    wait_until(lambda: (stack.status() or {}).get("waiters", 0) > 0)
    ids = burst(db, n)
    got = fetch(c, ids, held.result())
    assert ids_of(flat(got)) == ids
    assert max(map(len, got)) == MOST
    c.close()


def test_others_get_all_at_once(stack, admin, db):
    c = connect(stack, admin.token, {"User-Agent": "Mozilla/5.0"})
    ids = burst(db, 100)
    assert ids_of(c.poll()) == ids
    c.close()


def ask_for_missed(c, since):
    c.emit("request:websites", {"lastEventId": since}, ack=7)


def missed_of(stack, admin, db, n=199):
    """A client that is about to be told of n events it missed, in its queue; their ids."""
    c = connect(stack, admin.token)
    since = insert(db, n=0)
    ids = burst(db, n)
    assert ids_of(flat(fetch(c, ids)))[-n:] == ids
    ask_for_missed(c, since)
    return c, ids


def is_acknowledged(packets):
    return any(p.startswith("437[") for p in packets)


def test_replies_go_first_and_events_fill_what_is_left(stack, admin, db):
    c, missed = missed_of(stack, admin, db)
    ids = burst(db, 20)
    wait_until(lambda: stack.status()["tail"] >= ids[-1])
    got = fetch(c, ids)
    assert ids_of(flat(got)) == missed + ids
    acknowledged = next(i for i, packets in enumerate(got) if is_acknowledged(packets))
    assert [len(packets) for packets in got[:acknowledged + 1]] == [MOST] * (acknowledged + 1)
    assert ids[0] in ids_of(got[acknowledged])
    c.close()


def test_what_was_not_sent_is_not_in_flight(own_stack):
    """Neither lost nor told twice, wherever in between the poller dies."""
    stack = own_stack()
    admin = stack.admin()
    with stack.connect() as db:
        c, missed = missed_of(stack, admin, db)
        got = [c.poll() for _ in range(3)]
        stack.kill("poller")
        got += portions(c, None, is_acknowledged)
        assert ids_of(flat(got)) == missed
        assert max(map(len, got)) == MOST
        ids = burst(db, 40)
        got = fetch(c, ids)
        assert ids_of(flat(got)) == ids and max(map(len, got)) == MOST
        # Of one that is gone, both: what was in flight, and what was not sent yet.
        ask_for_missed(c, missed[0] - 1)
        offset, seen = c.offset, ids_of(c.poll())
        assert 0 < len(seen) <= MOST
        c.offset = offset
        other, _, is_recovered = c.recover({"token": admin.token})
        assert is_recovered
        packets = other.seen + flat(portions(other, None, lambda p: ids[-1] in ids_of(p)))
        assert ids_of(packets) == missed + ids
        other.close()


def test_a_new_handshake_tells_anew(stack, admin, db):
    c = connect(stack, admin.token)
    insert(db, n=1)
    update(c)
    c.close()
    ids = burst(db, 60)
    c.headers = {}
    c, _, is_recovered = c.recover({"token": admin.token})
    assert is_recovered
    assert ids_of(c.seen + c.poll() if not c.seen else c.seen) == ids
    c.close()


def test_attachments_may_come_later(own_stack):
    stack = own_stack("conformance.app=echo-socketio")
    c = Client(stack.url, PYTHON)
    c.connect()
    c.event("auth")
    n, said = 40, []
    for i in range(n):
        said += [f'451-["message",{{"_placeholder":true,"num":0}},{i}]', binary(bytes([i]))]
    c.post(*said)
    expected = [p.replace('"message"', '"message-back"') for p in said]
    got = portions(c, None, lambda p: len(p) >= len(expected))
    assert flat(got) == expected
    assert [len(packets) for packets in got] == [MOST] * (2 * n // MOST)


@pytest.mark.parametrize("most", [1, 3])
def test_an_operator_bounds_all(own_stack, most):
    stack = own_stack(f"socketio.answer_packets={most}")
    admin = stack.admin()
    c = connect(stack, admin.token, {})
    with stack.connect() as db:
        ids = burst(db, 10)
    got = fetch(c, ids)
    assert ids_of(flat(got)) == ids and max(map(len, got)) == most
    c.close()


def test_late_events_come_in_portions(hurried):  # noqa: F811
    """To one that holds a GET, and to one that is between two."""
    stack, n = hurried, 50
    admin = stack.admin()
    holds, between = [connect(stack, admin.token) for _ in range(2)]
    late = Late(stack)
    ids = burst(late.slow, n)
    quick = late.pass_by(stack)
    for c in (holds, between):
        fetch(c, [quick])
    held = holds.hold()
    wait_until(lambda: stack.status()["waiters"] == 1)
    late.commit(stack)
    for c, first in ((holds, held.result()), (between, None)):
        got = fetch(c, ids, first)
        assert ids_of(flat(got)) == [late.id, *ids]
        assert max(map(len, got)) <= MOST


# ---- to the packet, at the poller's own socket ----

def joined(poller, user, packets):  # noqa: F811
    s = sid()
    assert poller.open(s, packets=packets).what == wire.OK
    assert poller.apply(s, wire.connect(who=wire.caller(user), pid=unique("pid"))).what == wire.OK
    assert len(poller.poll(s, tag=1)) == 1
    return s


def test_each_portion_is_in_flight_by_itself(quiet, poller):  # noqa: F811
    s = joined(poller, 40, 2)
    assert poller.apply(s, wire.send("4a\x1e4b\x1e4c"), wire.send("4d\x1e4e")).what == wire.OK
    assert poller.poll(s, tag=2) == ["4a", "4b"]
    assert poller.apply(s, wire.send("4f")).what == wire.OK
    assert poller.poll(s, tag=2, again=True) == ["4a", "4b"]
    quiet.kill("poller")
    poller = again(quiet, poller)
    assert poller.poll(s, tag=2) == ["4a", "4b"]
    assert poller.poll(s, tag=3) == ["4c", "4d"]
    quiet.kill("poller")
    poller = again(quiet, poller)
    assert poller.poll(s, tag=4) == ["4e", "4f"]
    assert poller.apply(s, wire.send("4g")).what == wire.OK
    assert poller.poll(s, tag=4, again=True) == ["4e", "4f"]
    assert poller.poll(s, tag=5) == ["4g"]
    held = poller.hold(s, tag=6)
    assert poller.apply(s, wire.send("4h\x1e4i\x1e4j")).what == wire.OK
    assert poller.answer(held) == ["4h", "4i"]
    assert poller.poll(s, tag=7) == ["4j"]
    drop(poller, s)
    poller.close()


def test_a_token_that_is_not_written_down_counts(quiet, poller):  # noqa: F811
    """A login's, in its place among the rest of its portion."""
    s = joined(poller, 41, 2)
    login = '42/admin,["session","x"]'
    assert poller.apply(s, wire.send(f"4a\x1e{login}\x1e4b\x1e4c")).what == wire.OK
    assert poller.poll(s, tag=2) == ["4a", login]
    quiet.kill("poller")
    poller = again(quiet, poller)
    assert poller.poll(s, tag=2) == ["4a", "6"]
    assert poller.poll(s, tag=3) == ["4b", "4c"]
    drop(poller, s)
    poller.close()


@pytest.mark.parametrize("packets, end", [(1, ["1"]), (2, ["6", "1"])])
def test_the_end_comes_behind_the_rest(quiet, poller, packets, end):  # noqa: F811
    s = joined(poller, 42, packets)
    kick = b"\x0a" + wire.text("/") + wire.text("kicked") + wire.text("")
    assert poller.apply(s, wire.send("4a\x1e4b\x1e4c"), kick).what == wire.OK
    got = []
    while not got or got[-1] != "1":
        packets_now = poller.poll(s, tag=len(got) + 2)
        assert len(packets_now) <= packets
        got += packets_now
    assert got[:3] == ["4a", "4b", "4c"] and '"kicked"' in got[3] and got[4:] == ["41", *end]
