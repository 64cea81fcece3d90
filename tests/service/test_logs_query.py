"""GET /api/logs: what is found by which filter, pages, exports, and who sees what."""
import datetime
import http.client
import json
import socket
import time
import urllib.parse

import pytest

from conftest import SLOWER, unique, wait_until

TIMES = ["2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z", "2026-11-22T12:00:00.500Z"]
# The same lines for every test of filters: device, level, tags, message.
LINES = [
    ("dev-a", "INFO", ["net"], "Verbindung steht: Ärger vorbei"),
    ("dev-a", "ERROR", ["net", "räck"], "STRAẞE gesperrt, 50% offen"),
    ("dev-b", "WARN", [], "straße frei; user_id=7 'quoted' \"double\""),
    ("dev-b", "DEBUG", ["net"], "nothing to see 50 offen"),
    ("dev-c", "FATAL", ["disk"], "ÄRGER mit der Platte \\ C:\\temp"),
    ("dev-c", "INFO", ["Net"], "userXid=8, a,b"),
    ("dev-d", "INFO", [], "ok"),
]


def post(key, lines):
    reply = key.post("/api/logs", [dict(zip(("deviceId", "level", "tags", "message"), line)) for line in lines])
    assert reply.status == 201, reply
    return reply.data["ids"]


def query(api, *pairs, status=200, **params):
    reply = api.get("/api/logs?" + urllib.parse.urlencode([*pairs, *params.items()], doseq=True), timeout=60)
    assert reply.status == status, reply
    return reply.data if status == 200 else reply.error


@pytest.fixture(scope="module")
def home(stack):
    """A tenant that only this module uses: (posts, reads, ids of LINES)."""
    tenant = stack.tenant()
    key = stack.key("logs:ingest", tenant=tenant)
    reader = stack.key("logs:read", tenant=tenant)
    return key, reader, post(key, LINES)


FILTERS = [
    ({}, [0, 1, 2, 3, 4, 5, 6]),
    ({"device": "dev-a"}, [0, 1]),
    ({"device": ["dev-a", "dev-c"]}, [0, 1, 4, 5]),
    ({"device": "dev-a,dev-c"}, [0, 1, 4, 5]),
    ({"device": "DEV-A"}, []),
    ({"device": ",".join(f"dev-{c}" for c in "abcdefghijkl")}, [0, 1, 2, 3, 4, 5, 6]),
    ({"level": "error"}, [1]),
    ({"level": "Error,FATAL"}, [1, 4]),
    ({"tag": "net"}, [0, 1, 3]),
    ({"tag": ["disk", "räck"]}, [1, 4]),
    ({"keyword": "ÄRGER"}, [0, 4]),
    ({"keyword": "ärger"}, [0, 4]),
    ({"keyword": "STRASSE"}, []),
    ({"keyword": "Straße"}, [1, 2]),
    ({"keyword": "straẞe"}, [1, 2]),
    ({"keyword": "50%"}, [1]),
    ({"keyword": "50% off"}, [1]),
    ({"keyword": "user_id"}, [2]),
    ({"keyword": "'quoted'"}, [2]),
    ({"keyword": '"double"'}, [2]),
    ({"keyword": "\\ c:\\T"}, [4]),
    ({"keyword": "a,b"}, [5]),
    ({"keyword": "ok"}, [6]),
    ({"keyword": "O"}, [0, 1, 2, 3, 6]),
    ({"keyword": ["platte", "gesperrt"]}, [1, 4]),
    ({"keyword": "no such thing"}, []),
    ({"device": "dev-a", "level": "INFO"}, [0]),
    ({"device": "dev-a,dev-c", "tag": "net", "keyword": "ärger"}, [0]),
    ({"device": "dev-c", "level": "FATAL", "tag": "disk", "keyword": "ärger"}, [4]),
    ({"device": "dev-a", "level": "FATAL"}, []),
]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("wanted, found", FILTERS, ids=[str(f[0]) for f in FILTERS])
def test_filters(home, wanted, found, order):
    _, reader, ids = home
    data = query(reader, order=order, after=ids[0] - 1, before=ids[-1] + 1, **wanted)
    expected = [ids[i] for i in found]
    assert [e["id"] for e in data["items"]] == (expected if order == "asc" else expected[::-1])
    assert data["next"] is None and data["more"] is False


