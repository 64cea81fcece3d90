"""Engine.IO and Socket.IO over polling, request by request: what is refused and how, who may
connect, what becomes of events. Answers are those of the reference server where it has them."""
import datetime
import http.client
import json
import time
import urllib.parse

import pytest

from conftest import SLOWER, unique, wait_until
from sio import PATH, Client, Refused, call

POLLING = {"EIO": "4", "transport": "polling"}
MESSAGES = {0: "Transport unknown", 1: "Session ID unknown", 2: "Bad handshake method",
            3: "Bad request", 4: "Forbidden", 5: "Unsupported protocol version"}
UNKNOWN = "AAEkcX7imlFkDjbyBt2-AeOR"


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """A stack whose limits tests run into."""
    from conftest import Stack, stack_home
    made = Stack(stack_home(), ["socketio.events_per_s=2", "socketio.max_payload=2000",
                                "socketio.cookie=io", "auth.require_at_handshake=on",
                                "http.cors_origins=https://console.example"])
    made.up()
    yield made
    made.discard()


def assert_error(got, code, status=400):
    assert got[0] == status, got
    assert json.loads(got[2]) == {"code": code, "message": MESSAGES[code]}
    assert got[1]["Content-Type"] == "application/json"


def refused(send, *args, **more):
    with pytest.raises(Refused) as e:
        send(*args, **more)
    return e.value


# ---- the handshake ----

def test_handshake(stack):
    status, headers, text = call(stack.url, "GET", {**POLLING, "t": "x"})
    assert status == 200 and text[0] == "0"
    opened = json.loads(text[1:])
    assert len(opened.pop("sid")) == 24
    assert opened == {"upgrades": [], "pingInterval": 25000, "pingTimeout": 20000,
                      "maxPayload": 1000000}
    assert headers["Content-Type"] == "text/plain; charset=UTF-8"
    assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Set-Cookie"] is None and headers["X-Request-Id"]


@pytest.mark.parametrize("method, query, code", [
    ("GET", {}, 0),
    ("GET", {"EIO": "4"}, 0),
    ("GET", {"EIO": "4", "transport": "websocket"}, 0),
    ("GET", {"EIO": "4", "transport": "constructor"}, 0),
    ("GET", {"EIO": "4", "transport": "websocket", "sid": UNKNOWN}, 0),
    ("GET", {**POLLING, "sid": UNKNOWN}, 1),
    ("GET", {**POLLING, "sid": "__proto__"}, 1),
    ("GET", {**POLLING, "sid": "x" * 500}, 1),
    ("GET", {"transport": "polling", "sid": UNKNOWN}, 1),
    ("POST", {**POLLING, "sid": UNKNOWN}, 1),
    ("PUT", {**POLLING, "sid": UNKNOWN}, 1),
    ("POST", POLLING, 2),
    ("POST", {"transport": "polling"}, 2),
    ("PUT", POLLING, 2),
    ("DELETE", POLLING, 2),
    ("PATCH", {**POLLING, "sid": ""}, 2),
    ("GET", {"transport": "polling"}, 5),
    ("GET", {"transport": "polling", "EIO": "3"}, 5),
    ("GET", {"transport": "polling", "EIO": "abc"}, 5),
    ("GET", "transport=websocket&EIO=3&transport=polling&EIO=x", 5),
])
def test_bad_requests(stack, method, query, code):
    body = "40" if method in ("POST", "PUT") else None
    assert_error(call(stack.url, method, query, body), code)


def test_other_methods_and_versions_for_a_session(stack):
    c = Client(stack.url)
    for method, body, query in (("PUT", "3", {}), ("DELETE", None, {}), ("GET", None, {"EIO": "3"}),
                                ("GET", None, {"EIO": None}), ("POST", "3", {"EIO": "5"})):
        assert refused(c.request, method, query, body).json == {"code": 3, "message": MESSAGES[3]}
    assert c.connect()[0] == "4"  # the session lives on


@pytest.mark.parametrize("how", ["bearer", "query", "key"])
def test_bad_token_at_the_handshake(stack, how):
    headers = {"bearer": {"Authorization": "Bearer bad"}, "key": {"X-API-Key": "bad"}}.get(how)
    query = {**POLLING, **({"token": "bad"} if how == "query" else {})}
    status, headers, text = call(stack.url, "GET", query, headers=headers)
    assert status == 401 and headers["WWW-Authenticate"].startswith("Bearer")
    assert json.loads(text) == {"code": 4, "message": "Authentication failed"}


