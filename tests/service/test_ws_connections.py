"""GET /ws/connections: who is connected, for those who may know it, of their own tenant alone."""
import json
import os
import re
import signal
import struct
import threading
import urllib.parse

import pytest

import wire
from conftest import unique, wait_until
from sio import Client
from test_events import answer, cgi

PATHS = ["/ws/connections", "/api/ws/connections"]


def tenant_id(stack, name):
    return next(t["id"] for t in stack.ctl("tenant", "list", "--json") if t["name"] == name)


class Crowd:
    """Sessions of one tenant, made by a process of this test's own."""

    def __init__(self, stack, tenant, names, address="192.0.2.1", departments=()):
        self.p = wire.Process(str(stack.dir / "run/poller.sock"))
        self.sids = [unique("crowd") for _ in names]
        for i, (sid, name) in enumerate(zip(self.sids, names)):
            assert self.p.open(sid, address=address).what == wire.OK
            who = wire.caller(user=1000 + i, tenant=tenant, name=name)
            may = wire.rights(departments=departments)
            done = self.p.apply(sid, wire.connect(sid=f"s-{sid}", pid=f"p-{sid}", who=who, may=may))
            assert done.what == wire.OK

    def leave(self):
        for sid in self.sids:
            self.p.apply(sid, wire.CLOSE)
        self.p.close()


@pytest.fixture
def tenant(stack):
    """A tenant of its own with an administrator, and its id."""
    name = stack.tenant()
    return stack.user(name), tenant_id(stack, name)


def connections(api, path=PATHS[0], **query):
    reply = api.get(path + "?" + urllib.parse.urlencode(query))
    assert reply.status == 200, reply
    return reply.data


def problems(api, **query):
    reply = api.get(PATHS[0] + "?" + urllib.parse.urlencode(query))
    assert reply.status == 422, reply
    assert reply.error["code"] == "validation_failed"
    return {d["field"]: d["problem"] for d in reply.error["details"]}


@pytest.mark.parametrize("path", PATHS)
def test_a_connection_is_told(stack, tenant, path):
    api, id = tenant
    c = Client(stack.url)
    sid = c.connect({"token": api.token})[1]["sid"]
    c.event("connected")
    c.ask("websites")
    got = connections(api, path)
    one, = got.pop("items")
    assert got == dict(total=1, page=1, page_size=20)
    assert set(one) == {"id", "node", "user", "tenant", "ip", "connectedAt", "state",
                        "namespaces", "subscription", "messageCount", "messagesSent", "messagesReceived", "lag"}
    assert one["user"] == {"id": api.user["id"], "username": api.user["username"]}
    assert one["node"] == stack.status()["node_id"]
    assert one["tenant"] == id and one["ip"] == "127.0.0.1" and one["state"] == "joined"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", one["connectedAt"])
    assert one["namespaces"] == [{"name": "/", "socket": sid}]
    assert one["subscription"] == {"topics": ["websites"], "rooms": [], "views": []}
    assert one["messagesReceived"] == 1 and one["messagesSent"] >= 2
    assert one["messageCount"] == one["messagesReceived"] + one["messagesSent"]
    assert one["lag"] == 0
    assert api.get(path, headers={"Authorization": None}).status == 401
    assert stack.user(roles=("viewer",)).get(path).status == 403
    head = api.request("HEAD", path)
    assert head.status == 200 and head.body == b""
    c.close()
    wait_until(lambda: connections(api)["total"] == 0)


