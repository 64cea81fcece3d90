"""HTTP as docs/http.md, section 1, has it: what bad input gets, and what every answer carries."""
import re
import socket

import pytest

LOGIN = "/api/v1/auth/login"
CREATE = "/api/v1/line-groups/create"
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


def fails(reply, status, code):
    assert reply.status == status, reply
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.error["code"] == code and reply.error["message"], reply
    assert isinstance(reply.error["details"], list)
    # Nothing of how it is made: SQL, files, addresses.
    assert not re.search(rb"SELECT|INSERT|sql|\.c:|0x[0-9a-f]{6}|/tmp/|mariadb", reply.body, re.I)
    return reply.error


def is_bad(reply):
    """400 or 422. What is not even UTF-8 the web server may refuse before us, in its own words."""
    assert reply.status in (400, 422), reply
    assert reply.headers["Content-Type"] != "application/json" or reply.error["message"]


def count(db, table):
    with db.cursor() as c:
        c.execute(f"SELECT COUNT(*) FROM {table}")
        return c.fetchone()[0]


# ---- bodies ----

MALFORMED = {
    "empty": b"",
    "blank": b"  \n ",
    "no JSON": b"hello",
    "cut off": b'{"name":"x"',
    "two values": b'{"name":"x"}{"name":"y"}',
    "trailing byte": b'{"name":"x"}x',
    "trailing comma": b'{"name":"x",}',
    "single quotes": b"{'name':'x'}",
    "comment": b'{"name":"x" /* y */}',
    "bare key": b'{name:"x"}',
    "NaN": b'{"name":NaN}',
    "plus": b'{"name":+1}',
    "leading zero": b'{"name":01}',
    "hex": b'{"name":0x1}',
    "key twice": b'{"name":"x","name":"y"}',
    "too deep": b'{"name":' + b"[" * 200 + b"]" * 200 + b"}",
    "NUL": b'{"name":"x\0y"}',
    "NUL behind": b'{"name":"x"}\0',
    "escaped NUL": b'{"name":"x\\u0000y"}',
    "invalid UTF-8": b'{"name":"\xff\xfe"}',
    "overlong UTF-8": b'{"name":"\xc0\xaf"}',
    "surrogate in UTF-8": b'{"name":"\xed\xa0\x80"}',
    "half a surrogate pair": b'{"name":"\\ud800"}',
    "control character": b'{"name":"a\nb"}',
    "byte order mark": b'\xef\xbb\xbf{"name":"x"}',
    "UTF-16": '{"name":"x"}'.encode("utf-16"),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_json_is_400_and_changes_nothing(admin, db, body):
    before = count(db, "line_groups"), count(db, "ws_events")
    fails(admin.post(CREATE, body), 400, "malformed_json")
    assert (count(db, "line_groups"), count(db, "ws_events")) == before


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null", b"true"])
def test_json_that_is_no_object_is_400(admin, body):
    assert fails(admin.post(CREATE, body), 400, "bad_request")


INVALID = {
    "name is missing": ({}, "name"),
    "null": ({"name": None}, "name"),
    "number for text": ({"name": 7}, "name"),
    "list for text": ({"name": ["x"]}, "name"),
    "object for text": ({"name": {"x": 1}}, "name"),
    "bool for text": ({"name": True}, "name"),
    "empty": ({"name": ""}, "name"),
    "over-long": ({"name": "x" * 65}, "name"),
    "far over-long": ({"name": "x" * 100000}, "name"),
    "unknown field": ({"name": "x", "nmae": "x"}, "nmae"),
    "read-only field": ({"name": "x", "id": 7}, "id"),
    "other's tenant": ({"name": "x", "tenant_id": 2}, "tenant_id"),
    "over-long key": ({"name": "x", "k" * 5000: 1}, None),
    "hostile key": ({"name": "x", "a\"b<script>'; DROP TABLE users": 1}, None),
}


@pytest.mark.parametrize("body, field", INVALID.values(), ids=INVALID.keys())
def test_invalid_fields_are_422_and_change_nothing(admin, db, body, field):
    before = count(db, "line_groups"), count(db, "ws_events")
    error = fails(admin.post(CREATE, body), 422, "validation_failed")
    assert all(set(d) == {"field", "problem"} for d in error["details"])
    assert field is None or field in [d["field"] for d in error["details"]]
    assert (count(db, "line_groups"), count(db, "ws_events")) == before


def test_all_problems_are_told_at_once(admin):
    error = fails(admin.post("/api/v1/websites/create", {
        "domains": ["no host name"], "origin_mode": "telepathy", "https_enabled": "yes", "x": 1,
    }), 422, "validation_failed")
    fields = {d["field"].split("[")[0] for d in error["details"]}
    assert fields == {"domains", "origin_mode", "https_enabled", "x"}


def test_body_of_the_largest_size_is_read_and_one_byte_more_is_413(stack, admin):
    limit = stack.ctl("config", "show", "--json")["fcgi"]["max_body"]
    body = b'{"name":"' + b"x" * (limit - 11) + b'"}'
    fails(admin.post(CREATE, body), 422, "validation_failed")
    fails(admin.post(CREATE, body + b" "), 413, "payload_too_large")
    # Also without a login, so that nobody can fill memory; far larger ones the web server refuses
    # itself, so that nobody can fill its disk.
    fails(stack.api().post(LOGIN, b"x" * (limit * 3 // 2)), 413, "payload_too_large")
    assert stack.api().post(LOGIN, b"x" * (5 * limit)).status == 413
    assert admin.get("/api/v1/auth/me").status == 200


def test_chunked_body_is_read(admin):
    def pieces():
        yield b'{"name":'
        yield b"7}"
    fails(admin.request("POST", CREATE, pieces(), {"Content-Type": "application/json"}), 422,
          "validation_failed")


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "",
                                   "application/jsonp", "application/json; charset=latin-1",
                                   "multipart/form-data; boundary=x"])
def test_other_media_types_are_415(admin, media):
    fails(admin.post(CREATE, b'{"name":"x"}', headers={"Content-Type": media}), 415,
          "unsupported_media_type")


@pytest.mark.parametrize("media", ["application/json; charset=utf-8", "Application/JSON",
                                   'application/json;charset="UTF-8"'])
def test_json_media_types_are_taken(admin, media):
    fails(admin.post(CREATE, b"{}", headers={"Content-Type": media}), 422, "validation_failed")


# ---- addresses and methods ----

@pytest.mark.parametrize("path", [
    "/api/", "/api/v1", "/api/v1/nothing", "/api/v2/websites", "/api/v1/websites/", "/ws/nothing",
    "/api/v1/websites/x", "/api/v1/websites/0", "/api/v1/websites/-1", "/api/v1/websites/01",
    "/api/v1/websites/1.0", "/api/v1/websites/99999999999999999999", "/api/v1/websites/1/more",
    "/api/v1/Websites", "/api/v1/websites/9223372036854775807", "/api/v1/websites/%31x",
    "/api/v1/" + "a" * 900,
])
def test_unknown_addresses_are_404(admin, path):
    fails(admin.get(path), 404, "not_found")


@pytest.mark.parametrize("path", ["/api/v1/%ff", "/api/v1/%", "/api/v1/%zz", "/api/v1/%c0%af"])
def test_broken_addresses_are_refused(admin, path):
    assert admin.get(path).status in (400, 404)


@pytest.mark.parametrize("n", [1100, 4000])
def test_addresses_that_are_too_long_are_told_so(admin, n):
    reply = admin.get("/api/v1/" + "a" * n)
    fails(reply, 400, "bad_request")
    assert "too long" in reply.error["message"] and "1024 bytes" in reply.error["message"]


@pytest.mark.parametrize("query", ["page=0", "page=-1", "page=x", "page=1.5", "page=",
                                   "page_size=0", "page_size=201", "page_size=1e3",
                                   "page=99999999999999999999", "sort=password_hash", "sort=",
                                   "nonsense=1", "status=%ff", "status=%zz", "status=%00",
                                   "status=unheard-of", "line_group_id=x"])
def test_bad_list_parameters_are_refused(admin, query):
    is_bad(admin.get("/api/v1/websites?" + query))


@pytest.mark.parametrize("query", ["since=x", "since=-1", "since=1.5", "since=18446744073709551616",
                                   "since=", "timeout=x", "timeout=-1", "timeout=56", "limit=0",
                                   "limit=x", "topics=%ff", "topics=" + "x" * 65,
                                   "topics=a%00b", "epoch=" + "x" * 200])
def test_bad_event_parameters_are_refused(admin, query):
    is_bad(admin.get("/events?" + query))


def test_a_content_encoding_is_415(admin):
    reply = admin.post(CREATE, b"{}", headers={"Content-Type": "application/json",
                                               "Content-Encoding": "gzip"})
    fails(reply, 415, "unsupported_media_type")
    assert reply.headers["Accept-Encoding"] == "identity"
    assert "Content-Encoding" in reply.error["message"]
    assert admin.post(CREATE, b"{}", headers={"Content-Type": "application/json",
                                              "Content-Encoding": "identity"}).status == 422


@pytest.mark.parametrize("method, path, allow", [
    ("GET", LOGIN, {"POST", "OPTIONS"}),
    ("DELETE", LOGIN, {"POST", "OPTIONS"}),
    ("POST", "/api/v1/websites", {"GET", "HEAD", "OPTIONS"}),
    ("PUT", "/api/v1/websites", {"GET", "HEAD", "OPTIONS"}),
    ("POST", "/api/v1/websites/1", {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}),
    ("POST", "/events", {"GET", "HEAD", "OPTIONS"}),
    ("GET", CREATE, {"POST", "OPTIONS"}),
    ("PATCH", CREATE, {"POST", "OPTIONS"}),
])
def test_wrong_methods_are_405_with_allow(admin, method, path, allow):
    reply = admin.request(method, path)
    fails(reply, 405, "method_not_allowed")
    assert {m.strip() for m in reply.headers["Allow"].split(",")} == allow


def test_head_is_get_without_a_body(admin):
    got, head = admin.get("/api/v1/websites"), admin.request("HEAD", "/api/v1/websites")
    assert head.status == 200 and head.body == b""
    assert head.headers["Content-Length"] == got.headers["Content-Length"] == str(len(got.body))
    assert admin.request("HEAD", "/api/v1/nothing").status == 404


@pytest.mark.parametrize("path", ["/api/ws/realtime", "/api/v1/notifications/ws"])
def test_websocket_upgrade_is_426_with_the_way_on(stack, admin, path):
    reply = admin.get(path, headers={"Upgrade": "websocket", "Connection": "Upgrade",
                                     "Sec-WebSocket-Version": "13",
                                     "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
    assert reply.status == 426, reply
    assert b"polling" in reply.body


@pytest.mark.parametrize("body", [None, b"", b"{}"])
def test_what_takes_no_arguments_takes_no_body_or_an_empty_one(stack, body):
    user = stack.user(roles=["viewer"])
    headers = {"Content-Type": "application/json"} if body else {}
    if body is None:
        headers["Content-Length"] = "0"
    reply = user.request("POST", "/api/v1/auth/logout", body, headers=headers)
    assert reply.status == 200, reply
    assert user.get("/api/v1/auth/me").status == 401


# ---- what every answer carries ----

@pytest.mark.parametrize("path, status", [
    ("/healthz", 200), ("/api/v1/websites", 200), ("/api/v1/nothing", 404), ("/api/v1/%zz", 400),
    ("/events?timeout=0", 200), ("/events?since=x", 400), (LOGIN, 405)])
def test_security_headers_and_request_id_everywhere(admin, path, status):
    reply = admin.get(path)
    assert reply.status in (status, 422 if status == 400 else status), reply
    for name, value in SECURITY.items():
        if name == "Cache-Control" and path == "/api/v1/websites":
            continue  # revalidated by ETag
        assert reply.headers[name] == value, name
    assert re.fullmatch(r"[0-9a-f]{32}", reply.headers["X-Request-Id"])


def test_request_ids_differ_and_are_not_the_clients(api):
    mine = {"X-Request-Id": "0" * 32}
    ids = {api.get("/healthz", headers=mine).headers["X-Request-Id"] for _ in range(5)}
    assert len(ids) == 5 and "0" * 32 not in ids


def test_unauthenticated_is_401_and_says_how(api):
    for path in ("/api/v1/websites", "/events", "/api/v1/auth/me"):
        reply = api.get(path)
        fails(reply, 401, "unauthenticated")
        assert reply.headers["WWW-Authenticate"].startswith("Bearer")


# ---- other origins ----

GOOD, BAD = "https://console.example.com", "https://evil.example.com"


def test_cors(own_stack):
    stack = own_stack(f"http.cors_origins={GOOD} http://localhost:3000")
    admin = stack.admin()

    reply = admin.get("/api/v1/websites", headers={"Origin": GOOD})
    assert reply.headers["Access-Control-Allow-Origin"] == GOOD
    assert reply.headers["Access-Control-Allow-Credentials"] == "true"
    assert "Origin" in reply.headers["Vary"]
    # A failure must be readable too.
    assert stack.api().get("/api/v1/websites", headers={"Origin": GOOD}).headers[
        "Access-Control-Allow-Origin"] == GOOD

    for origin in (BAD, "null", GOOD + ".evil.example.com", GOOD.upper(), "*"):
        headers = admin.get("/api/v1/websites", headers={"Origin": origin}).headers
        assert "Access-Control-Allow-Origin" not in headers, origin

    asks = {"Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type"}
    reply = stack.api().request("OPTIONS", CREATE, headers={"Origin": GOOD, **asks})
    assert reply.status == 204 and reply.body == b""
    assert reply.headers["Access-Control-Allow-Origin"] == GOOD
    assert "POST" in reply.headers["Access-Control-Allow-Methods"]
    allowed = reply.headers["Access-Control-Allow-Headers"].lower()
    # The last two are what EventSource implementations other than browsers' send.
    for name in ("authorization", "content-type", "last-event-id", "cache-control"):
        assert name in allowed.split(", "), name
    reply = stack.api().request("OPTIONS", CREATE, headers={"Origin": BAD, **asks})
    assert "Access-Control-Allow-Origin" not in reply.headers


def test_options_without_cors_names_the_methods(api):
    reply = api.request("OPTIONS", CREATE)
    assert reply.status == 204 and "POST" in reply.headers["Allow"]


# ---- below HTTP ----

def talk(stack, data):
    """Sends bytes as they are and returns all that comes back."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=20) as s:
        s.sendall(data)
        got = b""
        while chunk := s.recv(65536):
            got += chunk
        return got


def test_body_shorter_than_its_length_harms_nobody(stack, api):
    with socket.create_connection(("127.0.0.1", stack.port), timeout=20) as s:
        s.sendall(b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n"
                  b"Content-Type: application/json\r\n\r\n{\"user")
        s.shutdown(socket.SHUT_WR)
        while s.recv(65536):
            pass
    assert api.get("/healthz").status == 200


@pytest.mark.parametrize("head", [
    b"GET /api/v1/a\0b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET /api/v1/websites HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\0b\r\n"
    b"Connection: close\r\n\r\n",
    b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n"
    b"Connection: close\r\n\r\n",
    b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n"
    b"Connection: close\r\n\r\nab",
    b"GARBAGE\r\n\r\n",
])
def test_garbage_on_the_wire_is_4xx(stack, head):
    assert re.match(rb"HTTP/1\.[01] 4\d\d ", talk(stack, head))


# ---- idempotency ----

def test_idempotency_key_gives_the_stored_answer(admin, db):
    name, key = "idem-" + admin.user["username"], {"Idempotency-Key": "7f0c-http-1"}
    first = admin.post(CREATE, {"name": name}, headers=key)
    assert first.status == 201, first
    events = count(db, "ws_events")
    again = admin.post(CREATE, {"name": name}, headers=key)
    assert (again.status, again.data) == (first.status, first.data)
    assert count(db, "ws_events") == events
    fails(admin.post(CREATE, {"name": name + "x"}, headers=key), 409, "idempotency_key_reused")
    admin.post("/api/v1/line-groups/delete", {"ids": [first.data["id"]]})


def test_refused_change_is_not_kept_under_its_key(admin):
    key = {"Idempotency-Key": "7f0c-http-2"}
    fails(admin.post(CREATE, {"name": ""}, headers=key), 422, "validation_failed")
    made = admin.post(CREATE, {"name": "mended-" + key["Idempotency-Key"]}, headers=key)
    assert made.status == 201, made
    admin.post("/api/v1/line-groups/delete", {"ids": [made.data["id"]]})


# ---- health ----

def test_healthz_needs_no_login(api):
    reply = api.get("/healthz")
    assert reply.status == 200


def test_static_files_are_the_web_servers(api):
    assert b"cmdb runs here" in api.get("/").body
