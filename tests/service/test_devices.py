"""Devices: how they become known, what they say of themselves, how they are listed, and that silent ones go offline."""
import concurrent.futures
import json
import pathlib
import re
import signal
import subprocess

import pymysql
import pytest

from conftest import unique, wait_until
from sio import Client

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


class Home:
    """A tenant with a poster of its devices and a reader."""

    def __init__(self, stack):
        self.tenant = stack.tenant()
        self.key, self.reader = stack.key("logs:ingest", tenant=self.tenant), stack.user(self.tenant)
        with stack.connect() as db, db.cursor() as c:
            c.execute("SELECT id FROM tenants WHERE name = %s", self.tenant)
            self.id = c.fetchone()[0]

    def post(self, *devices):
        reply = self.key.post("/api/logs", [{"deviceId": d, "level": "INFO", "message": "m"} for d in devices])
        assert reply.status == 201, reply

    def beat(self, device, body=None, status=200):
        reply = self.key.request("POST", f"/api/devices/{device}/heartbeat", body)
        assert reply.status == status, reply
        return reply

    def device(self, device):
        return self.reader.get(f"/api/devices/{device}").data

    def devices(self, query=""):
        return self.reader.get(f"/api/devices?{query}").data

    def ids(self, query=""):
        return [d["deviceId"] for d in self.devices(query)["items"]]


@pytest.fixture
def home(stack):
    return Home(stack)


def told(reader, since, n, device=None):
    """The next n events of devices: (name, id, online, status)."""
    def of(events):
        return [e for e in events if not device or e["data"]["deviceId"] == device]
    got = reader.read_events(since, lambda events: len(of(events)) >= n, topics="devices")
    return [(e["name"], e["data"]["deviceId"], e["data"]["online"], e["data"]["status"]) for e in of(got)]


def released(reader, db):
    """The cursor after all that is committed."""
    if not hasattr(db, "cursor"):
        with db.connect() as connection:
            return released(reader, connection)
    with db.cursor() as c:
        c.execute("SELECT COALESCE(MAX(id), 0) FROM ws_events")
        last = c.fetchone()[0]
    wait_until(lambda: reader.tail() >= last, what=f"event {last}")
    return last


def test_the_first_heartbeat_makes_a_device(home, db):
    since, device = released(home.reader, db), "edge-7.rack@fra:1+a~b_c"
    said = home.beat(device).data
    assert TIME.match(said.pop("lastSeen")) and said == {"deviceId": device, "online": True, "status": "online"}
    shown = home.device(device)
    assert TIME.match(shown["firstSeen"]) and shown["firstSeen"] == shown["lastSeen"]
    assert shown["linesLastHour"] == 0
    home.beat(device, {})
    home.beat(device, {"status": None})
    home.beat(device, {"status": "warming up"})
    home.beat(device, {"status": "warming up"})
    home.beat(device)
    assert home.device(device)["status"] == "warming up"
    home.beat(device, {"status": ""})
    assert told(home.reader, since, 4) == [
        ("device:online", device, True, "online"), ("device:status", device, True, "online"),
        ("device:status", device, True, "warming up"), ("device:status", device, True, "online")]


def test_lines_are_counted_for_an_hour(home, db):
    home.post("a", "a", "b")
    home.post("a")
    assert {d["deviceId"]: d["linesLastHour"] for d in home.devices()["items"]} == {"a": 3, "b": 1}
    with db.cursor() as c:
        c.execute("UPDATE log_counts SET minute = minute - 58 WHERE tenant_id = %s AND device_id = 'b'", home.id)
        c.execute("UPDATE log_counts SET minute = minute - 61 WHERE tenant_id = %s AND device_id = 'a'", home.id)
    assert home.device("a")["linesLastHour"] == 0 and home.device("b")["linesLastHour"] == 1


def test_the_newest_line_says_when_it_was_seen(home, db):
    home.post("a")
    with db.cursor() as c:
        c.execute("UPDATE devices SET last_seen_at = last_seen_at - INTERVAL 3 SECOND WHERE tenant_id = %s", home.id)
        c.execute("SELECT received_at FROM logs WHERE tenant_id = %s", home.id)
        received = c.fetchone()[0].isoformat(timespec="milliseconds") + "Z"
    assert home.device("a")["lastSeen"] == home.devices()["items"][0]["lastSeen"] == received


