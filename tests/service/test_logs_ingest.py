"""POST /api/logs: what is taken, how it is stored and told, and what is refused whole."""
import concurrent.futures
import gzip
import json
import re
import threading

import pytest

from conftest import unique, wait_until

MESSAGE_MAX = 65536
NDJSON = {"Content-Type": "application/x-ndjson"}
FULL = {"deviceId": "edge-7.rack@fra:1+a~b_c", "timestamp": "2026-11-22T21:05:00.1239+01:30", "level": "warn",
        "message": "Temperatur 71 °C – \"heiß\"\n", "tags": ["climate", "räck", "climate"], "source": "sensord",
        "meta": {"celsius": 71.50, "big": 9007199254740993, "deep": {"a": [1, None]}}}


@pytest.fixture(scope="module")
def home(stack):
    """A tenant that only this module uses: (its API key client for posting, an admin of it, its id)."""
    tenant = stack.tenant()
    with stack.connect() as db, db.cursor() as c:
        c.execute("SELECT id FROM tenants WHERE name = %s", tenant)
        tenant_id = c.fetchone()[0]
    return stack.key("logs:ingest", tenant=tenant), stack.user(tenant), tenant_id


@pytest.fixture
def key(home):
    client = home[0].clone()
    yield client
    client.close()


@pytest.fixture
def rows(db, home):
    """rows(*ids): what the table has of them, and of the tenant when none are given."""
    def read(*ids):
        with db.cursor() as c:
            c.execute("SELECT id, device_id, level, logged_at, received_at, message, tags, source, meta FROM logs "
                      "WHERE tenant_id = %s ORDER BY id", home[2])
            return [r for r in c.fetchall() if not ids or r[0] in ids]
    return read


def entry(**changes):
    return {"deviceId": "dev-1", "level": "INFO", "message": "hello", **changes}


def post(client, body, **headers):
    reply = client.post("/api/logs", body, headers=headers)
    assert reply.status == 201, reply
    assert reply.data["count"] == len(reply.data["ids"]), reply
    return reply.data["ids"]


def events(db, tenant_id, topic="logs", after=0):
    with db.cursor() as c:
        c.execute("SELECT id, name, payload FROM ws_events WHERE tenant_id = %s AND topic = %s AND id > %s ORDER BY id",
                  (tenant_id, topic, after))
        return [(i, name, json.loads(payload)) for i, name, payload in c.fetchall()]


def last_event(db):
    with db.cursor() as c:
        c.execute("SELECT COALESCE(MAX(id), 0) FROM ws_events")
        return c.fetchone()[0]


def test_an_entry_is_stored_published_and_counted(key, rows, db, home):
    before = last_event(db)
    device = FULL["deviceId"]
    [id] = post(key, FULL)
    [(_, dev, level, logged, received, message, tags, source, meta)] = rows(id)
    assert (dev, level, message, source) == (device, 3, FULL["message"], "sensord")
    assert str(logged) == "2026-11-22 19:35:00.123000"
    assert json.loads(tags) == ["climate", "räck"] and json.loads(meta) == FULL["meta"]
    [(event, name, [told])] = events(db, home[2], after=before)
    assert told == {"id": id, "deviceId": device, "timestamp": "2026-11-22T19:35:00.123Z", "level": "WARN",
                    "message": FULL["message"], "tags": ["climate", "räck"], "source": "sensord", "meta": FULL["meta"],
                    "receivedAt": received.isoformat(timespec="milliseconds") + "Z"}
    assert name == ""
    kinds = [(n, p["deviceId"], p["online"], p["status"]) for i, n, p in events(db, home[2], "devices", before)
             if i < event]
    assert kinds == [("device:online", device, True, "online"), ("device:status", device, True, "online")]
    post(key, entry(deviceId=device))
    with db.cursor() as c:
        c.execute("SELECT SUM(lines_n) FROM log_counts WHERE tenant_id = %s AND device_id = %s", (home[2], device))
        assert c.fetchone()[0] == 2
        c.execute("SELECT is_online, last_seen_at >= first_seen_at FROM devices WHERE tenant_id = %s "
                  "AND device_id = %s", (home[2], device))
        assert c.fetchall() == ((1, 1),)


