"""Whoever may INSERT into ws_events chooses what is in a row. It harms no other row and no client."""
import json
import re

import pytest

from conftest import wait_until
from sio import Client
from test_events import Stream

RESERVED = ["connect", "connect_error", "disconnect", "disconnecting", "newListener",
            "removeListener"]
# What one row has: its columns, and under which name a socket gets it (None: topic:update).
NAMES = [({"name": n}, "event") for n in RESERVED + ["a\x1e4", "\0", "disconnect\0", "a\nb", "\x7f",
                                                     "\x9b31m"]]
NAMES += [({"name": n}, n) for n in ("Disconnect", "a\"b\\", "caf\u00e9 \u2028", "x" * 64)]
PAYLOADS = [({"payload": p}, None) for p in (
    '{"a":"\\ud800"}', '["\\udc00\\ud83d"]', '"\\u0000"', '"\x1e"', '{"a":1,"a":2}',
    '{"a":"\\ud800","\\u0061":{"b":[]}}', "1e999", "[-1e999]", "9" * 5000, "12345678901234567890",
    "[" * 31 + "]" * 31, "[" * 5000 + "]" * 5000, '{"path":"C:\\x"}', "1.", "", "null", "0",
    '"x"', "{", "NaN", '{"_placeholder":true,"num":0}', " {\r\n} ", "data: x\n\nid: 0\n\n", '"\ud7ff"')]
OTHERS = [({"topic": t}, None) for t in ("", "a,b", "a\nb", "a\0b", "\x1e42", "x" * 64, "__proto__")]
OTHERS += [({"room": r, "topic": "websites"}, None) for r in ("user:\0", "\x1e")]
OTHERS += [({"tenant_id": 4000000}, None), ({"created_at": "0000-00-00 00:00:00"}, None)]
HIDDEN = [({"topic": "_x", "name": "disconnect"}, None), ({"topic": "_auth", "payload": "{"}, None),
          ({"topic": "_auth", "payload": '{"user_id":"x","jti":[1],"kind":null}'}, None)]


def insert(db, **columns):
    row = {"topic": "alerts", "event_type": "add", "payload": "{}", **columns}
    with db.cursor() as c:
        c.execute("SET check_constraint_checks = 0, sql_mode = ''")
        c.execute(f"INSERT INTO ws_events ({', '.join(row)}) "
                  f"VALUES ({', '.join(['%s'] * len(row))})", list(row.values()))
        return c.lastrowid


def once(pairs):
    """As org.json of the Java client: a key that is there twice is an error."""
    assert len({k for k, _ in pairs}) == len(pairs), pairs
    return dict(pairs)


def finite(text):
    value = float(text)
    assert value - value == 0, text
    return value


def depth(value):
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, inside), default=0)


def read(data):
    """JSON for a parser that takes nothing odd."""
    value = json.loads(data.decode() if isinstance(data, bytes) else data, object_pairs_hook=once,
                       parse_float=finite, parse_int=lambda t: (finite(t), int(t[:4000]))[1],
                       parse_constant=pytest.fail)
    json.dumps(value, ensure_ascii=False).encode()  # no halves of surrogate pairs
    assert depth(value) <= 64
    return value


@pytest.fixture(scope="module")
def hostile():
    """A stack of its own, for doctor tells of it."""
    from conftest import Stack, TEST_SETS, stack_home
    s = Stack(stack_home(), TEST_SETS + ["socketio.events_per_s=10000"])
    try:
        s.up()
        yield s
    finally:
        s.discard()


def join(stack, token):
    c = Client(stack.url)
    assert c.connect({"token": token})[0] == "0"
    c.event("connected")
    return c


def tick(db, topic="alerts"):
    """A good row, and its number."""
    with db.cursor() as c:
        c.execute("INSERT INTO ws_events (topic, event_type, payload, name) VALUES (%s, 'add', "
                  "'{\"good\":true}', 'tick')", (topic,))
        return c.lastrowid


ROWS = NAMES + PAYLOADS + OTHERS + HIDDEN