def test_token_can_be_required_at_the_handshake(quiet):
    status, headers, text = call(quiet.url, "GET", POLLING)
    assert status == 401 and "WWW-Authenticate" in headers
    assert json.loads(text) == {"code": 4, "message": "Authentication required"}
    status, headers, text = call(quiet.url, "GET", {**POLLING, "token": quiet.viewer().token})
    sid = json.loads(text[1:])["sid"]
    assert headers["Set-Cookie"] == f"io={sid}; Path=/; HttpOnly; SameSite=Lax"


def test_cross_origin(quiet):
    origin = {"Origin": "https://console.example"}
    status, headers, _ = call(quiet.url, "OPTIONS", POLLING,
                              headers={**origin, "Access-Control-Request-Method": "POST"})
    assert status == 204 and headers["Access-Control-Allow-Origin"] == origin["Origin"]
    assert "POST" in headers["Access-Control-Allow-Methods"]
    for query in (POLLING, {"transport": "x"}):
        _, headers, _ = call(quiet.url, "GET", query, headers=origin)
        assert headers["Access-Control-Allow-Origin"] == origin["Origin"]
        assert headers["Access-Control-Allow-Credentials"] == "true"
    _, headers, _ = call(quiet.url, "GET", POLLING, headers={"Origin": "https://other.example"})
    assert headers["Access-Control-Allow-Origin"] is None


def test_connection_limit(own_stack):
    stack = own_stack("socketio.max_per_address=1")
    c = Client(stack.url)
    status, _, text = call(stack.url, "GET", POLLING)
    assert status == 403
    assert json.loads(text) == {"code": 4, "message": "Connection limit reached"}
    c.close()
    wait_until(lambda: call(stack.url, "GET", POLLING)[0] == 200)


# ---- the polling transport ----

def test_bodies_that_are_no_payload_close_the_session(stack):
    for body in ("abc", "", "\x1e", "3\x1e", "b!!", "2", "3\x1e2", "9"):
        c = Client(stack.url)
        got = refused(c.request, "POST", {}, body)
        assert (got.status, got.json) == (400, {"code": 3, "message": MESSAGES[3]}), body
        assert refused(c.request, "GET", {}).json["code"] == 1
        assert refused(c.request, "POST", {}, "3").json["code"] == 1


def test_binary_body_is_refused(stack):
    c = Client(stack.url)
    got = refused(c.request, "POST", {}, b"\x00\x01", {"Content-Type": "application/octet-stream"})
    assert (got.status, got.json["code"]) == (400, 3)
    assert c.connect()[0] == "4"


def test_too_large_a_body(quiet):
    c = Client(quiet.url, query={"token": quiet.viewer().token})
    assert c.open["maxPayload"] == 2000
    got = refused(c.request, "POST", {}, "4" + "x" * 2000)
    assert (got.status, got.body) == (413, "")
    assert c.connect()[0] == "0"


def test_what_the_web_server_takes_from_nobody_is_too_large_too(stack):
    """lighttpd answers by itself, by way of its error handler."""
    c = Client(stack.url, query={"token": stack.viewer().token})
    to = urllib.parse.urlsplit(stack.url)
    connection = http.client.HTTPConnection(to.hostname, to.port, timeout=20 * SLOWER)
    connection.putrequest("POST", f"/socket.io/?EIO=4&transport=polling&sid={c.sid}")
    connection.putheader("Content-Type", "text/plain;charset=UTF-8")
    connection.putheader("Content-Length", "100000000")
    connection.endheaders()
    got = connection.getresponse()
    assert (got.status, got.read()) == (413, b"")
    connection.close()
    assert c.connect()[0] == "0"


def test_packets_without_a_meaning_here_are_passed_over(stack):
    c = Client(stack.url)
    c.post("6", "3", "5", "0")
    assert c.connect()[0] == "4"


def test_two_gets_at_once(stack):
    c = Client(stack.url)
    first = c.hold()
    wait_until(lambda: stack.status()["waiters"] >= 1)
    assert refused(c.request, "GET", {}).json["code"] == 3
    assert first.result() == ["1"]
    assert refused(c.request, "GET", {}).json["code"] == 1


def test_close_ends_the_held_get(stack):
    c = Client(stack.url)
    held = c.hold()
    c.close()
    assert held.result() in (["6"], ["1"])
    assert refused(c.request, "GET", {}).json["code"] == 1


