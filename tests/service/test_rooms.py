"""Rooms and who may be in them: by right, on asking (`subscribe`), by an operator's command; that
nothing is heard in a room when the right to it is gone, whatever happens in between."""
import itertools
import json
import os
import pathlib
import signal
import time

import pytest

import wire
from conftest import SLOWER, unique, wait_until
from sio import Client, arguments
from test_socketio_sync import connect, insert

numbers = itertools.count(1)


def take(c, *names):
    """The next event of one of the names; what it is told to have lost goes to c.lost."""
    while True:
        name, value, c.offset = arguments(c.wait(
            lambda p: (arguments(p) or [None])[0] in (*names, "subscription_error")))
        if name != "subscription_error":
            return name, value
        c.lost.append(value)


def hears(db, c, room, tenant=1):
    """How often an event to the room reaches the socket; its own room tells when to stop."""
    n = next(numbers)
    insert(db, "notes", room=room, tenant=tenant, name="note", n=n)
    insert(db, "notes", room=f"user:{c.user['id']}", tenant=c.tenant, name="mark", n=n)
    got = []
    while not got or got[-1] != ("mark", n):
        name, value = take(c, "note", "mark")
        got.append((name, value["n"]))
    return got.count(("note", n))


def socket_of(stack, user, tenant=1):
    c = connect(stack, user.token)
    c.user, c.tenant, c.lost = user.user, tenant, []
    return c


def recover(c, user):
    other, _, is_recovered = c.recover({"token": user.token})
    assert is_recovered
    other.user, other.tenant, other.lost = c.user, c.tenant, c.lost
    take(other, "connected")
    return other


def subscribe(c, *what, verb="subscribe"):
    """The acknowledgement of subscribe(what), and the events that it brought, in order."""
    number = next(numbers)
    c.emit(verb, *what, ack=number)
    events, mark = [], f"43{number}["
    while not (p := c.wait(lambda p: p[:2] in ("42", "43"))).startswith(mark):
        args = arguments(p)
        c.offset = args.pop()
        events.append(tuple(args))
    return json.loads(p[len(mark) - 1:])[0], events


def is_in(c, *rooms):
    ack, events = subscribe(c, list(rooms))
    assert ack == {"ok": True, "channels": list(rooms)}
    assert events == [("subscribed", {"channels": list(rooms)})]


def is_refused(c, name, reason="forbidden"):
    why = {"channel": name, "reason": reason}
    ack, events = subscribe(c, name)
    assert ack == {"ok": True, "channels": [], "refused": [why]}
    assert events == [("subscription_error", why)]


def ends_within_a_second(db, c, room, since):
    while hears(db, c, room):
        assert time.monotonic() < since + SLOWER
    assert hears(db, c, room) == 0


@pytest.fixture
def role(stack):
    name = unique("role")
    stack.ctl("role", "add", name, "websites:read")
    return name


@pytest.fixture
def member(stack, role):
    """Somebody with the role, and with another one that stays."""
    return stack.user(roles=(role, "viewer"))


# ---- asking ----

def test_an_event_reaches_a_member_once(stack, db, role, member):
    c = socket_of(stack, member)
    assert hears(db, c, f"role:{role}") == 1
    is_in(c, f"role:{role}")
    is_in(c, f"role:{role}")
    assert hears(db, c, f"role:{role}") == 1
    # It is by right, and stays so.
    ack, events = subscribe(c, f"role:{role}", verb="unsubscribe")
    assert ack == {"ok": True, "channels": [f"role:{role}"]}
    assert events == [("unsubscribed", {"channels": [f"role:{role}"]})]
    assert hears(db, c, f"role:{role}") == 1
    assert hears(db, c, f"role:{role}", tenant=2) == 0
    c.close()


