"""GET /events beyond the order of events: streams, rooms and topics, and the life of a held
request: hang-up, stop, end of a token, plain CGI."""
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest

import sio
from conftest import SLOWER, unique, wait_until


def insert(db, topic="websites", room="", tenant=1, **data):
    with db.cursor() as c:
        c.execute("INSERT INTO ws_events (topic, event_type, payload, room, tenant_id) "
                  "VALUES (%s, 'update', %s, %s, %s)", (topic, json.dumps(data), room, tenant))
        return c.lastrowid


class Stream:
    """An event stream, message by message. HTTP/1.0, so that nothing is chunked."""

    def __init__(self, api, query="", **headers):
        self.sock = socket.create_connection((api.host, api.port), timeout=20 * SLOWER)
        lines = [f"GET /events?{query} HTTP/1.0", "Host: x", "Accept: text/event-stream",
                 f"Authorization: Bearer {api.token}", *(f"{k}: {v}" for k, v in headers.items())]
        self.sock.sendall("\r\n".join(lines + ["", ""]).encode())
        self.file = self.sock.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = http.client.parse_headers(self.file)

    def message(self):
        """The next block as {field: value}, comments under ""; None at the end."""
        got = {}
        while line := self.file.readline():
            if line == b"\n":
                return got
            field, _, value = line.decode().rstrip("\n").partition(":")
            got[field] = value.removeprefix(" ")
        assert got == {}, "the stream broke off within a message"
        return None

    def event(self):
        """The next event's id and its JSON, heartbeats passed over."""
        while (m := self.message()) is not None:
            if "data" in m:
                return int(m["id"]), json.loads(m["data"])
        return None

    def close(self):
        self.file.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def hold(api, query, got):
    """A long-poll in a thread of its own; its reply goes to got."""
    def run():
        got.append(api.clone().get("/events?" + query, timeout=60))
    t = threading.Thread(target=run, daemon=True)
    t.start()
    return t


def waiters(stack):
    return (stack.status() or {}).get("waiters")


# ---- streams ----

def test_stream_says_where_it_begins_and_goes_on_from_there(stack, admin, db):
    before = admin.tail()
    with Stream(admin, "topics=websites") as s:
        assert s.status == 200 and s.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert s.headers["Cache-Control"] == "no-store" and s.headers["X-Accel-Buffering"] == "no"
        first = s.message()
        # Not so soon that it comes into a restart, and not all at one moment.
        assert 2000 <= int(first["retry"]) <= 5000 and int(first["id"]) >= before
        one = insert(db, n=1)
        got = s.event()
        assert got[0] == one and got[1]["id"] == one and got[1]["data"] == {"n": 1}
    two, three = insert(db, n=2), insert(db, n=3)
    # The header counts, not the address the browser repeats.
    with Stream(admin, "topics=websites&since=0", **{"Last-Event-ID": one}) as s:
        assert [s.event()[0], s.event()[0]] == [two, three]
        assert insert(db, n=4) == s.event()[0]


def test_stream_that_was_never_told_of_an_event_misses_none(stack, admin, db):
    with Stream(admin) as s:
        begun = s.message()["id"]
    missed = insert(db, n=1)
    with Stream(admin, "", **{"Last-Event-ID": begun}) as s:
        assert s.event()[0] == missed


def test_the_address_may_name_the_last_event(admin, db):
    """What event-source-polyfill adds to its address when it comes back."""
    ids = [insert(db, n=n) for n in range(3)]
    for query, headers, after in [
            ("lastEventId=%d" % ids[0], {}, 0),
            ("lastEventId=%d&since=0" % ids[1], {}, 1),
            ("since=0&lastEventId=0&lastEventId=%d" % ids[1], {}, 1),
            ("since=%d&lastEventId=" % ids[1], {}, 1),
            ("lastEventId=%d" % ids[0], {"Last-Event-ID": ids[1]}, 1)]:
        with Stream(admin, "topics=websites&" + query, **headers) as s:
            s.message()
            ids.append(insert(db, n=0))
            got = []
            while ids[-1] not in got:
                got.append(s.event()[0])
            assert got == ids[after + 1:], query
    with Stream(admin, "lastEventId=x") as s:
        assert s.status == 400 and b"lastEventId" in s.file.read()
    assert admin.get("/events?timeout=0&lastEventId=x").status == 200


