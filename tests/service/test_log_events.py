"""Lines of logs by GET /events, long-poll and stream, with the filters that sockets have; and that
nobody sees those of another tenant."""
import json
import threading
import urllib.parse

import pytest

from conftest import ROOT, unique, wait_until
from test_events import Stream
from test_socketio_sync import connect

TABLE = json.loads((ROOT / "tests/data/log_filters.json").read_text())
PARAMETERS = {"deviceIds": "device", "levels": "level", "tags": "tag", "keywords": "keyword"}


class Tenant:
    def __init__(self, stack):
        name = stack.tenant()
        self.stack, self.user = stack, stack.user(name)
        self.key = stack.key("logs:ingest", tenant=name)

    def log(self, *lines):
        """Their ids, once they are released."""
        ids = self.key.post("/api/logs", list(lines)).data["ids"]
        with self.stack.connect() as db, db.cursor() as c:
            c.execute("SELECT MAX(id) FROM ws_events")
            newest = c.fetchone()[0]
        wait_until(lambda: self.user.tail() >= newest, 20, "released")
        return ids


@pytest.fixture(scope="module")
def tenant(stack):
    return Tenant(stack)


def line(**more):
    return {"deviceId": "d-1", "level": "INFO", "message": unique("line"), **more}


def query(filter, **more):
    pairs = [(PARAMETERS[field], v) for field, values in filter.items() for v in values or []]
    return "/events?" + urllib.parse.urlencode([("topics", "logs"), *pairs, *more.items()])


def lines_of(reply):
    assert reply.status == 200, reply
    return [entry for event in reply.json["events"] for entry in event["data"]]


def test_the_table_of_filters(tenant):
    since = tenant.user.tail()
    ids = tenant.log(*TABLE["lines"])
    for case in TABLE["cases"]:
        # lighttpd itself refuses control characters in an address; sockets are asked for these.
        if any(not c.isprintable() for k in case["filter"].get("keywords", []) for c in k):
            continue
        reply = tenant.user.get(query(case["filter"], since=since, timeout=0))
        assert [ids.index(e["id"]) for e in lines_of(reply)] == case["matches"], case
        # What it does not show it has passed.
        assert reply.json["lastEventId"] == tenant.user.tail()


def test_a_held_poll_wakes_for_its_lines_alone(tenant):
    since, box = tenant.user.tail(), []
    api = tenant.user.clone()
    waiting = threading.Thread(target=lambda: box.append(
        api.get(query({"keywords": ["WANTED"], "levels": ["ERROR"]}, since=since, timeout=25),
                timeout=60)))
    waiting.start()
    tenant.log(line(message="wanted"), line(level="ERROR"))
    ids = tenant.log(line(), line(level="ERROR", message="so wanted!"), line())
    waiting.join(60)
    assert [e["id"] for e in lines_of(box[0])] == [ids[1]]
    event, = box[0].json["events"]
    assert (event["topic"], event["type"], event["name"]) == ("logs", "add", None)
    api.close()


def test_without_a_filter_an_event_is_whole(tenant):
    since = tenant.user.tail()
    ids = tenant.log(line(), line(level="FATAL"))
    event, = tenant.user.poll(since, 0, topics="logs")["events"]
    assert [e["id"] for e in event["data"]] == ids


def test_other_topics_come_as_they_are(tenant):
    since = tenant.user.tail()
    site = tenant.user.post("/api/v1/websites/create", {
        "domains": [f"{unique('site')}.example"], "origin_mode": "redirect",
        "redirect_url": "https://example.org/"}).data
    ids = tenant.log(line(), line(level="FATAL"))
    events = tenant.user.poll(since, 0, topics="websites,logs", level="FATAL")["events"]
    assert [e["topic"] for e in events] == ["websites", "logs"]
    assert events[0]["data"]["id"] == site["id"]
    assert [e["id"] for e in events[1]["data"]] == ids[1:]


def test_a_stream(tenant):
    since = tenant.user.tail()
    ids = tenant.log(line(), line(level="WARN"), line(level="WARN"))
    with Stream(tenant.user, query({"levels": ["warn"]}, since=since).split("?")[1]) as stream:
        _, event = stream.event()
        assert [e["id"] for e in event["data"]] == ids[1:]


@pytest.mark.parametrize("asked, field", [
    ("topics=logs&level=TRACE", "level"),
    ("topics=logs&level=", "level"),
    ("topics=logs&device=" + "x" * 257, "device"),
    ("topics=logs&" + "&".join(f"tag=t{i}" for i in range(257)), "tag"),
    ("topics=websites&level=INFO", "topics"),
    ("level=INFO", "topics"),
    ("topics=logs&" + "&".join(f"keyword=k{i}" for i in range(17)), "keyword"),
])
def test_filters_that_are_none(tenant, asked, field):
    reply = tenant.user.get(f"/events?timeout=0&{asked}")
    error = reply.json["error"]
    assert (reply.status, error["code"]) == (400, "bad_request"), reply
    assert field in [d["field"] for d in error["details"]]