def test_an_entry_is_shown_as_it_was_published(stack, home):
    key, reader, _ = home
    tail = stack.admin().tail()
    entry = {"deviceId": "dev~x", "timestamp": "9999-12-31T23:59:59.999Z", "level": "WARN", "message": "\u2028\u0001 \"x\"",
             "tags": ["a", "b"], "source": "s", "meta": {"n": 1.50, "big": 9007199254740993}}
    [id] = key.post("/api/logs", entry).data["ids"]
    [shown] = query(reader, device="dev~x")["items"]
    assert shown == {"id": id, "receivedAt": shown["receivedAt"], **entry}
    with stack.connect() as db, db.cursor() as c:
        c.execute("SELECT payload FROM ws_events WHERE id > %s AND topic = 'logs' AND payload LIKE '%%dev~x%%'", tail)
        assert json.loads(c.fetchone()[0]) == [shown]


def test_time_range(home):
    key, reader, _ = home
    device = unique("timed")
    ids = key.post("/api/logs", [{"deviceId": device, "level": "INFO", "message": "m", "timestamp": t}
                                 for t in TIMES]).data["ids"]

    def found(**params):
        return [ids.index(e["id"]) for e in query(reader, device=device, order="asc", **params)["items"]]

    assert found(**{"from": TIMES[1]}) == [1, 2]
    assert found(to=TIMES[1]) == [0, 1]
    assert found(**{"from": TIMES[1], "to": "2026-11-22T12:00:00.499Z"}) == [1]
    assert found(**{"from": "2026-11-22T12:00:00+01:00", "to": 1795348800500}) == [1, 2]
    assert found(**{"from": TIMES[2], "to": TIMES[0]}) == []
    # As people paste it, not escaped.
    pasted = reader.get(f"/api/logs?device={device}&order=asc&from=2026-11-22T12:00:00+01:00").data
    assert [ids.index(e["id"]) for e in pasted["items"]] == [1, 2]


@pytest.mark.parametrize("order, side", [("desc", "before"), ("asc", "after")])
@pytest.mark.parametrize("wanted", [{}, {"device": True}, {"keyword": "page"}, {"device": True, "keyword": "PAGE"}],
                         ids=str)
def test_pages_have_each_line_once(home, order, side, wanted):
    key, reader, ids = home
    device = unique("paged")
    mine = post(key, [(device, "INFO", ["t"], f"page {i}") for i in range(57)])
    wanted = {k: device if v is True else v for k, v in wanted.items()}
    cursor, got, pages = {"desc": mine[-1] + 1, "asc": mine[0] - 1}[order], [], 0
    while True:
        data = query(reader, limit=10, order=order, **{side: cursor, "after" if side == "before" else "before":
                     mine[0] - 1 if side == "before" else mine[-1] + 1}, **wanted)
        got += [e["id"] for e in data["items"]]
        pages += 1
        assert len(data["items"]) <= 10 and pages < 10
        if not data["more"]:
            break
        cursor = data["next"]
    assert got == (mine if order == "asc" else mine[::-1])


def test_newest_come_first_and_fifty_of_them(home):
    key, reader, _ = home
    device = unique("many")
    mine = post(key, [(device, "INFO", [], f"line {i}") for i in range(60)])
    data = query(reader, device=device)
    assert [e["id"] for e in data["items"]] == mine[:9:-1] and data["more"] and data["next"] == mine[10]
    assert len(query(reader, device=device, limit=500)["items"]) == 60


@pytest.mark.parametrize("params, field", [
    ({"level": "LOUD"}, "level"), ({"from": "yesterday"}, "from"), ({"to": "2026-11-22T10:00:00"}, "to"),
    ({"before": 0}, "before"), ({"after": "-1"}, "after"), ({"limit": 501}, "limit"), ({"limit": 0}, "limit"),
    ({"order": "up"}, "order"), ({"format": "csv"}, "format"), ({"levels": "ERROR"}, "levels"),
    ({"keyword": "x" * 257}, "keyword"), ({"tag": ""}, "tag"),
], ids=str)
def test_what_is_asked_wrongly_is_named(home, params, field):
    error = query(home[1], status=400, **params)
    assert [d["field"] for d in error["details"]] == [field]


def test_who_may_ask(stack, home):
    assert stack.api().get("/api/logs").status == 401
    assert home[0].get("/api/logs").status == 403
    assert home[1].request("HEAD", "/api/logs").status == 200
    assert home[1].request("HEAD", "/api/logs?format=ndjson").status == 200


