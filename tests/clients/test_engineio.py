"""Engine.IO over plain HTTP: every refusal with its status and body, and what happens to a session
whose client does what no client should."""
import base64
import json
import urllib.parse

import pytest

from conftest import wait_until
from session import OPEN, SEP, Session, error, is_gone


@pytest.fixture(scope="module")
def special(other_stack):
    """A stack with all that is off by default, and little patience."""
    return other_stack("socketio.cookie=io", "auth.require_at_handshake=on",
                       "http.cors_origins=http://app.example",
                       "socketio.ping_interval_ms=300", "socketio.ping_timeout_ms=300",
                       "socketio.max_payload=1000", "socketio.connect_timeout_ms=500")


def holding(stack, n):
    """Waits until the poller holds exactly n polls of sessions."""
    wait_until(lambda: stack.status()["waiters"] == n, 5, f"{n} polls held")


# ---- handshake ----

def test_handshake(api):
    s = Session(api)
    assert s.hello.headers["Content-Type"] == "text/plain; charset=UTF-8"
    assert {k: v for k, v in s.handshake.items() if k != "sid"} == {
        "upgrades": [], "pingInterval": 25000, "pingTimeout": 20000, "maxPayload": 1000000}
    assert len(s.sid) >= 20 and "Set-Cookie" not in s.hello.headers
    assert Session(api).sid != s.sid


def test_cookie_when_configured(special, viewer):
    s = Session(special.api(), bearer=special.viewer().token)
    cookie = s.hello.headers["Set-Cookie"].lower()
    assert cookie.startswith(f"io={s.sid.lower()}")
    assert "httponly" in cookie and "samesite=lax" in cookie and "path=/" in cookie


@pytest.mark.parametrize("method, query, code, message", [
    ("GET", {"EIO": "4"}, 0, "Transport unknown"),
    ("GET", {"EIO": "4", "transport": "carrier pigeon"}, 0, "Transport unknown"),
    ("GET", {"EIO": "4", "transport": "websocket"}, 0, "Transport unknown"),
    ("GET", {**OPEN, "sid": "unknown"}, 1, "Session ID unknown"),
    ("POST", {**OPEN, "sid": "x" * 5000}, 1, "Session ID unknown"),
    ("GET", {**OPEN, "sid": "\xff"}, 1, "Session ID unknown"),
    ("POST", OPEN, 2, "Bad handshake method"),
    ("PUT", OPEN, 2, "Bad handshake method"),
    ("GET", {"EIO": "3", "transport": "polling"}, 5, "Unsupported protocol version"),
    ("GET", {"transport": "polling"}, 5, "Unsupported protocol version"),
    ("GET", {"EIO": "5", "transport": "polling"}, 5, "Unsupported protocol version"),
])
def test_refused_handshakes(api, method, query, code, message):
    reply = api.request(method, "/socket.io/?" + urllib.parse.urlencode(query),
                        "" if method != "GET" else None)
    error(reply, 400, code, message)


def test_another_protocol_version_in_mid_session_is_a_bad_request(api):
    s = Session(api)
    error(s.request("GET", EIO="3"), 400, 3, "Bad request")


def test_bad_token_in_the_handshake_is_401(stack, api):
    for bad in ({"bearer": "x"}, {"token": "x.y.z"}):
        s = {**OPEN, **({"token": bad["token"]} if "token" in bad else {})}
        reply = api.clone(token=bad.get("bearer")).get("/socket.io/?" + urllib.parse.urlencode(s))
        assert reply.status == 401, reply
        assert "WWW-Authenticate" in reply.headers


def test_handshake_without_a_token_where_one_is_required(special):
    api = special.api()
    reply = api.get("/socket.io/?" + urllib.parse.urlencode(OPEN))
    assert reply.status == 401, reply
    Session(api, bearer=special.viewer().token)
    Session(api, token=special.viewer().token)