def test_an_event_of_several_rooms_reaches_a_socket_once(stack, db, role, member):
    """A list of rooms: once to who is in one of them or in all, never to others."""
    c, other = socket_of(stack, member), socket_of(stack, stack.user(roles=("viewer",)))
    own, rooms = f"user:{member.user['id']}", f"role:{role},role:viewer"
    assert hears(db, c, rooms) == hears(db, other, rooms) == 1
    assert hears(db, c, f"{rooms},{own},{own}") == 1
    assert hears(db, c, f",,role:nobody,{own},") == 1
    assert hears(db, other, f"role:{role},{own}") == 0
    assert [hears(db, c, r) for r in ("role:nobody,ticket:1", ",", "x" * 129 + f",x{own}")] == [0] * 3
    assert hears(db, c, "x" * 129 + f",{own}") == 1
    assert hears(db, c, rooms, tenant=2) == 0
    # ... nor twice for a room that it has asked for besides.
    is_in(c, f"role:{role}", own)
    assert hears(db, c, f"{own},{rooms}") == 1
    c.close()
    other.close()


def test_what_was_missed_in_several_rooms_comes_once(stack, db, role, member):
    c, own = socket_of(stack, member), f"user:{member.user['id']}"
    since = hears(db, c, f"role:{role}") and int(c.offset.split(":")[1])
    for n, room in enumerate((f"role:{role},{own}", f"role:nobody,{own},", "role:nobody,ticket:1")):
        insert(db, "websites", room=room, name="note", n=n)
    insert(db, "websites", room=own, name="note", n="end")

    def notes(client):
        got = []
        while got[-1:] != ["end"]:
            got.append(take(client, "note")[1]["n"])
        return got

    other, _, is_recovered = c.recover({"token": member.token})
    assert is_recovered and notes(other) == [0, 1, "end"]
    events, _ = other.ask("websites", {"lastEventId": since})
    assert [payload["n"] for name, payload in events if name == "note"] == [0, 1, "end"]
    other.close()


def test_foreign_rooms_are_refused(stack, db, member):
    c = socket_of(stack, member)
    other = stack.user()
    rooms = ["role:admin", f"user:{other.user['id']}", "department:tech", "ticket:7", "den:1", ":"]
    for room in rooms:
        is_refused(c, room)
    for topic in ("websites", "nothing", "_auth"):
        is_refused(c, topic, "unknown_topic")
    assert [hears(db, c, room) for room in rooms[:-1]] == [0] * 5
    own = f"user:{member.user['id']}"
    ack, events = subscribe(c, ["role:admin", own, "role:viewer", "websites", own])
    assert ack == {"ok": True, "channels": [own, "role:viewer"], "refused": [
        {"channel": "role:admin", "reason": "forbidden"},
        {"channel": "websites", "reason": "unknown_topic"}]}
    assert sorted(e[0] for e in events) == ["subscribed"] + 2 * ["subscription_error"]
    c.close()


def test_who_may_do_everything_may_be_anywhere(stack, db, admin):
    c = socket_of(stack, admin)
    rooms = ["role:operator", "user:999999", "ticket:7", "den:1"]
    assert [hears(db, c, room) for room in rooms] == [0] * 4
    is_in(c, *rooms)
    assert [hears(db, c, room) for room in rooms] == [1] * 4
    assert [hears(db, c, room, tenant=2) for room in rooms] == [0] * 4
    subscribe(c, {"topic": rooms[:3]}, verb="unsubscribe")
    assert [hears(db, c, room) for room in rooms] == [0, 0, 0, 1]
    c.close()


def test_departments(stack, db):
    name, user = unique("dep"), stack.user(roles=("viewer",))
    c = socket_of(stack, user)
    is_refused(c, f"department:{name}")
    stack.ctl("user", "add-department", user.user["username"], name)
    wait_until(lambda: hears(db, c, f"department:{name}"), 10, "it is in its department")
    is_in(c, f"department:{name}")
    stack.ctl("user", "remove-department", user.user["username"], name)
    ends_within_a_second(db, c, f"department:{name}", time.monotonic())
    c.close()