def test_another_tenant_sees_nothing(stack, home):
    _, _, ids = home
    other = stack.key("logs:read", tenant=stack.tenant())
    for params in ({}, {"device": "dev-a"}, {"keyword": "ärger"}, {"after": ids[0] - 1, "order": "asc"}):
        assert query(other, **params) == {"items": [], "next": None, "more": False}
    assert other.get("/api/logs?format=ndjson").body == b""


def test_large_lines_come_in_order_and_a_page_is_bounded(home):
    key, reader, _ = home
    device = unique("large")
    big = "big" + "\u0001" * 65533
    mine = []
    for n in range(30):
        mine += post(key, [(device, "INFO", [], big if n % 3 else f"small {n}"), (device, "WARN", [], f"small {n} too")])
    for wanted in ({"device": device}, {"device": device + ",none", "keyword": ["small", "BIG"]},
                   {"after": mine[0] - 1, "before": mine[-1] + 1}):
        for order in ("asc", "desc"):
            got, cursor, pages = [], {}, 0
            while True:
                data = query(reader, limit=500, order=order, **{**wanted, **cursor})
                got += [e["id"] for e in data["items"]]
                pages += 1
                if not data["more"]:
                    break
                cursor = {"after" if order == "asc" else "before": data["next"]}
            assert got == (mine if order == "asc" else mine[::-1]), wanted
            assert 2 <= pages <= 5, "a page has some four megabytes, and each of the large ones 393,216 bytes"
    reply = reader.get(f"/api/logs?format=ndjson&device={device}&order=asc", timeout=60)
    assert [json.loads(line)["id"] for line in reply.body.splitlines()] == mine
    assert json.loads(reply.body.splitlines()[2])["message"] == big


# ---- exports ----

def test_export_has_all_lines_in_order(home):
    key, reader, _ = home
    device = unique("export")
    mine = [i for n in range(3) for i in post(key, [(device, "INFO", ["t"], f"line {n}-{k} " + "x" * 500)
                                                    for k in range(700)])]
    for order in ("asc", "desc"):
        reply = reader.get(f"/api/logs?format=ndjson&device={device}&order={order}", timeout=60)
        assert reply.status == 200 and reply.headers["Content-Type"] == "application/x-ndjson"
        assert reply.body.endswith(b"}\n")
        got = [json.loads(line)["id"] for line in reply.body.splitlines()]
        assert got == (mine if order == "asc" else mine[::-1])
    reply = reader.get(f"/api/logs?format=ndjson&device={device}&limit=777", timeout=60)
    assert [json.loads(line)["id"] for line in reply.body.splitlines()] == mine[:-778:-1]


def workers_of(stack):
    """Connections of cmdb-fcgi that have a transaction open."""
    with stack.connect() as db, db.cursor() as c:
        c.execute("SELECT COUNT(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p "
                  "ON p.id = t.trx_mysql_thread_id WHERE t.trx_started < NOW() - INTERVAL 1 SECOND")
        return c.fetchone()[0]


def test_who_reads_slowly_holds_nothing(stack, home):
    """Twelve exports that nobody reads: other requests go on, no transaction stays open, and each goes on when
    it is read."""
    key, reader, _ = home
    device = unique("slow")
    for n in range(20):
        post(key, [(device, "INFO", [], f"{n}-{k} " + "y" * 1500) for k in range(500)])
    socks = []
    try:
        for _ in range(12):
            s = socket.create_connection((reader.host, reader.port))
            s.sendall(f"GET /api/logs?format=ndjson&device={device} HTTP/1.1\r\nHost: x\r\nX-API-Key: {reader.key}\r\n"
                      "Connection: close\r\n\r\n".encode())
            assert s.recv(12) == b"HTTP/1.1 200"
            socks.append(s)
        for _ in range(20):
            assert len(query(reader, device=device, keyword="19-499 ")["items"]) == 1
        wait_until(lambda: workers_of(stack) == 0, 10, "no transaction is left open")
        s = socks.pop()
        s.settimeout(60 * SLOWER)
        seen = 0
        while chunk := s.recv(1 << 20):
            seen += chunk.count(b'"deviceId"')
        assert seen >= 10000 - 1  # one may be cut by a border of chunks
        s.close()
    finally:
        for s in socks:
            s.close()