def test_session_without_a_namespace_is_closed(special):
    s = Session(special.api(), bearer=special.viewer().token)
    # Nobody polls when it happens: the next one is told.
    wait_until(lambda: special.status() is not None, 5)
    packets = []
    while "1" not in packets:
        packets = s.get()
        assert set(packets) <= {"1", "2", "6"}, packets
        if "2" in packets:
            s.post("3")
    is_gone(s)


# ---- sessions ----

def test_one_session_of_all_steps(stack, api):
    user = stack.user(stack.tenant())
    s = Session(api)
    answer = s.connect(user.token)
    assert len(answer["sid"]) >= 20 and len(answer["pid"]) >= 20 and answer["sid"] != s.sid
    reply = s.held()
    row = user.post("/api/v1/line-groups/create", {"name": "raw"}).data
    got = json.loads(reply().body.decode()[2:])
    assert got[0] == "line-groups:update" and got[1]["data"] == row
    assert got[2].split(":")[1] == str(got[1]["eventId"])
    assert s.post('421["no:such"]').body == b"ok"
    packet, = s.get()
    assert packet[:3] == "431" and json.loads(packet[3:])[0]["error"]["code"] == "unknown_event"
    assert s.post("41").body == b"ok"
    assert s.post("1").body == b"ok"
    is_gone(s, may_be_late=True)


def test_no_token_and_a_bad_one_in_connect(api):
    s = Session(api)
    for auth, message in (("", "Authentication required"), ("{}", "Authentication required"),
                          ('{"token":"x"}', "Authentication failed")):
        s.post("40" + auth)
        packet, = s.get()
        assert packet[:2] == "44"
        assert json.loads(packet[2:]) == {"message": message, "data": {"code": 401}}


def test_unknown_namespace(api, viewer):
    s = Session(api)
    s.post("40/nope," + json.dumps({"token": viewer.token}))
    assert s.get() == ['44/nope,{"message":"Invalid namespace"}']


def test_second_get_ends_the_session(stack, api):
    s = Session(api)
    first = s.held()
    holding(stack, 1)
    second = s.request("GET")
    assert second.status == 400, second
    reply = first()
    assert (reply.status, reply.body) == (200, b"1")
    is_gone(s)


def test_one_t_for_all_requests(stack, api, viewer):
    """There are clients that give such a one: what arrived is not told again, and each POST is
    done."""
    s = Session(api, t="one")
    s.connect(viewer.token)
    for n in (b"7", b"8", b"9"):
        s.post(f'42{n.decode()}["no:such"]')
        packets = []
        while not any(p.startswith("43") for p in packets):
            packets += s.get()
        assert [p[:3] for p in packets if p.startswith("43")] == ["43" + n.decode()]


def test_close_answers_the_held_get(stack, api):
    s = Session(api)
    reply = s.held()
    holding(stack, 1)
    assert s.post("1").body == b"ok"
    assert (reply().status, reply().body) == (200, b"6")
    is_gone(s)


def test_end_of_a_session_reaches_the_next_get(stack, api):
    user = stack.user()
    s = Session(api)
    s.connect(user.token)
    user.post("/api/v1/auth/logout")
    packets = []
    while "1" not in packets:
        packets += s.get()
    told = json.loads(next(p for p in packets if p.startswith("42"))[2:])
    assert told[0] == "error" and told[1]["code"] == "token_revoked"
    is_gone(s)


def test_pings_and_silence(special):
    s = Session(special.api(), bearer=special.viewer().token)
    s.connect(special.viewer().token)
    for _ in range(3):
        assert s.get() == ["2"]
        assert s.post("3").body == b"ok"
    assert s.get() == ["2"]
    assert s.get() in (["1"], ["6", "1"])
    is_gone(s)


def test_anothers_session_is_forbidden(api, admin, viewer):
    s = Session(api, bearer=admin.token)
    for method, body in (("GET", None), ("POST", "3")):
        reply = s.request(method, body, api=api.clone(token=viewer.token))
        error(reply, 403, 4, "Forbidden")
    # It goes on as if nothing had been.
    s.connect(admin.token)