def test_a_stream_of_another_log_does_not_go_on(admin, db):
    """The id alone does not say of which log it is, the epoch in the address does."""
    one = insert(db, n=1)
    with Stream(admin, "epoch=other", **{"Last-Event-ID": one}) as s:
        s.message()
        assert s.message()["event"] == "reset"


def test_bad_last_event_id_is_400(admin):
    with Stream(admin, "", **{"Last-Event-ID": "x"}) as s:
        assert s.status == 400 and b"Last-Event-ID" in s.file.read()


def test_empty_epoch_is_none(admin):
    assert "reset" not in admin.get("/events?since=0&timeout=0&epoch=").json


def test_reset_in_a_stream_is_told_once(stack, admin, db):
    with Stream(admin, "since=0&epoch=other") as s:
        s.message()
        m = s.message()
        assert m["event"] == "reset" and json.loads(m["data"])["reset"]["reason"] == "epoch"
        after = int(m["id"])
        one = insert(db, n=1)
        assert s.event()[0] == one > after


def test_quiet_stream_has_a_heartbeat(own_stack):
    stack = own_stack("events.sse_heartbeat_s=1")
    with Stream(stack.admin()) as s:
        s.message()
        started = time.monotonic()
        assert s.message()[""] == "hb"
        assert s.message()[""] == "hb"
        assert 1.5 < time.monotonic() - started < 5 * SLOWER


def test_large_event_arrives_whole(stack, admin, db):
    text = "\u00e4" * 300000
    since = admin.tail()
    with Stream(admin, "topics=websites") as s:
        s.message()
        one = insert(db, text=text)
        assert s.event()[1]["data"]["text"] == text
    got = admin.poll(since)["events"]
    assert [e["data"]["text"] == text for e in got if e["id"] == one] == [True]


# ---- what a caller may see ----

def test_rooms(stack, db):
    ann, bob, admin = stack.user(roles=["viewer"]), stack.user(roles=["viewer"]), stack.admin()
    room = f"user:{ann.user['id']}"
    since = admin.tail()
    for_all, for_ann = insert(db, n=1), insert(db, room=room, n=2)
    for_role, for_none = insert(db, room="role:viewer", n=3), insert(db, room="ticket:7", n=4)
    # A room's member gets what is in it whatever its topic.
    hidden, other = insert(db, "tasks", room=room, n=5), insert(db, "tasks", n=6)

    def ids(api, last, **params):
        return [e["id"] for e in api.read_events(since, lambda got: got and got[-1]["id"] == last,
                                                 **params)]

    end = insert(db, n=7)
    assert ids(ann, end) == [for_all, for_ann, for_role, hidden, end]
    assert ids(bob, end) == [for_all, for_role, end]
    assert ids(admin, end) == [for_all, for_ann, for_role, for_none, hidden, other, end]
    assert ids(ann, end, topics=["websites"]) == [for_all, for_ann, for_role, end]
    assert ids(ann, hidden, room=[room]) == [for_ann, hidden]
    assert ids(admin, for_none, room=["ticket:7"]) == [for_none]
    for foreign in (room, "role:admin", "ticket:7"):
        reply = bob.get("/events?timeout=0&room=" + urllib.parse.quote(foreign))
        assert reply.status == 403 and foreign in reply.error["message"]