def test_heartbeat(own_stack):
    stack = own_stack("socketio.ping_interval_ms=300", "socketio.ping_timeout_ms=400")
    c = Client(stack.url)
    for _ in range(3):
        assert c.request("GET", {}) == "2"
        c.post("3")
    assert c.request("GET", {}) == "2"
    time.sleep(0.5 * SLOWER)  # the very thing: nothing is answered in time
    wait_until(lambda: call(stack.url, "GET", {**POLLING, "sid": c.sid})[0] == 400)


# ---- connecting ----

def test_connect(stack, admin):
    c = Client(stack.url)
    kind, got = c.connect({"token": admin.token})
    assert kind == "0" and set(got) == {"sid", "pid"}
    assert (len(got["sid"]), len(got["pid"])) == (20, 24)
    assert c.event("connected") == [{"ok": True}]
    epoch, _, last = c.offset.rpartition(":")
    assert epoch == admin.get("/events?timeout=0").json["epoch"] and int(last) >= 0
    c.close()


@pytest.mark.parametrize("auth, message", [
    (None, "Authentication required"),
    ({}, "Authentication required"),
    ({"token": None}, "Authentication required"),
    ({"token": "bad"}, "Authentication failed"),
    ({"token": 7}, "Authentication failed"),
    ({"token": ""}, "Authentication failed"),
    ({"apiKey": "bad"}, "Authentication failed"),
])
def test_who_may_not_connect(stack, auth, message):
    assert Client(stack.url).connect(auth) == ("4", {"message": message, "data": {"code": 401}})


def test_expired_and_revoked_tokens(stack):
    user = stack.user(roles=["viewer"])
    old = stack.ctl("token", "issue", user.user["username"], "--ttl", "1", "--json")["access_token"]
    user.post("/api/v1/auth/logout")
    failed = ("4", {"message": "Authentication failed", "data": {"code": 401}})
    assert Client(stack.url).connect({"token": user.token}) == failed
    wait_until(lambda: stack.api(token=old).get("/api/v1/auth/me").status == 401)
    assert Client(stack.url).connect({"token": old}) == failed


def test_ways_to_show_who_one_is(stack, viewer):
    key = stack.key("websites:read").key
    assert Client(stack.url).connect({"apiKey": key})[0] == "0"
    assert Client(stack.url, {"X-API-Key": key}).connect()[0] == "0"
    assert Client(stack.url, {"Authorization": f"Bearer {viewer.token}"}).connect()[0] == "0"
    assert Client(stack.url, query={"token": viewer.token}).connect()[0] == "0"
    # What comes with CONNECT counts before the handshake's.
    c = Client(stack.url, query={"token": viewer.token})
    assert c.connect({"token": "bad"})[0] == "4"


def test_a_session_is_its_users(stack, admin, viewer):
    c = Client(stack.url, query={"token": viewer.token})
    assert c.connect()[0] == "0"
    c.query = {"token": admin.token}
    for send in (lambda: c.request("GET", {}), lambda: c.request("POST", {}, "3"),
                 lambda: c.request("POST", {}, "42[\"x\"]")):
        assert (refused(send).status, refused(send).json["code"]) == (403, 4)
    c.query = {}  # as good as none: whoever knows the sid
    c.post("3")


def test_unknown_namespace(stack, admin):
    c = Client(stack.url)
    assert c.connect(nsp="/nothing") == ("4", {"message": "Invalid namespace"})
    assert c.connect({"token": admin.token})[0] == "0"


@pytest.mark.parametrize("packets", [
    ["40"], ["4abc"], ["42/nothing,[\"x\"]"], ["41/nothing"], ["44{}"], ["42{}"], ["42[]"],
    ["42[null]"], ["42[\"connect\"]"], ["430{}"], ["450-[\"x\"]"], ["bAAAA"],
    ["451-[\"x\",{\"_placeholder\":true,\"num\":0}]", "42[\"y\"]"],
])
def test_what_no_client_may_send_ends_the_session(stack, admin, packets):
    c = Client(stack.url)
    assert c.connect({"token": admin.token})[0] == "0"
    assert refused(c.request, "POST", {}, "\x1e".join(packets)).json["code"] == 3
    assert refused(c.poll).json["code"] == 1


def test_events_before_connect_end_the_session(stack):
    c = Client(stack.url)
    assert refused(c.request, "POST", {}, "42[\"x\"]").json["code"] == 3


def test_disconnect_and_connect_again(stack, admin):
    c = Client(stack.url)
    first = c.connect({"token": admin.token})[1]
    c.post("41")
    second = c.connect({"token": admin.token})[1]
    assert first["sid"] != second["sid"] and first["pid"] != second["pid"]


# ---- events ----