def test_a_key_has_no_room_of_its_own(stack, db):
    c = Client(stack.url)
    assert c.connect({"apiKey": stack.key("websites:read").key})[0] == "0"
    c.event("connected")
    for room in ("user:0", "role:viewer"):
        is_refused(c, room)
    c.close()


BAD = ["", "x" * 129, "role:\0", "role:\x1e", "a\nb", "\x7f:1", 7, True, {}, {"topic": {}}, [], [[]],
       [["role:viewer"]], ["role:viewer", 7], ["role:viewer", None], {"topic": 7},
       ["role:viewer", "x" * 129], [f"role:{n}" for n in range(1000)], "x" * 900_000]


@pytest.mark.parametrize("verb", ["subscribe", "unsubscribe"])
def test_bad_arguments_are_a_matter_of_that_event(stack, db, member, verb):
    c = socket_of(stack, member)
    for what in BAD:
        ack, events = subscribe(c, what, verb=verb)
        assert ack["error"]["code"] == "bad_arguments" and events == [], what
    ack, events = subscribe(c, verb=verb)
    assert ack["error"]["code"] == "bad_arguments"
    c.emit(verb, 7)
    assert c.event("error")[0]["code"] == "bad_arguments"
    assert hears(db, c, "role:viewer") == 1
    is_in(c, "role:viewer")
    c.close()


def test_there_is_an_end_to_how_many(stack, db, admin):
    c = socket_of(stack, admin)
    rooms = [f"den:{n}" for n in range(64)]
    is_in(c, *rooms[:40])
    number = next(numbers)
    # In one POST, of which a later event sees what an earlier one did.
    c.post(f"42{number}" + json.dumps(["subscribe", rooms[40:]]),
           "42" + json.dumps(["subscribe", ["den:64", "den:63"]]))
    assert c.event("subscribed")[0] == {"channels": rooms[40:]}
    assert c.event("subscription_error")[0] == {"channel": "den:64", "reason": "limit"}
    assert c.event("subscribed")[0] == {"channels": ["den:63"]}
    is_refused(c, "den:64", "limit")
    assert hears(db, c, "den:64") == 0 and hears(db, c, "den:63") == 1
    subscribe(c, "den:0", verb="unsubscribe")
    is_in(c, "den:64")
    assert hears(db, c, "den:64") == 1
    c.close()


# ---- what is not backed any more ----

def revoke(stack, user, role):
    stack.ctl("user", "revoke-role", user.user["username"], role)
    return time.monotonic()


def grant(stack, user, role):
    stack.ctl("user", "grant-role", user.user["username"], role)


@pytest.mark.parametrize("asks", [False, True], ids=["by-right", "asked-for"])
def test_a_lost_role_leaves_its_room_for_good(stack, db, role, member, asks):
    c, room = socket_of(stack, member), f"role:{role}"
    if asks:
        is_in(c, room)
    ends_within_a_second(db, c, room, revoke(stack, member, role))
    assert c.lost == ([{"channel": room, "reason": "revoked"}] if asks else [])
    is_refused(c, room)
    # Another change of rights, a new poller, another connection.
    other = unique("role")
    stack.ctl("role", "add", other, "nodes:read")
    grant(stack, member, other)
    wait_until(lambda: hears(db, c, f"role:{other}"), 10, "the other role")
    assert hears(db, c, room) == 0
    stack.kill("poller")
    assert hears(db, c, room) == 0
    c = recover(c, member)
    assert hears(db, c, room) == 0 and hears(db, c, f"role:{other}") == 1
    # With the role comes what one has by right.
    grant(stack, member, role)
    wait_until(lambda: hears(db, c, room), 10, "the role is back")
    c.close()


def test_an_asked_for_room_does_not_come_back_with_the_right(stack, db):
    boss, name = stack.user(roles=("viewer", "admin")), f"den:{unique()}"
    c = socket_of(stack, boss)
    is_in(c, name)
    ends_within_a_second(db, c, name, revoke(stack, boss, "admin"))
    grant(stack, boss, "admin")
    wait_until(lambda: hears(db, c, "role:admin"), 10, "the role is back")
    assert hears(db, c, name) == 0
    is_in(c, name)
    assert hears(db, c, name) == 1
    c.close()