def test_an_event_of_several_rooms_comes_once(stack, db):
    """`room` has their names joined by commas; what can be no name is passed over."""
    ann, bob, admin = stack.user(roles=["viewer"]), stack.user(roles=["viewer"]), stack.admin()
    tenant = stack.tenant()
    eve = stack.user(tenant, roles=["viewer"])
    a, b = (f"user:{who.user['id']}" for who in (ann, bob))
    lists = {f"role:viewer,{a}": [ann, bob], f"{a},ticket:7": [ann], f",,{b},,{b},": [bob],
             f"{'x' * 129},{b}": [bob], f"{a},{'y,' * 256}"[:511 - len(b)] + f",{b}": [ann, bob], "ticket:7,,ticket:8": [], ",": [], f"{b} ,x{a}": []}
    since = admin.tail()
    made = {insert(db, room=rooms): who for rooms, who in lists.items()}
    end = insert(db, n=7)
    with db.cursor() as c:
        c.execute("SELECT id FROM tenants WHERE name = %s", (tenant,))
        others = insert(db, room="role:viewer", tenant=c.fetchone()[0])

    def read(api, last=end, **params):
        return api.read_events(since, lambda got: got and got[-1]["id"] == last, **params)

    for who in (ann, bob):
        assert [e["id"] for e in read(who)] == [i for i in made if who in made[i]] + [end]
    assert [e["room"] for e in read(admin)] == [*lists, None]
    assert [e["id"] for e in read(eve, others)] == [others]
    ids = [i for i, who in made.items() if ann in who]
    assert [e["id"] for e in read(ann, ids[-1], room=["role:viewer", a])] == ids
    assert ann.get(f"/events?timeout=0&room={a},{b}").status == 403


def test_a_held_request_gets_an_event_of_several_rooms_once(stack, db):
    ann = stack.user(roles=["viewer"])
    with Stream(ann) as s:
        s.message()
        one = insert(db, room=f"role:viewer,user:{ann.user['id']},role:nobody")
        two = insert(db)
        assert [s.event()[0], s.event()[0]] == [one, two]


@pytest.mark.parametrize("topic", ["tasks", "websites,tasks", "_auth", "*"])
def test_topics_need_their_permission(viewer, topic):
    assert viewer.get("/events?timeout=0&topics=" + topic).status == 403


def test_own_topics_are_no_ones(admin):
    assert admin.get("/events?timeout=0&topics=_auth").status == 403


def test_websocket_addresses_are_long_polls(stack, admin, viewer, db):
    since = admin.tail()
    insert(db, n=1)
    logs = insert(db, "logs", n=2)
    note = insert(db, "notifications", room=f"user:{viewer.user['id']}", n=3)
    insert(db, "notifications", room=f"user:{admin.user['id']}", n=4)
    end = insert(db, n=5)

    def all_of(api, path):
        got, at = [], since
        while at < end:
            reply = api.get(f"{path}?since={at}&timeout=1")
            assert reply.status == 200, reply
            got += [e["id"] for e in reply.json["events"]]
            at = reply.json["lastEventId"]
        return got

    assert all_of(viewer, "/api/v1/notifications/ws") == [note]
    assert logs in all_of(admin, "/api/ws/realtime")
    assert viewer.get("/api/ws/realtime?timeout=0").status == 403


def test_snapshot_has_the_cursor_to_go_on_from(admin):
    reply = admin.get("/api/v1/line-groups")
    since = int(reply.headers["X-Last-Event-Id"])
    made = admin.post("/api/v1/line-groups/create", {"name": unique("lg")})
    got = admin.read_events(since, lambda events: events, topics=["line-groups"])
    assert made.data["id"] in [e["data"]["id"] for e in got]
    again = admin.get("/api/v1/line-groups", headers={"If-None-Match": reply.headers["ETag"]})
    assert again.status == 200 and again.headers["ETag"] != reply.headers["ETag"]
    same = admin.get("/api/v1/line-groups", headers={"If-None-Match": again.headers["ETag"]})
    assert same.status == 304 and same.body == b""
    admin.post("/api/v1/line-groups/delete", {"ids": [made.data["id"]]})


# ---- the life of a held request ----

