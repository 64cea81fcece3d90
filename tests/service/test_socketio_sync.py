"""Socket.IO clients and the event log: what request:<topic> brings, that nothing is missing or
doubled, and connection state recovery as the stock client drives it."""
import json
import os
import pathlib
import signal

import pytest

from conftest import unique, wait_until
from sio import Client

TOPICS = ["websites", "line-groups", "origin-groups", "origin-sets", "cache-rules", "domains",
          "nodes"]


def insert(db, topic="websites", room="", tenant=1, name="", **data):
    with db.cursor() as c:
        c.execute("INSERT INTO ws_events (topic, event_type, payload, room, tenant_id, name) "
                  "VALUES (%s, 'update', %s, %s, %s, %s)",
                  (topic, json.dumps(data), room, tenant, name))
        return c.lastrowid


def connect(stack, token):
    c = Client(stack.url)
    assert c.connect({"token": token})[0] == "0"
    c.event("connected")
    return c


@pytest.fixture
def client(stack, admin):
    c = connect(stack, admin.token)
    yield c
    c.close()


def update(c):
    return c.event("websites:update")[0]


def initial(c, topic="websites", *args):
    events, ack = c.ask(topic, *args)
    assert events[-1][0] == f"{topic}:initial"
    assert ack == {"ok": True, "lastEventId": events[-1][1]["lastEventId"]}
    return events[-1][1]


# ---- request:<topic> ----

@pytest.mark.parametrize("topic", TOPICS)
def test_initial(client, admin, topic):
    got = initial(client, topic)
    listed = admin.get(f"/api/v1/{topic}?page_size=200&sort=id").data
    assert set(got) == {"items", "total", "version", "lastEventId"}
    assert got["total"] == listed["total"] == len(got["items"])
    assert got["items"][:200] == listed["items"]


def test_rest_and_sql_changes_arrive_live(stack, client, admin, db):
    first = initial(client)
    site = admin.post("/api/v1/websites/create", {
        "domains": [f"{unique()}.example"], "origin_mode": "redirect",
        "redirect_url": "https://example.org/"}).data
    added = update(client)
    assert (added["type"], added["data"]) == ("add", site) and added["eventId"] > first["lastEventId"]
    assert client.offset.endswith(f":{added['eventId']}")
    admin.post("/api/v1/websites/update", {"id": site["id"], "status": "inactive"})
    assert update(client)["data"]["status"] == "inactive"
    assert initial(client)["version"] == initial(client)["version"] > first["version"]
    one = insert(db, id=1)
    assert update(client) == {"eventId": one, "type": "update", "data": {"id": 1}}
    insert(db, "console", name="greeting", room=f"user:{admin.user['id']}", text="hello")
    assert client.event("greeting") == [{"text": "hello"}]
    admin.post("/api/v1/websites/delete", {"ids": [site["id"]]})
    gone = update(client)
    assert (gone["type"], gone["data"]) == ("delete", {"id": site["id"]})


def test_only_ones_own_tenant(stack, db):
    user = stack.user(stack.tenant())
    c = connect(stack, user.token)
    assert initial(c)["items"] == []
    insert(db, id=1)
    one = insert(db, tenant=user.user["tenant_id"], id=2)
    assert update(c)["eventId"] == one
    events, ack = c.ask("websites", {"lastEventId": one - 1})
    assert events == [("websites:update", {"eventId": one, "type": "update", "data": {"id": 2}})]


def test_missed_events(stack, client, admin, db):
    since = insert(db, room="ticket:77")  # whoever comes with 0 is given the list
    ids = [insert(db, n=n) for n in range(3)]
    insert(db, "nodes", n=4)
    insert(db, room="ticket:77", n=5)
    mine = insert(db, room=f"user:{admin.user['id']}", n=6)
    wait_until(lambda: admin.tail() >= mine)
    expected = [("websites:update", {"eventId": i, "type": "update", "data": {"n": n}})
                for i, n in zip(ids + [mine], (0, 1, 2, 6))]
    epoch = client.offset.partition(":")[0]
    for args in ({"lastEventId": since}, {"lastEventId": str(since)},
                 {"lastEventId": since, "epoch": epoch}):
        other = connect(stack, admin.token)
        events, ack = other.ask("websites", args)
        assert events == expected and ack["lastEventId"] >= mine
        # Nothing since: nothing comes, and what is live goes on.
        assert other.ask("websites", {"lastEventId": ack["lastEventId"]})[0] == []
        other.close()
    ids += [mine, insert(db, n=7)]
    assert [update(client)["eventId"] for _ in ids] == ids


@pytest.mark.parametrize("args", [
    {}, {"lastEventId": 0}, {"lastEventId": None}, {"lastEventId": "0"}, {"lastEventId": 2 ** 62},
    {"lastEventId": 1, "epoch": "other"}])
def test_snapshot_instead(client, args):
    assert "items" in initial(client, "websites", args)


