"""system:stats: the figures of a tenant, every few seconds, to who may see them, and nothing of
another tenant's in them."""
import pytest

import wire
from conftest import Stack, stack_home, unique, wait_until
from test_ws_connections import Crowd, connections, join, tenant_id


@pytest.fixture(scope="module")
def lively(tmp_path_factory):
    """A stack that publishes figures every second."""
    made = Stack(stack_home(), ["auth.argon2_memory_kib=1024", "auth.argon2_passes=1",
                                "socketio.list_wait_ms=200", "poller.stats_s=1"])
    made.up()
    yield made
    made.discard()


@pytest.fixture
def tenant(lively):
    name = lively.tenant()
    return lively.user(name), tenant_id(lively, name), name


def role(stack, *perms):
    name = unique("role")
    stack.ctl("role", "add", name, *perms)
    return name


def figures(c, want=lambda f: True, timeout=20):
    """The next figures that want() is true of."""
    for _ in range(30):
        got, = c.event("system:stats", timeout)
        if want(got):
            return got
    raise AssertionError(f"not in 30 figures; the last ones: {got}")


def counted(f, rate):
    """How many that were, of so many a second."""
    return round(rate * f["interval"])


def test_what_they_are(lively, tenant):
    api, _, _ = tenant
    c = join(lively, api)
    first, second = figures(c), figures(c)
    assert set(first) == {"timestamp", "interval", "node", "connections", "messagesPerSecond", "eventsPerSecond",
                          "logLinesPerSecond", "lag", "host"}
    assert first["timestamp"] < second["timestamp"]
    assert (first["connections"], first["node"]) == (1, lively.status()["node_id"])
    assert set(first["messagesPerSecond"]) == {"in", "out"}
    host = first["host"]
    assert len(host["load"]) == 3 and host["processors"] >= 1
    assert host["memory"]["total"] > host["memory"]["available"] > 0
    c.close()


def test_they_are_events_like_others(lively, tenant):
    api, id, _ = tenant
    c, since = join(lively, api), api.tail()
    event, = api.read_events(since, lambda got: len(got) >= 1, topics="stats")[:1]
    assert (event["topic"], event["type"], event["name"]) == ("stats", "update", "system:stats")
    assert event["data"]["connections"] == 1
    c.close()


def test_who_may_not_see_them_gets_none(lively, tenant):
    """And is not kept waiting for a list of what has none."""
    api, id, name = tenant
    only = lively.user(name, roles=(role(lively, "nodes:read"),))
    may = lively.user(name, roles=(role(lively, "system:read"),))
    c, d, seen = join(lively, only), join(lively, api), join(lively, may)
    figures(seen)
    figures(d, lambda f: f["connections"] == 3)
    with lively.connect() as db, db.cursor() as cursor:
        cursor.execute("INSERT INTO ws_events (topic, event_type, payload, tenant_id) VALUES "
                       "('nodes', 'update', '{\"id\":1}', %s)", (id,))
    c.event("nodes:update")
    assert not any("system:stats" in p for p in c.seen)
    assert only.get("/events?topics=stats&timeout=0").status == 403
    for x in (c, d, seen):
        x.close()


def test_a_tenants_figures_are_its_own(lively, tenant):
    """Whatever the other tenant does: connections, messages, events and lines of logs."""
    api, id, name = tenant
    quiet = join(lively, api)
    other_name = lively.tenant()
    other = lively.user(other_name)
    other_id = tenant_id(lively, other_name)
    loud = join(lively, other)
    crowd = Crowd(lively, other_id, ["x"] * 20)
    try:
        for c in (quiet, loud):
            figures(c)
        key = lively.key("logs:ingest", tenant=other_name)
        lines = [{"deviceId": "d1", "level": "INFO", "message": "m"}] * 200
        assert key.post("/api/logs", lines).status == 201
        for sid in crowd.sids:
            crowd.p.apply(sid, wire.emit('"x",{}'))
        for i in range(10):
            loud.emit("ping", ack=i)
        seen, total = [], {"lines": 0, "in": 0, "out": 0, "events": 0}
        while total["lines"] < 200 or total["in"] < 10 or total["out"] < 30:
            f = figures(loud)
            seen.append(f["timestamp"])
            assert len(seen) < 20, total
            total["lines"] += counted(f, f["logLinesPerSecond"])
            total["in"] += counted(f, f["messagesPerSecond"]["in"])
            total["out"] += counted(f, f["messagesPerSecond"]["out"])
            total["events"] += counted(f, f["eventsPerSecond"])
        assert f["connections"] == 21 and total["lines"] == 200 and total["events"] > 0
        for f in [figures(quiet) for _ in seen[:-1]]:
            assert f["connections"] == 1, f
            assert f["logLinesPerSecond"] == f["eventsPerSecond"] == 0, f
            assert f["messagesPerSecond"]["in"] == 0, f
            assert f["messagesPerSecond"]["out"] <= 3, "its own figures"
    finally:
        crowd.leave()
        quiet.close()
        loud.close()


def test_how_far_behind(lively, tenant):
    api, id, _ = tenant
    c = join(lively, api)
    late = Crowd(lively, id, ["late"])
    late.p.poll(late.sids[0], tag=1)
    with lively.connect() as db, db.cursor() as cursor:
        for _ in range(3):
            cursor.execute("INSERT INTO ws_events (topic, event_type, payload, tenant_id) VALUES "
                           "('nodes', 'update', '{}', %s)", (id,))
    behind = figures(c, lambda f: f["lag"]["events"] >= 3)
    older = figures(c, lambda f: f["lag"]["ms"] > behind["lag"]["ms"])
    assert older["lag"]["events"] >= 3
    late.leave()
    figures(c, lambda f: f["lag"] == {"events": 0, "ms": 0})
    c.close()


def test_messages_of_who_has_gone_count_too(lively, tenant):
    api, _, _ = tenant
    c, d = join(lively, api), join(lively, api)
    figures(c, lambda f: f["connections"] == 2)
    for i in range(6):
        d.emit("ping", ack=i)
    d.close()
    total = 0
    while total < 6:
        f = figures(c, lambda f: f["messagesPerSecond"]["in"])
        total += counted(f, f["messagesPerSecond"]["in"])
    assert total == 6
    assert connections(api)["total"] == 1
    c.close()


def test_nobody_connected_nothing_published(lively, db_of):
    name = lively.tenant()
    id = tenant_id(lively, name)
    api = lively.user(name)
    c = join(lively, api)
    figures(c)
    c.close()
    wait_until(lambda: connections(api)["total"] == 0)

    def rows():
        with db_of.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM ws_events WHERE topic = 'stats' AND tenant_id = %s",
                           (id,))
            return cursor.fetchone()[0]

    watcher = join(lively, lively.admin())
    figures(watcher)
    figures(watcher)
    n = rows()
    for _ in range(3):
        figures(watcher)
    assert rows() == n
    watcher.close()


@pytest.fixture
def db_of(lively):
    connection = lively.connect()
    yield connection
    connection.close()