def test_an_export_ends_when_its_key_is_revoked(stack, home):
    key, _, _ = home
    tenant = stack.tenant()
    name = unique("key")
    poster = stack.key("logs:ingest", tenant=tenant)
    made = stack.ctl("apikey", "add", name, "--tenant", tenant, "--scope", "logs:read", "--json")
    for n in range(30):
        post(poster, [("d", "INFO", [], f"{n}-{k} " + "y" * 1500) for k in range(500)])
    conn = http.client.HTTPConnection(poster.host, poster.port, timeout=60 * SLOWER)
    conn.request("GET", "/api/logs?format=ndjson&order=asc", headers={"X-API-Key": made["key"]})
    reply = conn.getresponse()
    assert reply.status == 200
    first = reply.readline()
    stack.ctl("apikey", "revoke", name, "--tenant", tenant)
    wait_until(lambda: stack.api(key=made["key"]).get("/api/logs").status == 401, 10)
    # The process that has the export hears of it within a second: until then one reads slowly.
    lines = [first]
    for line in reply:
        lines.append(line)
        if len(lines) % 100 == 0:
            time.sleep(0.02 * SLOWER)
    conn.close()
    last = json.loads(lines[-1])
    assert last["error"]["code"] == "token_revoked" and len(lines) < 15000
    assert last["error"]["next"] == json.loads(lines[-2])["id"]


# ---- what is in the table ----

ODD = [  # tags and meta as somebody wrote them by SQL, and as they are shown
    (None, None, [], None),
    ("", "", [], None),
    ('["a",\n "b"]', '{"a":\r\n1}', ["a", "b"], {"a": 1}),
    ('{"a":1}', "[1]", [], [1]),
    ("[", "{", [], "{"),
    ("NaN", '{"a":1}\n{"b":2}', [], '{"a":1}\n{"b":2}'),
    ('["\\ud800"]', '{"a":"\\udc00"}', ["\ufffd"], {"a": "\ufffd"}),
    ('["a"]', '{"a":1,"a":2}', ["a"], {"a": 2}),
    ('["a"]', "1e999", ["a"], "1e999"),
]


def test_odd_rows_spoil_no_answer(stack, db):
    tenant, device = stack.tenant(), unique("odd")
    reader = stack.key("logs:read", tenant=tenant)
    with db.cursor() as c:
        c.execute("SET check_constraint_checks = 0")
        c.execute("SELECT id FROM tenants WHERE name = %s", (tenant,))
        tenant_id = c.fetchone()[0]
        for tags, meta, _, _ in ODD:
            c.execute("INSERT INTO logs (tenant_id, device_id, level, logged_at, message, tags, meta) "
                      "VALUES (%s, %s, 2, NOW(3), 'm', %s, %s)", (tenant_id, device, tags, meta))
        c.execute("SET check_constraint_checks = 1")
    page = query(reader, order="asc")["items"]
    assert [(e["tags"], e["meta"]) for e in page] == [(tags, meta) for *_, tags, meta in ODD]
    lines = reader.get("/api/logs?format=ndjson&order=asc").body.splitlines()
    assert [json.loads(line) for line in lines] == page


def test_a_page_reads_little_more_than_it_shows(stack, db):
    """Lines may be long: what is read at a time is bounded, and all that is read for one of them is few."""
    tenant = stack.tenant()
    reader = stack.key("logs:read", tenant=tenant)
    with db.cursor() as c:
        c.execute("SELECT id FROM tenants WHERE name = %s", (tenant,))
        c.execute("INSERT INTO logs (tenant_id, device_id, level, logged_at, message) "
                  "SELECT %s, 'd', 2, NOW(3), REPEAT(CHAR(1), 65536) FROM seq_1_to_1000", (c.fetchone()[0],))

    def sent():
        with db.cursor() as c:
            c.execute("SELECT SUM(bytes_sent) FROM information_schema.user_statistics WHERE user LIKE '%fcgi%'")
            return int(c.fetchone()[0] or 0)

    with db.cursor() as c:
        c.execute("SET GLOBAL userstat = 1")
    before = sent()
    assert len(query(reader, limit=1)["items"]) == 1
    assert 65536 <= sent() - before < 100 * 65536
    found, page, more = 0, {}, True
    while more:
        page = query(reader, limit=500, **({"before": page["next"]} if page else {}))
        found, more = found + len(page["items"]), page["more"]
        assert len(page["items"]) * 65536 * 6 < 9 * 1024 * 1024
    assert found == 1000