# lighttpd 1.4.69 watches for the hang-up of a client whose request was there at the accept only once
# it has something to send: stopped while the client connects and asks, it is in that place for sure.
@pytest.mark.parametrize("is_late", [False, True], ids=["lighttpd-waits", "lighttpd-late"])
@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_client_that_hangs_up_frees_its_slot(own_stack, accept, is_late):
    stack = own_stack()
    admin = stack.admin()
    if is_late:
        os.kill(stack.pid("lighttpd"), signal.SIGSTOP)
    with socket.create_connection((admin.host, admin.port)) as s:
        s.sendall(f"GET /events?timeout=50 HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n"
                  f"Authorization: Bearer {admin.token}\r\n\r\n".encode())
        if is_late:
            os.kill(stack.pid("lighttpd"), signal.SIGCONT)
        wait_until(lambda: waiters(stack) == 1)
    wait_until(lambda: waiters(stack) == 0, 2, "the slot of a client that has gone")
    assert "unexpected end-of-file" not in stack.log("lighttpd.error")


def test_stop_sends_everyone_on_with_a_cursor(own_stack):
    stack = own_stack()
    admin = stack.admin()
    since, got = admin.tail(), []
    held = [hold(admin, f"since={since}&timeout=50", got) for _ in range(6)]
    with Stream(admin) as s:
        s.message()
        wait_until(lambda: waiters(stack) == 7)
        for name in ("fcgi-1", "fcgi-2"):
            os.kill(stack.pid(name), signal.SIGTERM)
        assert s.event() is None
    for t in held:
        t.join(5 * SLOWER)
    assert len(got) == 6
    for reply in got:
        assert reply.status == 200 and reply.json["events"] == []
        assert reply.json["lastEventId"] == since


def test_stop_finishes_what_runs(own_stack):
    stack = own_stack()
    admin = stack.admin()
    made = admin.post("/api/v1/line-groups/create", {"name": "slow"}).data
    change, got = {"id": made["id"], "description": "changed while stopping"}, []
    with stack.connect(autocommit=False) as db, db.cursor() as c:
        c.execute("SELECT id FROM line_groups WHERE id = %s FOR UPDATE", (made["id"],))
        t = threading.Thread(target=lambda: got.append(
            admin.clone().post("/api/v1/line-groups/update", change)), daemon=True)
        t.start()
        wait_until(lambda: "line_groups" in str(stack_statements(stack)))
        for name in ("fcgi-1", "fcgi-2"):
            os.kill(stack.pid(name), signal.SIGTERM)
        wait_until(lambda: all("finishing what runs" in stack.log(n) for n in ("fcgi-1", "fcgi-2")))
        assert got == []
        db.rollback()
    t.join(10 * SLOWER)
    assert got and got[0].status == 200 and got[0].data["description"] == change["description"]


def stack_statements(stack):
    """What cmdb-fcgi's connections are executing."""
    with stack.connect() as db, db.cursor() as c:
        c.execute("SELECT info FROM information_schema.processlist "
                  "WHERE user = 'cmdb_fcgi' AND command IN ('Execute', 'Query')")
        return c.fetchall()


def test_reload_takes_a_good_configuration_and_refuses_a_bad_one(own_stack):
    stack = own_stack()
    admin = stack.admin()
    path = stack.env["CMDB_CONFIG"]
    with open(path, encoding="utf-8") as f:
        good = f.read()

    def reload(text):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        for name in ("fcgi-1", "fcgi-2"):
            os.kill(stack.pid(name), signal.SIGHUP)

    reload(good.replace("[fcgi]", "[fcgi]\nnonsense = 1"))
    for name in ("fcgi-1", "fcgi-2"):
        wait_until(lambda: "kept as it was" in stack.log(name) and "nonsense" in stack.log(name))
    assert admin.get("/api/v1/websites").status == 200
    origin = {"Origin": "https://new.example.com"}
    assert "Access-Control-Allow-Origin" not in admin.get("/healthz", headers=origin).headers
    reload(good.replace("[http]", "").replace("cors_origins", ";cors_origins")
           + "\n[http]\ncors_origins = https://new.example.com\n")
    wait_until(lambda: all("Access-Control-Allow-Origin" in
                           admin.get("/healthz", headers=origin).headers for _ in range(8)))