def test_a_role_lost_while_the_connection_is(stack, db, role, member):
    c, room = socket_of(stack, member), f"role:{role}"
    is_in(c, room, "role:viewer")
    assert hears(db, c, room) == 1
    revoke(stack, member, role)
    c = recover(c, member)
    assert hears(db, c, room) == 0 and hears(db, c, "role:viewer") == 1
    assert c.lost == [{"channel": room, "reason": "revoked"}]
    c.close()


def test_a_role_lost_while_there_is_no_poller(stack, db, role, member):
    c, room = socket_of(stack, member), f"role:{role}"
    is_in(c, room)
    os.kill(stack.pid("poller"), signal.SIGSTOP)
    revoke(stack, member, role)
    stack.kill("poller")
    ends_within_a_second(db, c, room, time.monotonic())
    c.close()


# ---- rights that are lost while a request is on its way ----

EVERYTHING = wire.rights(["*"], roles=["admin"])


@pytest.fixture
def process(stack):
    p = wire.Process(stack.env["CMDB_POLLER_SOCKET"])
    yield p
    p.close()


class Socket:
    """One that a process of this test serves, which says what its caller may."""

    def __init__(self, process, user, may):
        self.process, self.sid, self.user, self.tenant = process, unique("sid"), user, 1
        self.seen, self.lost = [], []
        assert process.open(self.sid).what == wire.OK
        who = wire.caller(user["id"])
        self.apply(wire.connect(sid=unique("s"), pid=unique("pid"), who=who, may=may))

    def apply(self, *ops):
        assert self.process.apply(self.sid, *ops).what == wire.OK

    def wait(self, want):
        while not any(map(want, self.seen)):
            self.seen += self.process.poll(self.sid, tag=next(numbers))
        while not want(p := self.seen.pop(0)):
            pass
        return p


def test_a_subscription_that_was_judged_by_rights_of_before(stack, db, process):
    user = stack.user(roles=("viewer",)).user
    c = Socket(process, user, wire.rights(roles=["viewer"]))
    assert hears(db, c, "role:viewer") == 1
    c.apply(wire.subscribe(["role:admin", "role:viewer"], EVERYTHING))
    ends_within_a_second(db, c, "role:admin", time.monotonic())
    assert c.lost == [{"channel": "role:admin", "reason": "revoked"}]
    assert hears(db, c, "role:viewer") == 1
    c.apply(wire.CLOSE)


def test_a_subscription_that_the_poller_knows_better(stack, db, process):
    user = stack.user(roles=("viewer",)).user
    c = Socket(process, user, wire.rights(roles=["viewer"]))
    c.apply(wire.subscribe(["role:admin"]))
    assert hears(db, c, "role:admin") == 0
    assert c.lost == [{"channel": "role:admin", "reason": "forbidden"}]
    c.apply(wire.CLOSE)


def test_a_connect_in_the_middle_of_many_revocations(stack, db, process):
    user = stack.user(roles=("viewer",)).user
    with db.cursor() as cur:
        cur.executemany("INSERT INTO ws_events (topic, event_type, payload, tenant_id) "
                        "VALUES ('_auth', 'update', %s, 0)",
                        [json.dumps({"revoke": "user", "user_id": n})
                         for n in [user["id"], *range(10 ** 9, 10 ** 9 + 300)]])
        cur.execute("SELECT MAX(id) FROM ws_events")
        last, = cur.fetchone()
    wait_until(lambda: stack.status()["tail"] >= last, 10, "the revocations are known")
    c = Socket(process, user, EVERYTHING)
    ends_within_a_second(db, c, "role:admin", time.monotonic())
    c.apply(wire.CLOSE)


# ---- what survives ----