def test_nothing_of_another_tenant_is_told(stack, admin, tenant, db):
    """Neither its connections nor their number, nor in the lag how much happens there."""
    api, id = tenant
    crowd = Crowd(stack, id, ["own"])
    others = Crowd(stack, 1, ["other", "other"])
    try:
        assert [c["user"]["username"] for c in connections(api)["items"]] == ["own"]
        assert connections(api)["total"] == 1
        for query in ({"user": "other"}, {"tenant": "1"}, {"tenant_id": "1"}):
            reply = api.get(PATHS[0] + "?" + urllib.parse.urlencode(query))
            assert reply.status == 422 or reply.data["total"] == 0
        with db.cursor() as c:
            for t in [1] * 5 + [id] * 2:
                c.execute("INSERT INTO ws_events (topic, event_type, payload, tenant_id) "
                          "VALUES ('websites', 'update', '{}', %s)", (t,))
            last = c.lastrowid
        wait_until(lambda: stack.status()["tail"] >= last)
        assert connections(api)["items"][0]["lag"] == 2
        assert connections(api, min_lag=2)["total"] == 1
        assert connections(api, min_lag=3)["total"] == 0
        mine = connections(admin, user="other")
        assert mine["total"] == 2 and {c["tenant"] for c in mine["items"]} == {1}
        # Whatever is asked: the tenant comes with the question, and a process has to name one.
        for question, about, args, what in (
                ("connections", 0, "{}", wire.ANSWER_FORBIDDEN),
                ("status", 1, "{}", wire.ANSWER_FORBIDDEN),
                ("nothing", 1, "{}", wire.ANSWER_UNKNOWN),
                ("connections", 1, "[]", wire.ANSWER_BAD), ("connections", 1, "", wire.ANSWER_OK)):
            t = others.p.ask(wire.ASK, wire.text(question) + struct.pack("<I", about)
                             + wire.blob(args))
            assert others.p.answer(t).what == what, (question, about, args)
    finally:
        crowd.leave()
        others.leave()


def test_pages_and_orders_of_two_hundred(stack, tenant):
    api, id = tenant
    names = [f"u{i % 50:03}" for i in range(200)]
    crowd = Crowd(stack, id, names[:150])
    more = Crowd(stack, id, names[150:], address="192.0.2.2")
    try:
        whole = connections(api, page_size=200)
        assert whole["total"] == 200 and len({c["id"] for c in whole["items"]}) == 200
        at = [c["connectedAt"] for c in whole["items"]]
        assert at == sorted(at)
        for sort in ("connectedAt", "-connectedAt", "user", "-user", "lag", "-lag",
                     "messageCount", "-messageCount"):
            once = connections(api, sort=sort, page_size=200)["items"]
            paged = [c for page in range(1, 8)
                     for c in connections(api, sort=sort, page_size=30, page=page)["items"]]
            assert [c["id"] for c in paged] == [c["id"] for c in once], sort
            field = sort.lstrip("-")
            keys = [c["user"]["username"] if field == "user" else c[field] for c in once]
            assert keys == sorted(keys, reverse=sort.startswith("-")), sort
        beyond = connections(api, page=9, page_size=30)
        assert beyond["items"] == [] and beyond["total"] == 200
        assert connections(api, ip="192.0.2.2")["total"] == 50
        assert connections(api, ip="192.0.2.2", user="u000")["total"] == 1
        by_id = connections(api, user="1007")
        assert by_id["total"] == 2 and {c["user"]["id"] for c in by_id["items"]} == {1007}
        assert connections(api, id=whole["items"][7]["id"])["items"][0] == whole["items"][7]
        assert connections(api, state="joined")["total"] == 200
        assert connections(api, state="open")["total"] == 0
        assert connections(api, node=whole["items"][0]["node"])["total"] == 200
        assert connections(api, node=4711)["total"] == 0
        assert connections(api, user="nobody") == dict(items=[], total=0, page=1, page_size=20)
    finally:
        crowd.leave()
        more.leave()


def test_bad_parameters(tenant):
    api, _ = tenant
    assert problems(api, page="0", page_size="201", min_lag="-1", sort="name", user="", x="1",
                    state="gone", node="0", topic="") == {
        "state": "must be open or joined", "node": "must be an integer from 1 to 65535",
        "topic": "must not be empty",
        "page": "must be an integer from 1 to 1000000",
        "page_size": "must be an integer from 1 to 200",
        "min_lag": "must be an integer from 0 to 18446744073709551615",
        "sort": "must be one of connectedAt, lag, messageCount, user, each also with - before it",
        "user": "must not be empty", "x": "unknown parameter"}
    assert api.get(PATHS[0] + "?user=%ff").status == 400
    assert api.post(PATHS[0]).status == 405


def join(stack, api):
    c = Client(stack.url)
    assert c.connect({"token": api.token})[0] == "0"
    c.event("connected")
    return c


def only(api):
    one, = connections(api)["items"]
    return one


def test_by_what_it_has_asked_for(stack, tenant):
    api, _ = tenant
    asked, other = join(stack, api), join(stack, api)
    asked.ask("websites")
    other.ask("nodes")
    assert connections(api, topic="websites")["items"][0]["subscription"]["topics"] == ["websites"]
    assert [connections(api, topic=t)["total"] for t in ("websites", "nodes", "domains")] == [1, 1, 0]
    asked.close()
    other.close()