def test_too_many_or_pruned_events_bring_a_snapshot(own_stack):
    stack = own_stack()
    admin = stack.admin()
    c = connect(stack, admin.token)
    with stack.connect() as db:
        first = insert(db, n=0)
        with db.cursor() as cur:
            cur.execute("INSERT INTO ws_events (topic, event_type, payload) "
                        "SELECT 'websites', 'update', '{}' FROM seq_1_to_500")
    wait_until(lambda: admin.tail() >= first + 500)
    assert len(c.ask("websites", {"lastEventId": first})[0]) == 500
    assert "items" in initial(c, "websites", {"lastEventId": first - 1})
    wait_until(lambda: stack.has_noted(first + 500))
    stack.ctl("events", "prune", "--rows", "3")
    wait_until(lambda: stack.status()["floor"] > first)
    assert "items" in initial(c, "websites", {"lastEventId": first + 10})


def test_connect_and_request_in_one_post_miss_nothing(stack, admin, db):
    """What is committed while a POST is worked on is neither missed nor doubled."""
    c = Client(stack.url)
    since = admin.tail()
    ids = [insert(db, n=n) for n in range(20)]
    c.post("40" + json.dumps({"token": admin.token}),
           '421["request:websites",' + json.dumps({"lastEventId": since}) + ']')
    ids += [insert(db, n=n) for n in range(20)]
    c.pid = "known"
    got = []
    while not got or got[-1] < ids[-1]:
        got.append(update(c)["eventId"])
    assert got == ids
    c.close()


# ---- connection state recovery ----

def test_recovery_without_any_event_before_the_drop(stack, admin, db):
    c = connect(stack, admin.token)
    c.offset = None
    missed = [insert(db, n=n) for n in range(3)]
    other, got, is_recovered = c.recover({"token": admin.token})
    assert is_recovered
    assert [update(other)["eventId"] for _ in missed] == missed
    other.close()


def test_recovery_twice_in_a_row(stack, admin, db):
    c = connect(stack, admin.token)
    first = insert(db, n=1)
    assert update(c)["eventId"] == first
    sids = set()
    for _ in range(2):
        missed = insert(db, n=2)
        c, got, is_recovered = c.recover({"token": admin.token})
        assert is_recovered
        sids.add(got["sid"])
        assert update(c)["eventId"] == missed
    assert len(sids) == 1
    c.close()


def test_somebody_elses_pid_is_unknown(stack, admin, viewer, db):
    c = connect(stack, admin.token)
    other = Client(stack.url)
    kind, got = other.connect({"token": viewer.token, "pid": c.pid, "offset": c.offset})
    assert kind == "0" and got["pid"] != c.pid
    assert other.event("connected") == [{"ok": True}]
    one = insert(db, n=1)
    assert update(c)["eventId"] == one
    for pid in ("", "x", 7, None, {}, "x" * 300):
        fresh = Client(stack.url)
        assert fresh.connect({"token": viewer.token, "pid": pid})[0] == "0"


def test_recovery_needs_a_good_token(stack, admin):
    c = connect(stack, admin.token)
    other = Client(stack.url)
    assert other.connect({"token": "bad", "pid": c.pid, "offset": c.offset})[0] == "4"


def test_too_far_behind(own_stack):
    """Not recovered: what was asked for before comes as a snapshot, unasked."""
    stack = own_stack("socketio.max_replay=10")
    admin = stack.admin()
    c = connect(stack, admin.token)
    initial(c)
    initial(c, "nodes")
    with stack.connect() as db:
        last = [insert(db, n=n) for n in range(12)][-1]
    wait_until(lambda: admin.tail() >= last)
    other, got, is_recovered = c.recover({"token": admin.token})
    assert not is_recovered and got["sid"] and got["pid"] != c.pid
    other.event("connected")
    assert other.event("websites:initial")[0]["lastEventId"] >= last
    assert other.event("nodes:initial")[0]["items"] is not None
    other.close()


def test_offset_of_another_log_or_beyond_the_end(stack, admin, db):
    c = connect(stack, admin.token)
    epoch, _, last = c.offset.partition(":")
    beyond = f"{epoch}:{int(last) + 10 ** 9}"
    for offset, recovers in (("other:5", True), ("x", True), (7, True), (beyond, False)):
        missed = insert(db, n=1)
        c, _, is_recovered = c.recover({"token": admin.token}, offset=offset)
        assert is_recovered is recovers
        while recovers and update(c)["eventId"] != missed:
            pass
    c.close()


def test_recovery_on_another_host(own_stack):
    """All that is known of the old connection is its row in the table."""
    stack = own_stack()
    admin = stack.admin()
    c = connect(stack, admin.token)
    initial(c)
    with stack.connect() as db, db.cursor() as cur:
        def is_written():
            cur.execute("SELECT COUNT(*) FROM ws_sessions WHERE topics = 'websites'")
            return cur.fetchone()[0]
        wait_until(is_written, 10, "the session is written behind")
        os.kill(stack.pid("poller"), signal.SIGSTOP)
        cur.execute("UPDATE ws_sessions SET node_id = 999")
        pathlib.Path(stack.env["CMDB_POLLER_SOCKET"] + ".sessions").unlink()
        stack.kill("poller")
        one = insert(db, n=1)
    wait_until(lambda: (stack.status() or {}).get("ready"), 20)
    other, got, is_recovered = c.recover({"token": admin.token})
    assert is_recovered and update(other)["eventId"] == one
    nobody = Client(stack.url)
    assert nobody.connect({"token": stack.viewer().token, "pid": c.pid})[1]["pid"] != c.pid