def test_reload_of_the_poller(own_stack):
    """What may change does, a bad file changes nothing, and a storm of signals does no harm."""
    stack = own_stack()
    admin, pid, path = stack.admin(), stack.pid("poller"), stack.env["CMDB_CONFIG"]
    with open(path, encoding="utf-8") as f:
        good = f.read()

    def reload(text):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.kill(pid, signal.SIGHUP)

    def open_session():
        return admin.clone(token=None).get(f"/socket.io/?EIO=4&transport=polling&token={admin.token}")

    reload(good + "\n[socketio]\nnonsense = 1\n")
    wait_until(lambda: "kept as it was" in stack.log("poller"))
    assert "nonsense" in stack.log("poller")
    assert open_session().status == 200
    client = sio.Client(stack.url)
    assert client.connect({"token": admin.token})[0] == "0"
    reload(good.replace("[poller]", "[poller]\ntimer_ms = 44")
           + "\n[socketio]\nmax_sessions = 1\n[log]\nlevel = debug\n")
    wait_until(lambda: "changed: socketio.max_sessions, log.level" in stack.log("poller"))
    assert "next start only: poller.timer_ms" in stack.log("poller")
    wait_until(lambda: open_session().status == 403)
    with stack.connect() as db, db.cursor() as c:
        connects = "SHOW GLOBAL STATUS LIKE 'Connections'"
        c.execute(connects)
        before = int(c.fetchone()[1])
        for _ in range(100):
            for name in ("poller", "fcgi-1", "fcgi-2"):
                os.kill(stack.pid(name), signal.SIGHUP)
            assert admin.get("/api/v1/nodes?page_size=1").status == 200
        c.execute(connects)
        # Nobody connects anew because of it; threads that were idle may.
        assert int(c.fetchone()[1]) - before < 40
    for _ in range(300):
        os.kill(pid, signal.SIGHUP)
        for name in ("fcgi-1", "fcgi-2"):
            os.kill(stack.pid(name), signal.SIGHUP)
    reload(good)
    wait_until(lambda: open_session().status == 200)
    assert stack.pid("poller") == pid and stack.status()
    assert admin.get("/api/v1/websites").status == 200


def sent_on_and_refused(client, reply, code):
    """What is held has its status already: it ends without events, and the next request is told."""
    assert reply.status == 200 and reply.json["events"] == [], reply
    again = client.get(f"/events?since={reply.json['lastEventId']}")
    assert again.status == 401 and again.error["code"] == code
    assert 'error="invalid_token"' in again.headers["WWW-Authenticate"]


def test_token_that_expires_ends_what_it_holds(stack, admin):
    user = stack.user(roles=["viewer"])
    token = stack.ctl("token", "issue", user.user["username"], "--ttl", "3", "--json")
    short, got = stack.api(token.get("access_token") or token.get("token")), []
    started = time.monotonic()
    held = hold(short, f"since={admin.tail()}&timeout=50", got)
    with Stream(short) as s:
        s.message()
        m = s.message()
        assert m["event"] == "error" and json.loads(m["data"])["code"] == "token_expired"
        assert s.message() is None
    held.join(10)
    assert 1 < time.monotonic() - started < 6
    sent_on_and_refused(short, got[0], "token_expired")


def test_logout_ends_streams_too(stack):
    user = stack.user()
    with Stream(user) as s:
        s.message()
        wait_until(lambda: waiters(stack))
        assert user.post("/api/v1/auth/logout").status == 200
        started = time.monotonic()
        m = s.message()
        assert m["event"] == "error" and json.loads(m["data"])["code"] == "token_revoked"
        assert s.message() is None and time.monotonic() - started < 1 * SLOWER