@pytest.mark.parametrize("path", PATHS)
def test_one_by_its_id(stack, tenant, path):
    api, _ = tenant
    c = join(stack, api)
    one = only(api)
    assert api.get(f"{path}/{one['id']}").data == {**one, "messageCount": one["messageCount"]}
    assert api.get(f"{path}/0123456789abcdef01").status == 404
    assert api.get(f"{path}/{one['id']}", headers={"Authorization": None}).status == 401
    assert stack.user(roles=("viewer",)).get(f"{path}/{one['id']}").status == 403
    assert stack.admin().get(f"{path}/{one['id']}").status == 404, "it is another tenant's"
    assert api.get(f"{path}/{one['id']}?page=1").status == 422
    c.close()


def audited(stack, tenant, action):
    with stack.connect() as db, db.cursor() as c:
        c.execute("SELECT subject, target FROM audit_log WHERE tenant_id = %s AND action = %s",
                  (tenant, action))
        return list(c.fetchall())


@pytest.mark.parametrize("path", PATHS)
def test_one_is_thrown_out_and_told_why(stack, tenant, path):
    api, id = tenant
    c, stays = join(stack, api), join(stack, api)
    victim, _ = sorted(connections(api)["items"], key=lambda i: i["connectedAt"])
    held = c.hold()
    key = {"Idempotency-Key": unique("key")}
    gone = api.request("DELETE", f"{path}/{victim['id']}", headers=key)
    assert gone.data == {"id": victim["id"], "node": victim["node"]}
    packets = held.result()
    error = json.loads(packets[0][2:])
    assert error[0] == "error" and error[1]["code"] == "disconnected" and packets[1] == "41"
    assert c.poll() in (["1"], ["6", "1"])
    assert only(api)["id"] != victim["id"]
    assert audited(stack, id, f"DELETE {path}/{{connection}}") == [
        (f"user:{api.user['username']}", f"connections/{victim['id']}")]
    again = api.request("DELETE", f"{path}/{victim['id']}", headers=key)
    assert again.data == gone.data and again.headers["Idempotency-Replayed"] == "true"
    assert api.request("DELETE", f"{path}/{victim['id']}").status == 404
    # Whoever was thrown out on purpose does not go on where it was.
    assert not c.recover({"token": api.token})[2]
    stays.emit("ping")
    stays.close()


def test_nobody_throws_out_another_tenants(stack, admin, tenant):
    api, _ = tenant
    c = join(stack, api)
    one = only(api)
    assert admin.request("DELETE", f"/ws/connections/{one['id']}").status == 404
    assert stack.user(roles=("viewer",)).request(
        "DELETE", f"/ws/connections/{one['id']}").status == 403
    assert only(api)["id"] == one["id"]
    c.close()


def test_one_without_a_namespace_is_thrown_out_too(stack, tenant):
    api, _ = tenant
    c = Client(stack.url, headers={"Authorization": f"Bearer {api.token}"})
    held = c.hold()
    one = only(api)
    assert one["state"] == "open" and one["namespaces"] == []
    assert api.request("DELETE", f"/ws/connections/{one['id']}").status == 200
    assert held.result()[-1] == "1"
    assert connections(api)["total"] == 0


def test_a_connection_of_two_tenants_loses_the_sockets_of_one(stack, tenant):
    api, id = tenant
    p = wire.Process(str(stack.dir / "run/poller.sock"))
    sid = unique("both")
    p.open(sid)
    for nsp, who in (("/", wire.caller(user=1, tenant=id, name="own")),
                     ("/admin", wire.caller(user=2, tenant=1, name="other"))):
        assert p.apply(sid, wire.connect(nsp=nsp, sid=nsp + sid, pid="p" + sid if nsp == "/" else "",
                                         who=who)).what == wire.OK
    p.poll(sid, tag=1)
    assert api.request("DELETE", f"/ws/connections/{only(api)['id']}").status == 200
    got = p.poll(sid, tag=2)
    assert got[0].startswith('42["error",{"code":"disconnected"') and got[1:] == ["41"]
    assert connections(api)["total"] == 0
    p.apply(sid, wire.CLOSE)
    p.close()