def test_what_is_left_out_is_null_and_the_time_is_now(key, rows, db, home):
    before = last_event(db)
    [id] = post(key, entry(timestamp=None, tags=[], source=None, meta=None))
    [(_, _, _, logged, received, _, tags, source, meta)] = rows(id)
    assert (tags, source, meta) == (None, None, None) and logged == received
    [(_, _, [told])] = events(db, home[2], after=before)
    assert (told["tags"], told["source"], told["meta"]) == ([], None, None)
    assert told["timestamp"] == told["receivedAt"]


@pytest.mark.parametrize("given, stored", [
    ("1970-01-01T00:00:00Z", "1970-01-01 00:00:00"), (0, "1970-01-01 00:00:00"),
    ("2106-02-07T06:28:16Z", "2106-02-07 06:28:16"), (4294967296000, "2106-02-07 06:28:16"),
    ("9999-12-31T23:59:59.999Z", "9999-12-31 23:59:59.999000"),
    ("2024-02-29T23:30:00.5-01:00", "2024-03-01 00:30:00.500000"),
    ("2030-06-01t12:00:00.123456789z", "2030-06-01 12:00:00.123000"),
    (1795376100123, "2026-11-22 19:35:00.123000")])
def test_times(key, rows, given, stored):
    [id] = post(key, entry(timestamp=given))
    assert str(rows(id)[0][3]) == stored


@pytest.mark.parametrize("given", [
    "2026-11-22T19:35:00", "2026-11-22", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+00:01", "2023-02-29T00:00:00Z",
    "9999-12-31T23:59:59-00:01", "2026-11-22T24:00:00Z", "yesterday", "", -1, 253402300800000, 1.5, True, [], {}])
def test_times_that_are_none(key, given):
    reply = key.post("/api/logs", entry(timestamp=given))
    assert reply.status == 422 and [d["field"] for d in reply.error["details"]] == ["timestamp"], reply


@pytest.mark.parametrize("level, stored", [("DEBUG", 1), ("info", 2), ("Warn", 3), ("eRRoR", 4), ("FATAL", 5)])
def test_levels(key, rows, level, stored):
    assert rows(*post(key, entry(level=level)))[0][2] == stored


@pytest.mark.parametrize("n", [1, 2, 3, 511, 512, 513, 999, 1000])
def test_arrays_have_ids_in_order_each_its_own_row(key, rows, db, home, n):
    before = last_event(db)
    ids = post(key, [entry(deviceId=f"dev-{i % 7}", message=f"{n} {i}") for i in range(n)])
    assert len(ids) == n and ids == sorted(set(ids))
    assert [(r[0], r[1], r[5]) for r in rows(*ids)] == \
        [(id, f"dev-{i % 7}", f"{n} {i}") for i, id in enumerate(ids)]
    [(_, _, told)] = events(db, home[2], after=before)
    assert [(e["id"], e["message"]) for e in told] == [(id, f"{n} {i}") for i, id in enumerate(ids)]


def test_ids_are_right_where_the_server_counts_in_steps(own_stack):
    """As Galera nodes do, each with an offset of its own."""
    stack = own_stack()
    key = stack.key("logs:ingest")
    with stack.connect() as db, db.cursor() as c:
        c.execute("SET GLOBAL auto_increment_increment = 7, GLOBAL auto_increment_offset = 3")
        stack.kill("fcgi-1"), stack.kill("fcgi-2")  # these have sessions of before
        wait_until(lambda: key.get("/healthz").status == 200, what="it answers again")
        ids = post(key, [entry(message=f"step {i}") for i in range(21)])
        assert {(b - a) % 7 for a, b in zip(ids, ids[1:])} == {0}
        c.execute("SELECT id, message FROM logs ORDER BY id")
        assert list(c.fetchall()) == [(id, f"step {i}") for i, id in enumerate(ids)]


def test_json_lines(key, rows):
    lines = [entry(message=f"line {i}") for i in range(3)]
    texts = [json.dumps(line).encode() for line in lines]
    for body in (b"\n".join(texts), b"\r\n".join(texts) + b"\r\n", b"\n\n" + b"\n \n".join(texts) + b"\n\n",
                 b"\xef\xbb\xbf" + b"\r\n".join(texts)):
        ids = post(key, body, **NDJSON)
        assert [r[5] for r in rows(*ids)] == ["line 0", "line 1", "line 2"]


