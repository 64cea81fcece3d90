"""Events that are kept nowhere (CAST): cmdbctl broadcast, POST /ws/broadcast, and what a process
may send."""
import json
import os
import signal
import struct

import pytest

import wire
from conftest import unique, wait_until
from sio import Client
from test_events import answer, cgi
from test_ws_connections import Crowd, tenant_id

OK, USAGE, UNREACHABLE, NOT_FOUND = 0, 2, 3, 4


def connect(stack, api):
    c = Client(stack.url)
    assert c.connect({"token": api.token})[0] == "0"
    c.event("connected")
    return c


def broadcast(stack, name, data, *args):
    return stack.ctl("broadcast", "--event", name, "--data", json.dumps(data), "--json", *args)


def cast(p, args, tenant, room="", sid=""):
    return p.answer(p.ask(wire.CAST, struct.pack("<I", tenant) + wire.text(room) + wire.text(sid)
                          + wire.blob(args)))


@pytest.fixture
def two(stack):
    """Two tenants, each with a name and a user."""
    names = [stack.tenant(), stack.tenant()]
    return [(name, stack.user(name)) for name in names]


def test_each_socket_of_the_tenant_hears_it_once(stack, two, db):
    (name, mine), (other_name, others) = two
    clients = [connect(stack, mine) for _ in range(3)]
    stranger = connect(stack, others)
    with db.cursor() as c:
        c.execute("SELECT COUNT(*) FROM ws_events")
        rows = c.fetchone()
    assert broadcast(stack, "news", {"n": 1}, "--tenant", name) == {"sockets": 3, "skipped": 0}
    assert broadcast(stack, "last", 2, "--tenant", name) == {"sockets": 3, "skipped": 0}
    assert broadcast(stack, "last", 3, "--tenant", other_name) == {"sockets": 1, "skipped": 0}
    for c in clients:
        assert c.event("news") == [{"n": 1}]
        assert c.event("last") == [2]
    assert stranger.event("last") == [3], "and nothing of the other tenant before it"
    with db.cursor() as c:
        c.execute("SELECT COUNT(*) FROM ws_events")
        assert c.fetchone() == rows
        c.execute("SELECT target FROM audit_log WHERE action = 'broadcast' AND tenant_id = %s",
                  (tenant_id(stack, name),))
        assert [r[0] for r in c.fetchall()] == ["news", "last"]
    said = stack.ctl("broadcast", "--event", "news", "--data", "-", "--tenant", name, input='{"n": 4}\n').stdout
    assert said == "sent to 3 sockets\n"
    assert [c.event("news") for c in clients] == [[{"n": 4}]] * 3
    for c in [*clients, stranger]:
        c.close()


def test_to_a_room(stack, two):
    (name, mine), _ = two
    second = stack.user(name)
    own, other = connect(stack, mine), connect(stack, second)
    room = f"user:{mine.user['id']}"
    assert broadcast(stack, "typing", {}, "--tenant", name, "--room", room)["sockets"] == 1
    assert broadcast(stack, "all", {}, "--tenant", name)["sockets"] == 2
    assert own.event("typing") == [{}]
    assert own.event("all") == other.event("all") == [{}]
    assert not any("typing" in p for p in other.seen)
    # The same room's name in another tenant is another room.
    assert broadcast(stack, "typing", {}, "--room", room)["sockets"] == 0
    own.close()
    other.close()


@pytest.mark.parametrize("n", [1, 64, 65])
def test_to_a_room_of_few_and_of_many(stack, two, n):
    """A few are told at once, many by and by: each of them once, and nobody else."""
    (name, _), _ = two
    id, room = tenant_id(stack, name), unique("department:x")
    crowd = Crowd(stack, id, ["in"] * n, departments=[room.removeprefix("department:")])
    others = Crowd(stack, id, ["out"] * 3)
    try:
        assert json.loads(cast(crowd.p, '"few",1', id, room).json) == {"sockets": n, "skipped": 0}
        assert json.loads(cast(crowd.p, '"all",2', id).json)["sockets"] == n + 3
        for crew, events in ((crowd, ["few", "all"]), (others, ["all"])):
            for sid in crew.sids:
                packets = crew.p.poll(sid)
                assert [json.loads(p[2:])[0] for p in packets if p[:2] == "42"] == events
    finally:
        crowd.leave()
        others.leave()
    assert json.loads(cast(wire.Process(str(stack.dir / "run/poller.sock")), '"few",1', id,
                           room).json) == {"sockets": 0, "skipped": 0}