def test_no_row_harms_a_poll(hostile):
    db, admin = hostile.connect(), hostile.admin()
    for columns, _ in ROWS:
        since = admin.tail()
        bad, good = insert(db, **columns), tick(db)
        got = {}
        while good not in got:
            reply = admin.get(f"/events?since={since}&timeout=10")
            answer = read(reply.body)
            got.update({e["id"]: e for e in answer["events"]})
            since = answer["lastEventId"]
        assert got[good]["data"] == {"good": True}
        hidden = columns.get("topic", "").startswith("_") or "tenant_id" in columns
        assert (bad in got) != hidden, columns
        if "name" in columns and not hidden:
            assert got[bad]["name"] == columns["name"].replace("\0", "\ufffd")


def test_no_row_harms_a_stream(hostile):
    db, admin = hostile.connect(), hostile.admin()
    with Stream(admin) as s:
        s.message()
        for columns, _ in ROWS:
            insert(db, **columns)
            good = tick(db)
            while (m := s.message()).get("id") != str(good):
                if "data" in m:
                    assert read(m["data"])["id"] == int(m["id"])
            assert read(m["data"])["data"] == {"good": True}


def packets_until(client, good):
    """The events up to the good one, as (name, arguments); every packet is one a client takes."""
    got = []
    while True:
        packets, client.seen = client.seen or client.poll(), []
        for p in packets:
            if p in ("2", "6"):
                continue
            assert p.startswith("42["), p
            name, *args = read(p[2:])
            assert isinstance(name, str) and name not in RESERVED
            got.append((name, args))
            if args[-1].endswith(f":{good}"):
                return got


def test_no_row_harms_a_socket(hostile):
    db, admin = hostile.connect(), hostile.admin()
    client = join(hostile, admin.token)
    before = client.offset
    for columns, name in ROWS:
        insert(db, **{"topic": "websites", **columns})
        good = tick(db, "websites")
        got = packets_until(client, good)
        assert got[-1][0] == "tick" and got[-1][1][0] == {"good": True}
        if "name" in columns and not columns.get("topic", "").startswith("_"):
            assert [n for n, _ in got] == [name, "tick"]
            if name == "event":
                shown = columns["name"].replace("\0", "\ufffd")
                assert got[0][1][0] == {"name": shown, "data": {}}
    # All of it again, to one that comes back.
    for columns, _ in ROWS:
        insert(db, **{"topic": "websites", **columns})
    good = tick(db, "websites")
    other, _, recovered = client.recover({"token": admin.token})
    assert recovered
    assert packets_until(other, good)[-1][0] == "tick"
    # And once more, as missed events of a topic.
    asked = join(hostile, admin.token)
    asked.emit("request:websites", {"lastEventId": int(before.split(":")[1])}, ack=7)
    while (p := asked.wait(lambda p: p[:2] in ("42", "43")))[1] == "2":
        assert read(p[2:])[0] not in RESERVED


def test_bad_names_are_counted_logged_and_diagnosed(hostile):
    db, api = hostile.connect(), hostile.api()
    figure = lambda: int(re.search(r"^cmdb_poller_renamed_events_total (\d+)$",
                                   api.get("/metrics").body.decode(), re.M).group(1))
    before = hostile.status()["renamed_events"]
    for _ in range(200):
        bad = insert(db, name="disconnect")
    wait_until(lambda: figure() == before + 200)
    log = "".join(p.read_text(errors="replace") for p in hostile.dir.glob("log/*poller*"))
    told = re.findall("no event may have", log)
    assert 1 <= len(told) <= 30
    found = {f["check"]: f for f in json.loads(
        hostile.ctl("doctor", "--json", check=False).stdout)}["event names"]
    assert found["verdict"] == "warn" and str(bad) in found["text"]
    assert '"disconnect"' in found["text"] and found["cure"]


@pytest.mark.parametrize("name", RESERVED + ["a\x1eb", "a\nb", "\x9b", "x" * 65, ""])
def test_cmdbctl_publishes_no_bad_name(hostile, name):
    done = hostile.ctl("events", "publish", "alerts", "add", "{}", "--name", name, check=False)
    assert done.returncode == 2
    assert re.search("the name of an event cannot (be|have) ", done.stderr), done.stderr