def test_gzip(key, rows):
    some = [entry(message=f"packed {i}") for i in range(100)]
    ids = post(key, gzip.compress(json.dumps(some).encode()), **{"Content-Encoding": "gzip"})
    assert len(rows(*ids)) == 100
    packed = gzip.compress(b"".join(json.dumps(e).encode() + b"\n" for e in some))
    assert len(post(key, packed, **NDJSON, **{"Content-Encoding": "gzip"})) == 100


def test_an_idempotency_key_is_done_once(key, rows, db, home):
    name, body = unique("key"), [entry(message=unique("once")) for _ in range(3)]
    ids, before = post(key, body, **{"Idempotency-Key": name}), last_event(db)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda _: post(key.clone(), body, **{"Idempotency-Key": name}), range(8)))
    assert again == [ids] * 8 and events(db, home[2], after=before) == []
    assert [r[0] for r in rows() if r[5] == body[0]["message"]] == ids[:1]
    assert key.post("/api/logs", body[:1], headers={"Idempotency-Key": name}).status == 409


def test_as_deep_as_it_may_be(key, rows):
    """The database takes JSON of so many levels, with the event around it."""
    meta = json.loads('{"a":' * 16 + "1" + "}" * 16)
    ids = post(key, entry(meta=meta)) + post(key, [entry(meta=meta)]) + post(key, json.dumps(entry(meta=meta)).encode(), **NDJSON)
    assert [json.loads(r[8]) for r in rows(*ids)] == [meta] * 3


def test_entries_are_counted(stack, key):
    def counted():
        found = set()
        for _ in range(20):
            found.update(re.findall(r'^cmdb_fcgi_log_entries_total{pid="(\d+)"} (\d+)$',
                                    stack.api().get("/metrics").body.decode(), re.M))
        return sum({pid: int(n) for pid, n in sorted(found)}.values())
    before = counted()
    post(key, [entry()] * 7)
    assert key.post("/api/logs", [{}]).status == 422
    assert counted() >= before + 7


def test_no_audit_row_is_written(key, db, home):
    post(key, entry())
    with db.cursor() as c:
        c.execute("SELECT COUNT(*) FROM audit_log WHERE tenant_id = %s AND action LIKE '%%/api/logs%%'", home[2])
        assert c.fetchone()[0] == 0


# ---- what is refused ----

BAD_ENTRIES = [
    (entry(level="trace"), ["level"]), (entry(level=None), ["level"]), (entry(level=3), ["level"]),
    (entry(deviceId=""), ["deviceId"]), (entry(deviceId="a" * 65), ["deviceId"]), (entry(deviceId="."), ["deviceId"]),
    (entry(deviceId=".."), ["deviceId"]), (entry(deviceId="a/b"), ["deviceId"]), (entry(deviceId="ä"), ["deviceId"]),
    (entry(deviceId="a b"), ["deviceId"]), (entry(deviceId=7), ["deviceId"]), (entry(message=""), ["message"]),
    (entry(message="x" * (MESSAGE_MAX + 1)), ["message"]), (entry(message="x" * 1_000_000), ["message"]),
    (entry(message=["x"]), ["message"]), (entry(tags="a"), ["tags"]), (entry(tags=[1]), ["tags"]),
    (entry(tags=[""]), ["tags"]), (entry(tags=["x" * 65]), ["tags"]), (entry(tags=[f"t{i}" for i in range(33)]), ["tags"]),
    (entry(source="x" * 256), ["source"]), (entry(source=1), ["source"]), (entry(meta=[]), ["meta"]),
    (entry(meta="x"), ["meta"]), (entry(meta=json.loads('{"a":' * 17 + "1" + "}" * 17)), ["meta"]), (entry(meta={"x": "y" * 16384}), ["meta"]), (entry(id=1), ["id"]),
    (entry(**{"x" * 65: 1}), ["(a longer name)"]), ({}, ["deviceId", "level", "message"]),
    ({"level": "?", "timestamp": "?", "more": 1}, ["level", "timestamp", "more", "deviceId", "message"]),
]


def fields(reply):
    assert (reply.status, reply.error["code"]) == (422, "validation_failed"), reply
    return [d["field"] for d in reply.error["details"]]