def test_revocation_while_the_poller_was_away_counts(own_stack):
    stack = own_stack()
    user, other = stack.user(), stack.user()
    since, got, kept = user.tail(), [], []
    held = hold(user, f"since={since}&timeout=20", got)
    stays = hold(other, f"since={since}&timeout=20", kept)
    with Stream(user) as s:
        s.message()
        wait_until(lambda: waiters(stack) == 3)
        os.kill(stack.pid("poller"), signal.SIGKILL)
        stack.ctl("user", "disable", user.user["username"])
        held.join(10 * SLOWER)
        sent_on_and_refused(user, got[0], "token_revoked")
        assert s.message()["event"] == "error"
    assert kept == []
    with stack.connect() as db:
        one = insert(db, n=1)
    stays.join(10 * SLOWER)
    assert [e["id"] for e in kept[0].json["events"]] == [one]


def test_no_more_are_held_than_is_allowed(own_stack):
    stack = own_stack("fcgi.max_parked=1")
    admin, got = stack.admin(), []
    since = admin.tail()
    held = [hold(admin, f"since={since}&timeout=20", got) for _ in range(6)]
    wait_until(lambda: len(got) == 4)
    for reply in got:
        assert reply.status == 503 and reply.error["code"] == "busy"
        assert int(reply.headers["Retry-After"]) >= 1
    wait_until(lambda: waiters(stack) == 2)
    with stack.connect() as db:
        insert(db, n=1)
    for t in held:
        t.join(10 * SLOWER)
    assert [r.status for r in got[4:]] == [200, 200]


# ---- plain CGI ----

def cgi(stack, admin, method, path, query="", body=None, **more):
    program = os.path.join(os.path.dirname(stack.env["CMDB_CTL"]), "../sbin/cmdb-fcgi")
    env = {"GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": method, "QUERY_STRING": query,
           "SCRIPT_NAME": "/cgi-bin/cmdb-fcgi", "PATH_INFO": path, "REMOTE_ADDR": "127.0.0.1",
           "REQUEST_URI": f"/cgi-bin/cmdb-fcgi{path}?{query}",
           "CMDB_CONFIG": stack.env["CMDB_CONFIG"],
           "HTTP_AUTHORIZATION": f"Bearer {admin.token}"}
    if body is not None:
        env.update(CONTENT_TYPE="application/json", CONTENT_LENGTH=str(len(body)))
    p = subprocess.Popen([*os.environ.get("CMDB_WRAP", "").split(), program], env=env,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, **more)
    if body is not None:
        p.stdin.write(body)
        p.stdin.flush()
    return p


def answer(p):
    out, _ = p.communicate(timeout=30 * SLOWER)
    head, _, body = out.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def test_plain_cgi_answers_and_publishes(stack, admin):
    since = admin.tail()
    status, got = answer(cgi(stack, admin, "POST", "/api/v1/line-groups/create",
                             body=json.dumps({"name": unique("cgi")}).encode()))
    assert status == 201
    events = admin.read_events(since, lambda events: events, topics=["line-groups"])
    assert events[0]["data"]["id"] == got["data"]["id"]
    assert answer(cgi(stack, admin, "GET", "/healthz"))[0] == 200
    assert answer(cgi(stack, admin, "GET", "/nothing"))[0] == 404
    admin.post("/api/v1/line-groups/delete", {"ids": [got["data"]["id"]]})


def test_plain_cgi_holds_a_poll(stack, admin, db):
    since, before = admin.tail(), waiters(stack)
    p = cgi(stack, admin, "GET", "/events", f"since={since}&timeout=20&topics=websites")
    wait_until(lambda: waiters(stack) == before + 1)
    one = insert(db, n=1)
    status, got = answer(p)
    assert status == 200 and [e["id"] for e in got["events"]] == [one]
    status, got = answer(cgi(stack, admin, "GET", "/events", f"since={one}&timeout=0&topics=tasks"))
    assert status == 200 and got["events"] == []