@pytest.fixture
def client(stack, admin):
    c = Client(stack.url)
    assert c.connect({"token": admin.token})[0] == "0"
    yield c
    c.close()


def test_unknown_events(client):
    client.emit("nobody:hears", {"a": 1})
    client.emit("nobody:hears", ack=0)
    assert client.ack(0) == [{"error": {"code": "unknown_event"}}]


@pytest.mark.parametrize("args", [[1], ["x"], [[]], [{"lastEventId": "x"}], [{"lastEventId": -1}],
                                  [{"lastEventId": 1.5}], [{"lastEventId": {}}], [{"epoch": 1}]])
def test_bad_arguments(client, args):
    client.emit("request:websites", *args, ack=7)
    assert client.ack(7)[0]["error"]["code"] == "bad_arguments"
    client.emit("request:websites", *args)
    (error,) = client.event("error")
    assert error["code"] == "bad_arguments" and error["message"]


def test_permission(stack):
    c = Client(stack.url)
    c.connect({"apiKey": stack.key("nodes:read").key})
    c.emit("request:websites", ack=1)
    assert c.ack(1)[0]["error"]["code"] == "forbidden"
    c.emit("request:websites")
    assert c.event("error")[0]["code"] == "forbidden"
    c.emit("request:nodes", ack=2)
    assert c.ack(2)[0]["ok"] is True


def test_too_many_events(quiet):
    """Two a second, with a burst of twice as many. A refused one is told; the session goes on."""
    c = Client(quiet.url, query={"token": quiet.viewer().token})
    c.connect()
    c.post(*[f"42{n}[\"none\"]" for n in range(8)])
    codes = [c.ack(n)[0]["error"]["code"] for n in range(8)]
    limited = codes.count("rate_limited")
    assert 3 <= limited <= 6 and codes == ["unknown_event"] * (8 - limited) + ["rate_limited"] * limited
    c.post(*["42[\"none\"]"] * 20)
    assert c.event("error")[0]["code"] == "rate_limited"


def test_events_of_one_post_are_handled_in_order(client):
    client.post("421[\"request:nodes\"]", "3", "422[\"none\"]", "423[\"request:domains\"]")
    client.event("nodes:initial")
    assert client.ack(1)[0]["ok"] and "error" in client.ack(2)[0]
    client.event("domains:initial")
    assert client.ack(3)[0]["ok"]


def test_a_clock_for_a_mark(client):
    """Clients whose t is the time in seconds: requests of one second are not the same request."""
    client.post("421[\"none\"]", t="1700000000")
    client.post("422[\"none\"]", t="1700000000")
    got = client.poll(t="1700000000")
    client.post("423[\"none\"]", t="1700000000")
    got += client.poll(t="1700000000")
    assert [p for p in got if p.startswith("43")] == [
        f'43{n}[{{"error":{{"code":"unknown_event"}}}}]' for n in (1, 2, 3)]


def test_refresh(stack):
    user = stack.user(roles=["viewer"])
    name = user.user["username"]
    short = stack.ctl("token", "issue", name, "--ttl", "65", "--json")["access_token"]
    c = Client(stack.url)
    c.connect({"token": short})
    (expiring,) = c.event("token_expiring", 20)
    assert 0 < expiring["expires_in"] <= 60
    ends = datetime.datetime.fromisoformat(expiring["expires_at"].removesuffix("Z") + "+00:00")
    left = ends - datetime.datetime.now(datetime.timezone.utc)
    assert expiring["expires_at"].endswith(".000Z") and abs(left.total_seconds() - 60) < 10
    c.emit("auth:refresh", {"token": user.token}, ack=3)
    (got,) = c.ack(3)
    assert got["ok"] is True and 7000 < got["expires_in"] <= 7200
    c.emit("auth:refresh", {"token": user.token})
    assert c.event("auth:refreshed")[0]["ok"] is True
    for args, code in (([{"token": "bad"}], "token_invalid"), ([{"token": stack.viewer().token}], "forbidden"),
                       ([{}], "bad_arguments"), ([], "bad_arguments")):
        c.emit("auth:refresh", *args, ack=4)
        assert c.ack(4)[0]["error"]["code"] == code
    c.emit("request:websites", ack=5)
    assert c.ack(5)[0]["ok"] is True


def test_figures(stack, admin):
    Client(stack.url).connect({"token": admin.token})
    text = admin.get("/metrics").body.decode()
    for name in ("cmdb_fcgi_engine_requests_total{", "cmdb_fcgi_engine_refused_total",
                 "cmdb_fcgi_job_seconds_count", "cmdb_fcgi_unknown_events_total"):
        assert name in text