def test_the_list(home, db):
    home.post("b-1", "a-2", "a-1", "C-3")
    home.beat("b-1", {"status": "ready"})
    home.beat("a-2", {"status": "50% _full"})
    with db.cursor() as c:
        c.execute("UPDATE devices SET is_online = FALSE WHERE tenant_id = %s AND device_id IN ('a-1', 'b-1')", home.id)
        for i, device in enumerate(["C-3", "a-1", "b-1", "a-2"]):
            c.execute("UPDATE devices SET first_seen_at = '2026-01-01' + INTERVAL %s DAY, last_seen_at = '2026-02-09' "
                      "- INTERVAL %s DAY WHERE tenant_id = %s AND device_id = %s", (i, i, home.id, device))
    assert home.ids() == home.ids("sort=deviceId") == ["C-3", "a-1", "a-2", "b-1"]
    assert home.ids("sort=-deviceId") == ["b-1", "a-2", "a-1", "C-3"]
    assert home.ids("sort=firstSeen") == home.ids("sort=-lastSeen") == ["C-3", "a-1", "b-1", "a-2"]
    assert home.ids("sort=-firstSeen") == home.ids("sort=lastSeen") == ["a-2", "b-1", "a-1", "C-3"]
    assert home.ids("online=true") == ["C-3", "a-2"] and home.ids("online=false") == ["a-1", "b-1"]
    assert home.ids("status=offline") == ["a-1", "b-1"] and home.ids("status=online") == ["C-3"]
    assert home.ids("status=ready") == [] and home.ids("status=50%25%20_full") == ["a-2"]
    assert home.ids("q=c-") == ["C-3"] and home.ids("q=A-") == ["a-1", "a-2"]
    assert home.ids("q=%25") == ["a-2"] and home.ids("q=_") == ["a-2"] and home.ids("q=OFF") == ["a-1", "b-1"]
    assert home.ids("q=a-&online=true") == ["a-2"]
    page = home.devices("page_size=3&page=2")
    assert [d["deviceId"] for d in page.pop("items")] == ["b-1"]
    assert page == {"total": 4, "page": 2, "page_size": 3}
    assert home.devices("page_size=2")["total"] == 4 and home.devices("page=9")["total"] == 4
    assert home.devices("page_size=1&online=true")["total"] == 2


@pytest.mark.parametrize("query, field", [
    ("page=0", "page"), ("page_size=201", "page_size"), ("sort=tenant", "sort"), ("online=1", "online"),
    ("status=" + "x" * 257, "status"), ("q=" + "x" * 257, "q"), ("other=1", "other")])
def test_parameters_that_are_none(home, query, field):
    reply = home.reader.get(f"/api/devices?{query}")
    assert reply.status == 400 and [d["field"] for d in reply.error["details"]] == [field], reply


@pytest.mark.parametrize("body, field", [
    ({"status": 1}, "status"), ({"status": "offline"}, "status"), ({"status": "x" * 65}, "status"), ({"state": "x"}, "state"), ({"x" * 65: 1}, "(a longer name)")])
def test_a_heartbeat_that_says_something_else(home, body, field):
    reply = home.beat("d", body, 422)
    assert [d["field"] for d in reply.error["details"]] == [field], reply
    assert home.ids() == []


def test_who_may(home, stack, viewer):
    other = Home(stack)
    home.post("mine")
    assert other.ids() == [] and other.reader.get("/api/devices/mine").status == 404
    assert home.key.get("/api/devices").status == 403 and home.key.get("/api/devices/mine").status == 403
    assert stack.api().get("/api/devices").status == 401
    assert viewer.post("/api/devices/x/heartbeat").status == 403
    since = other.reader.tail()
    home.beat("mine", {"status": "secret"})
    other.beat("theirs")
    assert {d for _, d, _, _ in told(other.reader, since, 2)} == {"theirs"}
    for bad in ("a%20b", "%C3%A4", "a" * 65, "..", "."):
        assert home.key.post(f"/api/devices/{bad}/heartbeat").status == 404, bad


def test_many_first_heartbeats_at_once(home, db):
    since, device = released(home.reader, db), unique("dev")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: home.key.clone().post(f"/api/devices/{device}/heartbeat").data, range(16)))
    home.beat("last")
    events = told(home.reader, since, 4)
    assert [e[0] for e in events if e[1] == device] == ["device:online", "device:status"]