@pytest.mark.parametrize("path", ["/ws/stats", "/api/ws/stats"])
def test_figures_of_the_tenant(stack, tenant, path):
    api, id = tenant
    others = Crowd(stack, 1, ["other"] * 2)
    crowd = Crowd(stack, id, ["ada", "ben", "ada"])
    c = join(stack, api)
    try:
        got = api.get(path).data
        assert got["total"] == 4 and got["byState"] == {"open": 0, "joined": 4}
        assert got["byUser"] == {"ada": 2, "ben": 1, api.user["username"]: 1} and got["users"] == 3
        assert list(got["byUser"])[0] == "ada"
        assert got["node"] == stack.status()["node_id"] and got["anonymous"] == 0
        assert got["averageUptime"] > 0 and got["messagesSent"] >= 1
        assert got["pushSuccessRate"] == 1
        assert api.get(path + "?x=1").status == 422
        assert stack.user(roles=("viewer",)).get(path).status == 403
    finally:
        crowd.leave()
        others.leave()
        c.close()


def test_what_had_to_be_sent_again_is_no_success(stack, tenant, db):
    api, id = tenant
    p = wire.Process(str(stack.dir / "run/poller.sock"))
    sid = unique("again")
    p.open(sid)
    who = wire.caller(tenant=id, name="own")
    assert p.apply(sid, wire.connect(sid="s" + sid, pid="p" + sid, who=who)).what == wire.OK
    p.poll(sid, tag=1)
    for i in range(2):
        assert p.apply(sid, wire.emit(f'"n{i}",{{}}')).what == wire.OK
        assert len(p.poll(sid, tag=2 + i)) == 1
    assert api.get("/ws/stats").data["pushSuccessRate"] == 1
    assert '42["n1",{}' in p.poll(sid, tag=3, again=True)[0]
    assert api.get("/ws/stats").data["pushSuccessRate"] == 0.75
    p.apply(sid, wire.CLOSE)
    p.close()


def test_without_a_poller(own_stack):
    """Its requests wait for it a while, and are then told; meanwhile they keep no thread."""
    stack = own_stack("fcgi.workers=1")
    admin = stack.admin()
    poller = stack.pid("poller")
    os.kill(poller, signal.SIGSTOP)
    try:
        reply = admin.get(PATHS[0])
        assert reply.status == 503 and "cmdb-poller" in reply.error["message"]
        assert reply.headers["Retry-After"]
    finally:
        os.kill(poller, signal.SIGCONT)
    wait_until(lambda: admin.get(PATHS[0]).status == 200)
    stack.kill("poller")
    assert connections(admin)["total"] == 0, "the question waits for the next poller"


def test_as_a_cgi_program(stack, tenant):
    api, _ = tenant
    status, got = answer(cgi(stack, api, "GET", PATHS[0], "page_size=5"))
    assert status == 200 and got["data"] == dict(items=[], total=0, page=1, page_size=5)
    status, got = answer(cgi(stack, api, "GET", PATHS[0], "page_size=x"))
    assert status == 422 and got["error"]["details"][0]["field"] == "page_size"


def test_nobody_waits_for_a_question_about_many(own_stack):
    """It is answered a few sessions at a time, and others are answered between."""
    stack, n = own_stack("poller.max_clients=30000", "socketio.max_sessions=30000",
                         "socketio.max_per_address=0"), 20000
    p, other = (wire.Process(str(stack.dir / "run/poller.sock")) for _ in range(2))
    for i in range(n):
        p.ask(wire.OPEN, wire.text(f"s{i}") + wire.text("::1") + struct.pack("<H", 0)
              + wire.blob("") + wire.blob("{}"))
        who = wire.caller(user=i + 1, name=f"u{i % 977}")
        done = p.ask(wire.APPLY, wire.text(f"s{i}") + struct.pack("<QQB", 0, 0, 0)
                     + wire.blob(wire.connect(sid=f"k{i}", pid=f"p{i}", who=who)))
        if i % 500 == 499:
            assert p.answer(done).what == wire.OK
    ask = wire.blob('{"sort":"-user","page":"%d","page_size":"200"}' % (n // 200))
    asked = [p.ask(wire.ASK, wire.text("connections") + struct.pack("<I", 1) + ask)
             for _ in range(20)]
    got, between = [], 0
    reader = threading.Thread(target=lambda: got.extend(p.answer(t, 60) for t in asked))
    reader.start()
    while reader.is_alive():
        assert other.lookup("s1")
        between += 1
    for answered in map(json.loads, (a.json for a in got)):
        assert answered["total"] == n and len(answered["items"]) == 200
    assert len(got) == 20 and between > 20, "all at once would be a few"
    p.close()
    other.close()