@pytest.mark.parametrize("bad, names", BAD_ENTRIES, ids=range(len(BAD_ENTRIES)))
def test_bad_entries_are_named_by_index_and_field(key, rows, db, home, bad, names):
    before = (len(rows()), last_event(db))
    assert fields(key.post("/api/logs", bad)) == names
    two = [1, 3] if len(json.dumps(bad)) < 500_000 else [1]
    assert fields(key.post("/api/logs", [entry(), bad, entry(), bad][:two[-1] + 1])) == \
        [f"[{i}].{name}" for i in two for name in names]
    lines = b"\n".join(json.dumps(e).encode() for e in (entry(), bad))
    assert fields(key.post("/api/logs", lines, headers=NDJSON)) == [f"[1].{name}" for name in names]
    assert (len(rows()), events(db, home[2], after=before[1])) == (before[0], [])


@pytest.mark.parametrize("at", [0, 999])
def test_one_bad_among_a_thousand_stores_nothing(key, rows, at):
    before = len(rows())
    many = [entry(message=f"m {i}") for i in range(1000)]
    many[at]["level"] = "LOUD"
    assert fields(key.post("/api/logs", many)) == [f"[{at}].level"]
    assert len(rows()) == before


def test_the_number_of_entries(key, rows):
    before = len(rows())
    for body, headers in (([], {}), ([entry()] * 1001, {}), (b"", NDJSON), (b"\n \n", NDJSON),
                          (b"\xef\xbb\xbf", NDJSON),
                          (b"{}\n" * 1001, NDJSON)):
        assert fields(key.post("/api/logs", body, headers=headers)) == [""]
    assert len(rows()) == before


def test_problems_are_told_up_to_a_hundred(key):
    reply = key.post("/api/logs", [{}] * 1000)
    assert len(fields(reply)) == 100 and "of 3000 problems" in reply.error["message"]


def test_entries_that_are_no_objects(key):
    assert fields(key.post("/api/logs", [1, entry(), None, "x", []])) == ["[0]", "[2]", "[3]", "[4]"]


@pytest.mark.parametrize("body, status, code", [
    (b"", 400, "malformed_json"), (b"nothing", 400, "malformed_json"), (b'"text"', 400, "bad_request"),
    (b'{"deviceId":"a","level":"INFO","message":"\xff"}', 400, "malformed_json"),
    (b'{"deviceId":"a","level":"INFO","message":"\xc0\x80"}', 400, "malformed_json"),
    (b'{"deviceId":"a","level":"INFO","message":"a\x00b"}', 400, "malformed_json"),
    (b'{"deviceId":"a","level":"INFO","message":"a\\u0000b"}', 400, "malformed_json"),
    (b'{"deviceId":"a","level":"INFO","message":"\\ud800"}', 400, "malformed_json"),
    (b'{"deviceId":"a","level":"INFO","message":"x","message":"y"}', 400, "malformed_json"),
    (b'[{"deviceId":"a","level":"INFO","message":"x"},', 400, "malformed_json"),
    (b'{"deviceId":"a","level":"INFO","message":"x","meta":' + b'{"a":' * 40 + b"1" + b"}" * 41, 400, "malformed_json"),
    (b'{"deviceId":"a","level":"INFO","message":"' + b"x" * (1 << 20) + b'"}', 413, "payload_too_large")])
def test_bodies_that_are_no_json(key, rows, body, status, code):
    before = len(rows())
    reply = key.post("/api/logs", body)
    assert (reply.status, reply.error["code"]) == (status, code), reply
    assert len(rows()) == before


@pytest.mark.parametrize("last", [
    b'{"deviceId":"a","level":"INFO","mess', b"x", b'{"deviceId":"a","level":"INFO","message":"a\\u0000"}',
    b'{"deviceId":"a","level":"INFO","message":"\xff"}', b'{"deviceId":"a","level":"INFO","message":"a\x00b"}'])
def test_json_lines_with_a_broken_last_one(key, rows, last):
    before = len(rows())
    body = b"\n".join([json.dumps(entry()).encode()] * 2 + [b"", last])
    reply = key.post("/api/logs", body, headers=NDJSON)
    assert fields(reply) == ["[2]"] and "line 4 " in reply.error["details"][0]["problem"], reply
    assert len(rows()) == before