def test_subscriptions_outlive_what_the_session_does(stack, db, admin):
    c, room = socket_of(stack, admin), f"den:{unique()}"
    is_in(c, room)
    for name in ("poller", "fcgi-1", "fcgi-2"):
        stack.kill(name)
        assert hears(db, c, room) == 1
    c = recover(c, admin)
    assert hears(db, c, room) == 1
    c.close()
    # That was on purpose: nothing is kept.
    c = socket_of(stack, admin)
    assert hears(db, c, room) == 0
    c.close()


@pytest.mark.parametrize("loses", [False, True], ids=["kept", "lost"])
def test_recovery_on_another_host(own_stack, loses):
    """The row in the table is all that is known there: what was asked for is in it, and is judged
    anew."""
    stack = own_stack()
    user = stack.user(roles=("viewer", "admin"))
    c = socket_of(stack, user)
    is_in(c, "den:1")
    with stack.connect() as db, db.cursor() as cur:
        def is_written():
            cur.execute("SELECT COUNT(*) FROM ws_sessions WHERE record LIKE '%%den:1%%'")
            return cur.fetchone()[0]
        wait_until(is_written, 10, "the session is written behind")
        os.kill(stack.pid("poller"), signal.SIGSTOP)
        cur.execute("UPDATE ws_sessions SET node_id = 999")
        pathlib.Path(stack.env["CMDB_POLLER_SOCKET"] + ".sessions").unlink()
        stack.kill("poller")
        if loses:
            revoke(stack, user, "admin")
        insert(db, "notes", room="den:1", name="note", n=0)
        wait_until(lambda: (stack.status() or {}).get("ready"), 20)
        other = recover(c, user)
        if loses:
            assert hears(db, other, "den:1") == 0
            assert other.lost == [{"channel": "den:1", "reason": "revoked"}]
            assert not any("note" in p for p in other.seen)
        else:
            assert other.event("note") == [{"n": 0}]
            assert hears(db, other, "den:1") == 1
        other.close()


# ---- by command ----

@pytest.fixture
def operator(stack, admin):
    c = Client(stack.url)
    assert c.connect({"token": admin.token}, nsp="/admin")[0] == "0"
    yield c
    c.close()


def command(operator, *args):
    number = next(numbers)
    operator.emit(*args, ack=number, nsp="/admin")
    p = operator.wait(lambda p: p.startswith(f"43/admin,{number}["))
    assert json.loads(p[p.index("["):]) == [{"ok": True}]


def test_rooms_by_command(stack, db, member, role, operator):
    c, den = socket_of(stack, member), unique("den")
    own = f"user:{member.user['id']}"
    command(operator, "join", "/", den, own)
    assert hears(db, c, den) == 1
    # What one has been put into one cannot leave, and needs no right.
    subscribe(c, den, verb="unsubscribe")
    revoke(stack, member, role)
    ends_within_a_second(db, c, f"role:{role}", time.monotonic())
    assert hears(db, c, den) == 1
    stack.kill("poller")
    c = recover(c, member)
    assert hears(db, c, den) == 1
    # Rooms of a known kind take only who may be in them, by command, too; and who is in one by
    # right stays there.
    command(operator, "join", "/", "role:admin", own)
    command(operator, "join", "/", f"role:{role}", own)
    command(operator, "leave", "/", "role:viewer", own)
    assert [hears(db, c, f"role:{r}") for r in ("admin", role, "viewer")] == [0, 0, 1]
    command(operator, "leave", "/", den)
    assert hears(db, c, den) == 0
    c.close()


# ---- /events ----

def test_the_long_poll_asks_the_same_table(stack, db, role, member, admin):
    room = f"role:{role}"
    since = admin.tail()
    one = insert(db, "notes", room=room, n=1)
    reply = member.get(f"/events?since={since}&room={room}&timeout=10")
    assert [e["id"] for e in reply.json["events"]] == [one]
    revoke(stack, member, role)
    wait_until(lambda: member.get(f"/events?timeout=0&room={room}").status == 403, 5)
    assert admin.get(f"/events?since={since}&room={room}&timeout=10").json["events"][0]["id"] == one