def test_recovery_goes_on_as_if_it_had_not_been(stack, two, db):
    """The offset that comes with it is one to go on from, and loses and doubles nothing."""
    (name, mine), _ = two
    c = connect(stack, mine)
    broadcast(stack, "news", {}, "--tenant", name)
    c.event("news")
    assert c.offset and c.pid
    with db.cursor() as cursor:
        cursor.execute("INSERT INTO ws_events (topic, event_type, payload, tenant_id) "
                       "VALUES ('websites', 'update', '{\"id\":1}', %s)", (tenant_id(stack, name),))
    again, _, is_recovered = c.recover({"token": mine.token})
    assert is_recovered
    assert again.event("websites:update")[0]["data"] == {"id": 1}
    broadcast(stack, "last", {}, "--tenant", name)
    again.event("last")
    assert not any("news" in p or "websites:update" in p for p in again.seen)
    again.close()


def test_who_does_not_fetch_keeps_little_and_loses_nothing(stack, two):
    """Past two hundred it is skipped, and its connection lives."""
    (name, _), _ = two
    id = tenant_id(stack, name)
    crowd = Crowd(stack, id, ["idle"])
    p, sid = crowd.p, crowd.sids[0]
    try:
        assert p.poll(sid)[0].startswith("40")
        answers = [json.loads(cast(p, f'"tick",{i}', id).json) for i in range(230)]
        assert [a["sockets"] for a in answers].count(1) == 200
        assert [a["skipped"] for a in answers].count(1) == 30
        packets = p.poll(sid)
        ticks = [json.loads(x[2:])[1] for x in packets if x.startswith('42["tick"')]
        assert ticks == list(range(200))
        assert json.loads(cast(p, '"tick",-1', id).json) == {"sockets": 1, "skipped": 0}
        assert '42["tick",-1' in p.poll(sid)[0]
    finally:
        crowd.leave()


def test_all_but_one(stack, two):
    (name, mine), _ = two
    id = tenant_id(stack, name)
    p = wire.Process(str(stack.dir / "run/poller.sock"))
    c = Client(stack.url)
    sid = c.connect({"token": mine.token})[1]["sid"]
    other = connect(stack, mine)
    room = f"user:{mine.user['id']}"
    assert json.loads(cast(p, '"typing",{}', id, room, sid).json)["sockets"] == 1
    assert json.loads(cast(p, '"all",{}', id).json)["sockets"] == 2
    assert other.event("typing") == [{}]
    c.event("all")
    assert not any("typing" in x for x in c.seen)
    # Without a ticket there is no answer, and it goes all the same.
    p.send(wire.CAST, struct.pack("<QI", 0, id) + wire.text("") + wire.text("")
           + wire.blob('"quiet",{}'))
    assert c.event("quiet") == [{}]
    p.close()
    c.close()
    other.close()


@pytest.mark.parametrize("args, field", [
    ('"connect",{}', "event"), ('"disconnect",{}', "event"), ('"",{}', "event"),
    ('7,{}', "event"), ('"a\\u0007b",{}', "event"), ('"' + "x" * 65 + '",{}', "event"),
    ('"news"', "data"), ('"news",{', "data"), ('"news",1,2', "data"), ('"news","\\ud800"', "data"),
    ('"news","' + "x" * 65536 + '"', "data"), ('],["news",{}', "data")])
def test_what_no_client_may_be_sent(stack, two, args, field):
    (name, mine), _ = two
    p = wire.Process(str(stack.dir / "run/poller.sock"))
    got = cast(p, args, tenant_id(stack, name))
    assert got.what == wire.ANSWER_BAD
    assert [d["field"] for d in json.loads(got.json)] == [field]
    p.close()


def test_a_process_has_to_name_a_tenant_and_a_room(stack):
    p = wire.Process(str(stack.dir / "run/poller.sock"))
    assert cast(p, '"news",{}', 0).what == wire.ANSWER_FORBIDDEN
    got = cast(p, '"news",{}', 1, room="a\nb")
    assert got.what == wire.ANSWER_BAD and json.loads(got.json)[0]["field"] == "room"
    p.close()


def test_what_cmdbctl_refuses(stack):
    def fails(status, *args):
        done = stack.ctl("broadcast", *args, check=False)
        assert done.returncode == status, done
        return done.stderr

    assert "--event" in fails(USAGE, "--data", "{}")
    assert "--data must have" in fails(USAGE, "--event", "a", "--data", '"' + "x" * 65536 + '"')
    assert "--event cannot be one" in fails(USAGE, "--event", "connect", "--data", "{}")
    assert "--data must be JSON" in fails(USAGE, "--event", "a", "--data", "{")
    assert "--room" in fails(USAGE, "--event", "a", "--data", "1", "--room", "")
    assert "nobody" in fails(NOT_FOUND, "--event", "a", "--data", "1", "--tenant", "nobody")
    away = ("--set", "poller.socket=/nonexistent/poller.sock")
    assert "no poller" in fails(UNREACHABLE, "--event", "a", "--data", "1", *away)