def test_a_gzip_bomb_and_a_broken_gzip(key, rows):
    before = len(rows())
    bomb = gzip.compress(b"[" + b" " * 200_000_000 + b"]", 9)
    assert len(bomb) < 1_000_000
    packed = {"Content-Encoding": "gzip"}
    for headers in (packed, {**packed, **NDJSON}):
        assert key.post("/api/logs", bomb, headers=headers).status == 413
        assert key.post("/api/logs", gzip.compress(b"{}")[:-3], headers=headers).status == 400
    assert key.post("/api/logs", entry(), headers={"Content-Encoding": "br"}).status == 415
    assert key.post("/api/logs", b"a=b", headers={"Content-Type": "application/x-www-form-urlencoded"}).status == 415
    assert len(rows()) == before


def test_who_may_post(stack, key, rows, viewer):
    before = len(rows())
    assert stack.api().post("/api/logs", entry()).status == 401
    assert stack.api(key="cmdb_wrong").post("/api/logs", entry()).status == 401
    assert stack.key("logs:read", "websites:write").post("/api/logs", entry()).status == 403
    assert viewer.post("/api/logs", entry()).status == 403
    name = unique("gone")
    made = stack.ctl("apikey", "add", name, "--scope", "logs:ingest", "--json")
    gone = stack.api(key=made["key"])
    assert gone.post("/api/logs", entry()).status == 201
    stack.ctl("apikey", "revoke", name)
    wait_until(lambda: gone.post("/api/logs", entry()).status == 401, what="the key is revoked")
    assert len(rows()) == before


def test_a_tenant_has_devices_of_its_own(stack, key, db):
    """The same id in two tenants is two devices, and nobody's event goes to the other."""
    device, other_tenant = unique("dev"), stack.tenant()
    other, watcher = stack.key("logs:ingest", tenant=other_tenant), stack.user(other_tenant)
    since = watcher.tail()
    post(key, entry(deviceId=device))
    [id] = post(other, entry(deviceId=device))
    [told] = watcher.read_events(since, lambda got: got, topics="logs")
    assert [e["id"] for e in told["data"]] == [id]
    with db.cursor() as c:
        c.execute("SELECT COUNT(*) FROM devices WHERE device_id = %s", device)
        assert c.fetchone()[0] == 2


def test_many_at_once_for_the_same_devices(key, rows, db, home):
    """New devices, the same ones in different orders: nobody fails, each comes online once, all is counted."""
    devices, before = [unique("busy") for _ in range(20)], last_event(db)
    barrier = threading.Barrier(8)

    def work(n):
        client, ids = key.clone(), []
        barrier.wait()
        for i in range(5):
            order = devices if (n + i) % 2 else devices[::-1]
            ids += post(client, [entry(deviceId=d, message=f"{n} {i}") for d in order])
        return ids

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        got = list(pool.map(work, range(8)))
    assert len({id for ids in got for id in ids}) == 8 * 5 * 20
    stored = {r[0]: (r[1], r[5]) for r in rows()}
    for n, ids in enumerate(got):
        wanted = [(d, f"{n} {i}") for i in range(5) for d in (devices if (n + i) % 2 else devices[::-1])]
        assert [stored[id] for id in ids] == wanted
    online = [p["deviceId"] for _, name, p in events(db, home[2], "devices", before) if name == "device:online"]
    assert sorted(online) == sorted(devices)
    with db.cursor() as c:
        c.execute("SELECT device_id, SUM(lines_n) FROM log_counts WHERE tenant_id = %s AND device_id LIKE 'busy-%%' "
                  "GROUP BY device_id", home[2])
        assert {d: int(n) for d, n in c.fetchall()} == {d: 40 for d in devices}


def test_an_offline_device_is_online_again_and_an_old_time_is_moved_on(key, db, home):
    device = unique("dev")
    post(key, entry(deviceId=device))
    for online, flips in ((0, 2), (1, 0)):
        with db.cursor() as c:
            c.execute("UPDATE devices SET is_online = %s, last_seen_at = NOW(3) - INTERVAL 1 HOUR, status = 'ready' "
                      "WHERE tenant_id = %s AND device_id = %s", (online, home[2], device))
        before = last_event(db)
        post(key, entry(deviceId=device))
        told = [(n, p["status"]) for _, n, p in events(db, home[2], "devices", before)]
        assert told == [("device:online", "ready"), ("device:status", "ready")][:flips]
        with db.cursor() as c:
            c.execute("SELECT is_online, last_seen_at > NOW(3) - INTERVAL 1 MINUTE FROM devices WHERE tenant_id = %s "
                      "AND device_id = %s", (home[2], device))
            assert c.fetchone() == (1, 1)