def test_a_heartbeat_is_done_once_by_key(home, db):
    for status in ("x", "y", "x"):
        home.key.request("POST", "/api/devices/d/heartbeat", {"status": status}, {"Idempotency-Key": "k" + status})
    assert home.device("d")["status"] == "y"


def test_sockets_are_told(home, stack, db):
    """Who may read logs hears of devices without asking, by the events' own names."""
    released(home.reader, db)
    client = Client(stack.url)
    kind, got = client.connect({"token": home.reader.token})
    assert kind == "0", got
    home.beat("d", {"status": "on fire"})
    seen = home.device("d")["lastSeen"]
    payload = {"deviceId": "d", "online": True, "status": "on fire", "lastSeen": seen}
    assert client.event("device:online") == [payload] and client.event("device:status") == [payload]
    home.beat("d", {"status": "out"})
    assert client.event("device:status")[0]["status"] == "out"
    client.close()


# ---- silence ----

@pytest.fixture
def silent(own_stack):
    """silent(seconds): a stack of its own whose devices go offline so soon."""
    def make(offline_s, *more):
        stack = own_stack(f"logs.offline_s={offline_s}", *more)
        return stack, Home(stack)
    return make


def test_a_silent_device_goes_offline_once_and_comes_back(silent):
    stack, home = silent(2)
    since = home.reader.tail()
    home.beat("quiet", {"status": "fine"})
    wait_until(lambda: not home.device("quiet")["online"], 20, "it is offline")
    assert home.device("quiet")["status"] == "offline"
    home.post("quiet")
    assert home.device("quiet")["status"] == "fine"
    flips = [[(f"device:{'online' if on else 'offline'}", "quiet", on, status), ("device:status", "quiet", on, status)]
             for on, status in ((True, "fine"), (False, "offline"), (True, "fine"))]
    assert told(home.reader, since, 6)[:6] == sum(flips, [])


def test_who_sends_is_not_silent(silent):
    """The row lags behind the lines by some seconds, which is more than offline_s here."""
    stack, home = silent(3)
    since, other = home.reader.tail(), Home(stack)
    other.post("quiet")
    home.post("chatty")

    def quiet_is_offline():
        home.post("chatty")
        return not other.device("quiet")["online"]

    for _ in range(2):
        wait_until(quiet_is_offline, 30, "the quiet one is offline")
        other.post("quiet")
    assert [e[0] for e in told(home.reader, since, 2)] == ["device:online", "device:status"]
    assert home.device("chatty")["online"]


def test_found_after_the_poller_was_down_and_once(silent):
    stack, home = silent(5)
    home.post("old")
    with stack.connect() as db, db.cursor() as c:
        c.execute("UPDATE devices SET last_seen_at = NOW(3) - INTERVAL 3 HOUR")
        c.execute("UPDATE logs SET received_at = NOW(3) - INTERVAL 2 HOUR")
        c.execute("SELECT received_at FROM logs")
        seen = c.fetchone()[0].isoformat(timespec="milliseconds") + "Z"
    stack.kill("poller", signal.SIGKILL)
    wait_until(lambda: not home.device("old")["online"], 30, "it is offline")
    # Others that look again find nothing.
    done = stack.status()["chores"]["done"]
    wait_until(lambda: stack.status()["chores"]["done"] >= done + 2, 30, "it has looked again")
    with stack.connect() as db, db.cursor() as c:
        c.execute("SELECT name, payload FROM ws_events WHERE topic = 'devices' AND payload LIKE '%offline%' ORDER BY id")
        assert [(name, json.loads(payload)) for name, payload in c.fetchall()] == [
            (name, {"deviceId": "old", "online": False, "status": "offline", "lastSeen": seen})
            for name in ("device:offline", "device:status")]
    assert stack.status()["devices"]["went_offline"] == 1
    assert re.search(r"^cmdb_poller_devices_offline_total 1$", stack.admin().get("/metrics").body.decode(), re.M)


def test_nobody_is_silent_for_the_database_was_away(silent):
    stack, home = silent(15)
    home.beat("d")
    stack.kill("mariadb")

    def down_for_long():
        try:
            with stack.connect() as db, db.cursor() as c:
                return c.execute("UPDATE devices SET last_seen_at = NOW(3) - INTERVAL 1 HOUR")
        except pymysql.err.OperationalError:
            return False

    wait_until(down_for_long, 30, "the database is back")

    def offline():
        with stack.connect() as db, db.cursor() as c:
            c.execute("SELECT is_online, (SELECT CAST(VARIABLE_VALUE AS UNSIGNED) FROM information_schema.GLOBAL_STATUS "
                      "WHERE VARIABLE_NAME = 'UPTIME') FROM devices")
            is_online, uptime = c.fetchone()
            assert is_online or uptime >= 15
            return not is_online

    wait_until(offline, 40, "it is offline in the end")