# ---- POST /ws/broadcast ----

@pytest.mark.parametrize("path", ["/ws/broadcast", "/api/ws/broadcast"])
def test_over_http(stack, two, db, path):
    (name, mine), (_, others) = two
    c, stranger = connect(stack, mine), connect(stack, others)
    reply = mine.post(path, {"event": "news", "data": {"n": 1.50, "a": None}})
    assert reply.status == 200 and reply.data == {"sockets": 1, "skipped": 0}
    assert c.event("news") == [{"n": 1.5, "a": None}]
    for data in (None, "", [], 7):
        assert mine.post(path, {"event": "plain", "data": data, "room": None}).data["sockets"] == 1
        assert c.event("plain") == [data]
    room = f"user:{mine.user['id']}"
    assert mine.post(path, {"event": "own", "data": 1, "room": room}).data["sockets"] == 1
    assert others.post(path, {"event": "own", "data": 2, "room": room}).data["sockets"] == 0
    assert others.post(path, {"event": "all", "data": 3}).data["sockets"] == 1
    assert stranger.event("all") == [3], "and nothing of the other tenant before it"
    assert c.event("own") == [1]
    with db.cursor() as cursor:
        cursor.execute("SELECT subject, action, target FROM audit_log WHERE tenant_id = %s AND "
                       "target LIKE 'own%%'", (tenant_id(stack, name),))
        assert cursor.fetchall() == ((f"user:{mine.user['username']}", f"POST {path}",
                                      f"own to {room}"),)
    c.close()
    stranger.close()


def test_over_http_it_is_sent_once_a_key(stack, two):
    (_, mine), _ = two
    c = connect(stack, mine)
    key, body = {"Idempotency-Key": unique("key")}, {"event": "news", "data": 1}
    assert mine.post("/ws/broadcast", body, headers=key).data == {"sockets": 1, "skipped": 0}
    again = mine.post("/ws/broadcast", body, headers=key)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.data == {"sockets": None, "skipped": None}
    assert mine.post("/ws/broadcast", {**body, "data": 2}, headers=key).status == 409
    mine.post("/ws/broadcast", {"event": "last", "data": 0})
    assert c.event("news") == [1] and c.event("last") == [0]
    assert not any("news" in p for p in c.seen)
    c.close()


@pytest.mark.parametrize("body, fields", [
    ({}, {"event", "data"}), ({"event": "connect", "data": 1}, {"event"}),
    ({"event": 7, "data": 1}, {"event"}), ({"event": "a"}, {"data"}),
    ({"event": "a", "data": "x" * 65536}, {"data"}),
    ({"event": "a", "data": 1, "room": ""}, {"room"}),
    ({"event": "a", "data": 1, "room": 7}, {"room"}),
    ({"event": "a", "data": 1, "tenant": 2}, {"tenant"})])
def test_over_http_bad_fields(stack, two, body, fields):
    (_, mine), _ = two
    reply = mine.post("/ws/broadcast", body)
    assert reply.status == 422 and {d["field"] for d in reply.error["details"]} == fields


def test_over_http_who_may(stack, api):
    body = {"event": "a", "data": 1}
    assert api.post("/ws/broadcast", body).status == 401
    assert stack.user(roles=("viewer",)).post("/ws/broadcast", body).status == 403
    assert api.get("/ws/broadcast").status == 405


def test_over_http_as_a_cgi_program(stack, two):
    (_, mine), _ = two
    c = connect(stack, mine)
    status, got = answer(cgi(stack, mine, "POST", "/ws/broadcast",
                             body=b'{"event":"news","data":{}}'))
    assert status == 200 and got["data"] == {"sockets": 1, "skipped": 0}
    assert c.event("news") == [{}]
    c.close()


def test_over_http_without_a_poller(own_stack):
    """What a poller went away over is not sent by the next one: it may have been."""
    stack = own_stack()
    admin = stack.admin()
    body = {"event": "news", "data": {}}
    poller = stack.pid("poller")
    os.kill(poller, signal.SIGSTOP)
    try:
        reply = admin.post("/ws/broadcast", body)
        assert reply.status == 503 and "not known" in reply.error["message"]
    finally:
        os.kill(poller, signal.SIGCONT)
    stack.kill("poller")
    assert wait_until(lambda: admin.post("/ws/broadcast", body).status == 200)