# ---- bodies ----

def test_body_over_max_payload_is_413(special, api):
    s = Session(special.api(), bearer=special.viewer().token)
    assert s.request("POST", "4" + "x" * 1000).status == 413
    s = Session(api)
    assert s.request("POST", "4" + "x" * 1000000).status == 413


def test_octet_stream_is_refused(api):
    s = Session(api)
    reply = s.request("POST", b"\x04x", headers={"Content-Type": "application/octet-stream"})
    assert reply.status == 400


@pytest.mark.parametrize("body", [
    "", SEP, "3" + SEP, SEP + "3", "7", "abc", "9" * 100, "b!!!", "b====", "bAQ", "\x00",
    "4", "49", "42", "42[", '42["a"', "42{}", "42[]", "42[1]", '42["a"]x', "4299999999999999999[]",
    "40{", "40x", "40/nope", "43[]", '431{"a":1}', "45", "451-", '451-["a"]', "452-[]",
    '451-["a",{"_placeholder":true,"num":7}]', "46", "42" + "[" * 5000, "0", "1x", "2", "5", "6x",
    '42["connect"]', '42["disconnect"]',
], ids=lambda body: repr(body)[:24])
def test_what_no_client_sends(stack, api, body):
    """200 or 400 and then, at most, the session's end: never a 500, never anybody else's end."""
    s, other = Session(api), Session(api)
    reply = s.request("POST", body)
    assert reply.status in (200, 400), reply
    after = s.request("POST", "3")
    assert after.status in (200, 400), after
    other.post("40")
    assert other.get()[0].startswith("44")


@pytest.mark.parametrize("base64", ["!!!", "AQ", "AQI", "A", "AQ==AQ==", "_-_-", "AQ\nID\r\n", "===="])
def test_base64_is_read_as_node_reads_it(api, viewer, base64):
    s = Session(api)
    s.connect(viewer.token)
    assert s.post('451-9["x",{"_placeholder":true,"num":0}]', "b" + base64).body == b"ok"
    assert s.get() == ['439[{"error":{"code":"unknown_event"}}]']


def test_binary_over_two_posts(api, viewer):
    s = Session(api)
    s.connect(viewer.token)
    assert s.post('451-9["x",{"_placeholder":true,"num":0}]').body == b"ok"
    assert s.post("b" + base64.b64encode(b"\x00\x1e\xff").decode()).body == b"ok"
    assert s.get()[0].startswith("439[")


# ---- other origins ----

def test_preflight(special):
    origin = {"Origin": "http://app.example", "Access-Control-Request-Method": "POST",
              "Access-Control-Request-Headers": "content-type"}
    reply = special.api().request("OPTIONS", "/socket.io/?EIO=4&transport=polling",
                                  headers=origin)
    assert reply.status == 204 and reply.body == b""
    assert reply.headers["Access-Control-Allow-Origin"] == "http://app.example"
    assert reply.headers["Access-Control-Allow-Credentials"] == "true"
    assert "POST" in reply.headers["Access-Control-Allow-Methods"]
    assert "content-type" in reply.headers["Access-Control-Allow-Headers"].lower()
    assert "Origin" in reply.headers["Vary"]


def test_origins(special):
    api, query = special.api(special.viewer().token), "/socket.io/?EIO=4&transport=polling"
    good = api.get(query, headers={"Origin": "http://app.example"})
    assert good.status == 200
    assert good.headers["Access-Control-Allow-Origin"] == "http://app.example"
    assert good.headers["Access-Control-Allow-Credentials"] == "true"
    bad = api.get(query, headers={"Origin": "http://evil.example"})
    assert "Access-Control-Allow-Origin" not in bad.headers
    # An error has them too: a page could not tell otherwise.
    lost = api.get(query + "&sid=x", headers={"Origin": "http://app.example"})
    assert lost.headers["Access-Control-Allow-Origin"] == "http://app.example"