def test_many_go_offline_in_steps(silent):
    """More than one unit of work takes, in one turn of the chore; each is told once."""
    stack, home = silent(5)
    with stack.connect() as db, db.cursor() as c:
        c.execute("INSERT INTO devices (tenant_id, device_id, is_online, last_seen_at) SELECT %s, CONCAT('d', seq), TRUE, "
                  "NOW(3) - INTERVAL 1 DAY FROM seq_1_to_2500", home.id)
    since = home.reader.tail()
    events = home.reader.read_events(since, lambda got: len(got) >= 4998, timeout=60, topics="devices")
    wait_until(lambda: home.devices("online=true")["total"] == 0, 20, "all are offline")
    with stack.connect() as db, db.cursor() as c:
        c.execute("SELECT name, COUNT(*), COUNT(DISTINCT JSON_VALUE(payload, '$.deviceId')) FROM ws_events "
                  "WHERE topic = 'devices' GROUP BY name")
        assert dict((n, (a, b)) for n, a, b in c.fetchall()) == \
            {"device:offline": (2500, 2500), "device:status": (2500, 2500)}
    assert events


def test_of_several_hosts_one_tells_it(silent):
    """Also where none waits for the others: each is made to think that its time has come."""
    stack, home = silent(5)
    program = pathlib.Path(stack.env["CMDB_CTL"]).parent.parent / "sbin/cmdb-poller"
    hosts = [subprocess.Popen([program, "--config", stack.env["CMDB_CONFIG"], "--set", f"poller.node_id={node}",
                               "--set", f"poller.socket={stack.dir}/run/other-{node}.sock"], stderr=subprocess.DEVNULL)
             for node in (2, 3, 4)]
    try:
        with stack.connect() as db, db.cursor() as c:
            c.execute("INSERT INTO devices (tenant_id, device_id, is_online, last_seen_at) SELECT %s, CONCAT('d', seq), "
                      "TRUE, NOW(3) - INTERVAL 1 DAY FROM seq_1_to_1500", home.id)
            nodes = set()

            def all_offline():
                c.execute("UPDATE ws_chores SET ran_at = NOW(3) - INTERVAL 1 MINUTE WHERE name = 'offline'")
                c.execute("SELECT node_id FROM ws_chores WHERE name = 'offline'")
                nodes.add(c.fetchone()[0])
                c.execute("SELECT COUNT(*) FROM devices WHERE is_online")
                return c.fetchone()[0] == 0 and len(nodes) > 1

            wait_until(all_offline, 60, "all are offline, and more than one host has looked")
            c.execute("SELECT name, COUNT(*), COUNT(DISTINCT JSON_VALUE(payload, '$.deviceId')) FROM ws_events "
                      "WHERE topic = 'devices' GROUP BY name")
            assert dict((n, (a, b)) for n, a, b in c.fetchall()) == \
                {"device:offline": (1500, 1500), "device:status": (1500, 1500)}
    finally:
        for host in hosts:
            host.terminate()
        assert [host.wait(60) for host in hosts] == [0, 0, 0]


def test_none_ever_goes_offline_where_it_is_off(silent):
    stack, home = silent(0, "poller.expire_s=1")
    home.beat("d")
    with stack.connect() as db, db.cursor() as c:
        c.execute("UPDATE devices SET last_seen_at = NOW(3) - INTERVAL 1 DAY")
    done = stack.status()["chores"]["done"]
    wait_until(lambda: stack.status()["chores"]["done"] > done + 2, 30, "other chores are done")
    assert home.device("d")["online"]


def test_old_counts_go(silent):
    stack, home = silent(0, "poller.expire_s=1")
    home.post("a")
    with stack.connect() as db, db.cursor() as c:
        c.execute("INSERT INTO log_counts SELECT 1, CONCAT('d', seq), UNIX_TIMESTAMP() DIV 60 - 122, 0, 1 "
                  "FROM seq_1_to_1200")

        def left():
            c.execute("SELECT device_id FROM log_counts")
            return c.fetchall()
        wait_until(lambda: left() == (("a",),), 30, "what is old is gone")