def test_plain_cgi_ends_when_the_web_server_hangs_up(stack, admin):
    before = waiters(stack)
    p = cgi(stack, admin, "GET", "/events", "timeout=50")
    wait_until(lambda: waiters(stack) == before + 1)
    p.stdin.close()
    p.stdout.close()
    p.wait(5 * SLOWER)


def test_started_without_a_socket_it_says_how(stack):
    program = os.path.join(os.path.dirname(stack.env["CMDB_CTL"]), "../sbin/cmdb-fcgi")
    done = subprocess.run([program], env={"CMDB_CONFIG": stack.env["CMDB_CONFIG"]}, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == 1 and "--listen" in done.stderr


def test_second_process_on_one_socket_is_refused_and_a_stale_one_taken(stack, tmp_path):
    program = os.path.join(os.path.dirname(stack.env["CMDB_CTL"]), "../sbin/cmdb-fcgi")
    path = tmp_path / "a.sock"

    def start():
        return subprocess.Popen([program, "--config", stack.env["CMDB_CONFIG"], "--listen", path],
                                stderr=subprocess.PIPE, text=True)

    def is_up():
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(str(path)) == 0

    first = start()
    try:
        wait_until(is_up)
        second = start()
        assert second.wait(10 * SLOWER) == 1 and "another process listens" in second.stderr.read()
        first.kill()
        first.wait()
        assert path.exists()
        first = start()
        wait_until(is_up)
        first.terminate()
        assert first.wait(10 * SLOWER) == 0
        assert not path.exists()
    finally:
        first.kill()


# ---- cursors that cannot be gone on from, and changes that did not happen ----

@pytest.mark.parametrize("query,reason", [
    ("since=999999999&timeout=0", "ahead"),
    ("since=999999999&timeout=5", "ahead"),
    ("since=0&timeout=0&epoch=00000000000000000000000000000000", "epoch"),
])
def test_foreign_cursor_is_told_to_start_anew(admin, query, reason):
    tail = admin.tail()
    got = admin.get("/events?" + query).json
    assert got["events"] == [] and got["reset"] == {"reason": reason}
    assert got["lastEventId"] >= tail and got["epoch"]
    assert "reset" not in admin.poll(got["lastEventId"], timeout=0, epoch=got["epoch"])


def test_expired_cursor_is_told_to_start_anew(own_stack):
    stack = own_stack()
    admin = stack.admin()
    with stack.connect() as db:
        last = [insert(db, n=n) for n in range(10)][-1]
    wait_until(lambda: stack.has_noted(last))
    stack.ctl("events", "prune", "--rows", "3")
    for since in (0, last - 4):
        assert admin.poll(since, timeout=0)["reset"] == {"reason": "expired"}
    kept = admin.poll(last - 3, timeout=0)
    assert [e["id"] for e in kept["events"]] == [last - 2, last - 1, last]


def test_a_refused_change_emits_nothing(stack):
    user = stack.user(stack.tenant())
    site = {"domains": [f"{unique()}.example"], "origin_mode": "redirect",
            "redirect_url": "https://example.org/"}
    before = user.tail()
    made = user.post("/api/v1/websites/create", site).data["id"]
    since = user.read_events(before, lambda events: events, topics="websites")[-1]["id"]
    assert user.post("/api/v1/websites/create", site).status == 409
    assert user.post("/api/v1/websites/delete", {"ids": [made, 999999999]}).status == 404
    assert user.post("/api/v1/websites/update",
                     {"id": made, "version": 99, "status": "inactive"}).status == 409
    assert user.post("/api/v1/websites/update", {"id": made, "status": "inactive"}).status == 200
    got = user.read_events(since, lambda events: events, topics="websites")
    assert [(e["type"], e["data"]["id"], e["data"]["version"]) for e in got] == [("update", made, 2)]
    assert user.get(f"/api/v1/websites/{made}").data == got[0]["data"]