def test_a_flood_costs_other_topics_nothing(own_stack):
    """Behind a flood, who wants none of it is given the rest by a few looks at the database."""
    stack = own_stack("poller.ring_events=100")
    w = Tenant(stack)
    since, tenant = w.user.tail(), w.user.get("/api/v1/auth/me").data
    with stack.connect() as db, db.cursor() as c:
        def flood():
            c.execute("INSERT INTO ws_events (topic, event_type, payload, tenant_id) SELECT "
                      "'logs', 'add', '[]', %s FROM seq_1_to_20000", (tenant["tenant_id"],))

        def one(topic, room=""):
            c.execute("INSERT INTO ws_events (topic, event_type, payload, tenant_id, room) VALUES "
                      "(%s, 'update', '{}', %s, %s)", (topic, tenant["tenant_id"], room))
            return c.lastrowid

        flood()
        wanted = [one("websites"), one("logs", f"user:{tenant['id']}")]
        flood()
        last = one("websites")
    wait_until(lambda: w.user.tail() >= last, 60, "released")
    before = stack.status()["catch_up"]["page_reads"]
    seen, cursor = [], since
    while cursor < last:
        reply = w.user.get(f"/events?since={cursor}&timeout=0&topics=websites").json
        seen += [e["id"] for e in reply["events"]]
        cursor = reply["lastEventId"]
    assert seen == [wanted[0], last]
    assert stack.status()["catch_up"]["page_reads"] - before <= 8
    # What of the flood's topic goes to a room is no flood.
    reply = w.user.get(f"/events?since={since}&timeout=0&room=user:{tenant['id']}").json
    assert [e["id"] for e in reply["events"]] == wanted[1:]


def test_one_answer_is_so_much_work(tenant):
    """Who looks for what is nowhere gets on step by step, by smaller ones the more he looks for, and keeps
    nobody waiting."""
    since = tenant.user.tail()
    for _ in range(8):
        tenant.log(*[line(message="x" * 800) for _ in range(1000)])

    def answers_n(keywords_n):
        cursor, answers = since, 0
        while True:
            asked = {"keywords": [f"nowhere-{i}" for i in range(keywords_n)]}
            reply = tenant.user.get(query(asked, since=cursor, timeout=0)).json
            assert reply["events"] == [] and reply["lastEventId"] > cursor
            cursor, answers = reply["lastEventId"], answers + 1
            if not reply["more"]:
                assert cursor == tenant.user.tail()
                return answers

    assert 1 < answers_n(1) < 6 <= answers_n(16)


def test_keywords_are_for_so_many_views(own_stack):
    stack = own_stack("logs.max_keyword_views=2")
    w = Tenant(stack)

    def subscribed(filter):
        socket = connect(stack, w.user.token)
        socket.emit("log:subscribe", filter, ack=1)
        assert socket.ack(1) == [{"success": True}]
        return socket

    def refused(socket):
        return socket.event("subscription_error") == [{"channel": "logs", "reason": "limit"}]

    first, second = [subscribed({"keywords": [text]}) for text in ("one", "two")]
    third = subscribed({"keywords": ["three"]})
    assert refused(third)
    # What looks for nothing costs little; what is given back, or paused, may be had by others.
    third.emit("log:subscribe", {"levels": ["INFO"]}, ack=2)
    assert third.ack(2) == [{"success": True}]
    waiting = w.user.get(query({"keywords": ["x"]}, timeout=5, since=w.user.tail()))
    assert (waiting.status, waiting.json["error"]["code"]) == (429, "too_many_held")
    assert w.user.get(query({"keywords": ["x"]}, timeout=0)).status == 200
    first.emit("log:pause", ack=3)
    first.ack(3)
    third.emit("log:subscribe", {"keywords": ["THREE"]}, ack=4)
    third.ack(4)
    stack.kill("poller")
    wait_until(stack.status, 20, "the poller answers")
    ids = w.log(line(message="one"), line(message="two"), line(message="three"))
    assert second.event("log:new")[0]["id"] == ids[1]
    assert third.event("log:new")[0]["id"] == ids[2]
    assert refused(subscribed({"keywords": ["four"]}))
    second.emit("log:unsubscribe", ack=5)
    second.ack(5)
    fourth = subscribed({"keywords": ["four"]})
    w.log(line(message="four"))
    assert fourth.event("log:new")[0]["message"] == "four"


def test_it_takes_the_permission(stack, tenant):
    viewer = stack.user(roles=("viewer",))
    assert viewer.get("/events?timeout=0&topics=logs&level=INFO").status == 403


def test_tenants_do_not_see_each_other(stack, tenant):
    other = Tenant(stack)
    since = tenant.user.tail()
    socket = connect(stack, tenant.user.token)
    socket.emit("log:subscribe", {}, ack=1)
    socket.ack(1)
    other.log(line(), line(level="FATAL"))
    ids = tenant.log(line(message="mine"))
    for asked in ({}, {"levels": ["INFO", "FATAL"]}, {"deviceIds": ["d-1"]}):
        got = lines_of(tenant.user.get(query(asked, since=since, timeout=0)))
        assert [e["id"] for e in got] == ids
    assert socket.event("log:new")[0]["id"] == ids[0]
