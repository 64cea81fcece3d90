"""The same behind each of the web servers people have: what they do with connections, bodies and
answers that come late differs."""
import gzip
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

import webservers
from conftest import SLOWER, stack_home, unique, wait_until

CREATE = "/api/v1/line-groups/create"
ALL = list(webservers.SERVERS)
# They speak FastCGI with the stack's own processes.
FASTCGI = ["nginx", "apache_proxy", "caddy"]


@pytest.fixture
def front(request, stack):
    """front(name): that web server before the stack, or before another."""
    made = []

    def make(name, of=None):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="w", dir="/tmp"))
        server = webservers.WebServer(name, of or stack, directory)
        made.append((server, directory))
        return server

    yield make
    for server, directory in made:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.parametrize("name", ALL)
def test_answers(front, admin, name):
    api = front(name).api(admin.token)
    made = api.post(CREATE, {"name": unique("w")}).data
    assert api.get(f"/api/v1/line-groups/{made['id']}").data["name"] == made["name"]
    assert api.get("/api/v1/nothing").error["code"] == "not_found"
    assert api.clone(token=None).get("/api/v1/line-groups").status == 401
    for path in ("/ws/connections", "/api/ws/connections"):
        assert api.get(path + "?user=nobody").data["total"] == 0
    since = api.tail()
    event = threading.Timer(0.5, lambda: admin.clone().post(CREATE, {"name": unique("w")}))
    event.start()
    got = api.read_events(since, lambda e: len(e) >= 1, topics="line-groups")
    event.join()
    assert got[-1]["topic"] == "line-groups"


@pytest.mark.parametrize("name", FASTCGI)
def test_many_posts_are_all_answered_soon(front, admin, name):
    """On connections that the web server keeps, too."""
    server = front(name)
    slow, bad = [], []

    def post():
        api = server.api(admin.token)
        for _ in range(60):
            started = time.monotonic()
            reply = api.post(CREATE, {"name": unique("w")}, headers={"Connection": "keep-alive"})
            if reply.status != 201:
                bad.append(reply)
            if time.monotonic() - started > 1.5 * SLOWER:
                slow.append(time.monotonic() - started)
        for path in ("/api/v1/auth/refresh", "/nothing"):
            reply = api.post(path, b"x" * 5000)  # a body that is not looked at
            if reply.status not in (400, 404):
                bad.append(reply)
    threads = [threading.Thread(target=post) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not bad and not slow, (bad, slow)


def chunked(server, token, path, body, headers=()):
    """A POST whose length is not told."""
    c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30 * SLOWER)
    pieces = [body[i:i + 7] for i in range(0, len(body), 7)]
    c.request("POST", path, iter(pieces), {"Content-Type": "application/json",
                                          "Authorization": f"Bearer {token}",
                                          "Transfer-Encoding": "chunked", **dict(headers)},
              encode_chunked=True)
    reply = c.getresponse()
    out = reply.status, reply.read()
    c.close()
    return out


@pytest.mark.parametrize("name", ALL)
def test_chunked_bodies(front, admin, name):
    status, body = chunked(front(name), admin.token, CREATE,
                           json.dumps({"name": unique("w")}).encode())
    if status == 411:
        assert name == "apache_cgid" and json.loads(body)["error"]["code"] == "length_required"
    else:
        assert status == 201, (status, body)


@pytest.mark.parametrize("name", ALL)
def test_packed_lines_of_logs(front, admin, name):
    """Nobody inflates them on the way, or forgets to say how they are packed."""
    server, device = front(name), unique("d")
    lines = [json.dumps({"deviceId": device, "level": "INFO", "message": f"{i} ü"}) for i in range(400)]
    packed = gzip.compress("\n".join(lines).encode())
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    status, body = chunked(server, admin.token, "/api/logs", packed, headers)
    if status == 411:
        assert name == "apache_cgid"
        reply = server.api(admin.token).post("/api/logs", packed, headers=headers)
        status, body = reply.status, reply.body
    assert status == 201, body
    exported = server.api(admin.token).get(f"/api/logs?device={device}&format=ndjson&order=asc").body
    assert [json.loads(line)["message"] for line in exported.splitlines()] == \
        [f"{i} ü" for i in range(400)]


def hold(server, token, query="timeout=20", headers=()):
    """A held /events: its socket."""
    s = socket.create_connection(("127.0.0.1", server.port))
    s.settimeout(60 * SLOWER)
    more = "".join(f"{h}\r\n" for h in headers)
    s.sendall(f"GET /events?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
              f"{more}Connection: close\r\n\r\n".encode())
    return s


def read_all(s):
    got = b""
    try:
        while more := s.recv(65536):
            got += more
    except ConnectionError:
        pass
    return got


@pytest.mark.parametrize("name", ALL)
def test_a_held_request_stays_held(front, admin, name):
    """Nobody takes what the web server does meanwhile for a hang-up."""
    started = time.monotonic()
    server = front(name)
    started = time.monotonic()
    got = read_all(hold(server, admin.token, "timeout=2"))
    assert got.startswith(b"HTTP/1.1 200"), got
    assert b'"lastEventId"' in got and time.monotonic() - started > 1.9


@pytest.mark.parametrize("name", ALL)
def test_a_stream_goes_on(front, admin, name):
    """What is committed some time after it began is in it, without being held back."""
    server = front(name)
    s = hold(server, admin.token, "topics=line-groups", ["Accept: text/event-stream"])
    got = b""
    while b"id: " not in got:
        got += s.recv(65536)
    time.sleep(1)  # longer than whoever takes the request's end for a hang-up would wait
    made = admin.post(CREATE, {"name": unique("w")}).data
    while made["name"].encode() not in got:
        more = s.recv(65536)
        assert more, got
        got += more
    s.close()


@pytest.mark.parametrize("name", FASTCGI)
def test_a_killed_process_is_no_answer(front, own_stack, name):
    """A poll whose process is killed does not end as a complete, empty 200."""
    stack = own_stack()
    admin = stack.admin()
    server = front(name, stack)
    s = hold(server, admin.token, "timeout=12")
    wait_until(lambda: stack.status()["waiters"] == 1)
    time.sleep(0.6)  # longer than a head would be held back
    for victim in ("fcgi-1", "fcgi-2"):
        os.kill(stack.pid(victim), signal.SIGKILL)
    s.settimeout(120 * SLOWER)
    got = read_all(s) or b"HTTP/1.1 000"
    status = int(got.split()[1])
    # It may have been given to another process, which then answers it.
    assert status in (0, 502, 503, 504) or b'"lastEventId"' in got, got


@pytest.mark.parametrize("name", ["nginx"])
def test_a_hang_up_frees_the_place(front, admin, stack, name):
    """Apache and Caddy look for one only when they have something to send: there it is the
    timeout's turn."""
    server = front(name)
    before = stack.status()["waiters"]
    s = hold(server, admin.token, "timeout=50")
    wait_until(lambda: stack.status()["waiters"] == before + 1)
    time.sleep(0.4)
    s.close()
    wait_until(lambda: stack.status()["waiters"] == before, 10)


def test_doctor_fails_for_nothing_that_caddy_cannot_do(front, stack):
    server = front("caddy")
    done = stack.ctl("doctor", "--deep", "--json", "--set", f"cli.url={server.url}", check=False)
    found = {f["check"]: f for f in json.loads(done.stdout)}
    assert [n for n, f in found.items() if f["verdict"] == "fail" and n != "disk"] == []
    assert found["hang-ups"]["verdict"] == "warn" and "Caddy" in found["hang-ups"]["cure"]
    assert "Caddy" in (found["uploads"]["cure"] or "Caddy")


def test_mod_fcgid_does_not_use_up_the_database(front, admin, stack, db):
    """It starts a process for each request at a time: these hold for short, and an idle one has no
    database connection."""
    server = front("apache_fcgid")
    with db.cursor() as c:
        def connections():
            c.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE user='cmdb_fcgi'")
            return c.fetchone()[0]
        before = connections()
        started = time.monotonic()
        held = [hold(server, admin.token, "timeout=50") for _ in range(20)]
        answers = [read_all(s) for s in held]
        assert all(a.startswith(b"HTTP/1.1 200") and b'"lastEventId"' in a for a in answers)
        assert time.monotonic() - started < 40
        wait_until(lambda: connections() <= before + 2, 10)


def test_an_empty_answer_is_no_answer(stack, admin, db):
    """What some web servers make of a poll whose process was killed: cmdbctl asks again."""
    since = admin.tail()
    with db.cursor() as c:
        c.execute("INSERT INTO ws_events (topic, event_type, payload) VALUES ('weather', 'add', '1')")
        event = c.lastrowid
    answers = [b"", b'{"events":[{"id":', admin.get(f"/events?since={since}&topics=weather").body]
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        for body in answers:
            s, _ = listening.accept()
            s.recv(65536)
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
                      % (len(body), body))
            s.close()
    serving = threading.Thread(target=serve, daemon=True)
    serving.start()
    tail = subprocess.Popen(
        [stack.env["CMDB_CTL"], "events", "tail", "-f", "--since", str(since), "--json", "--set",
         f"cli.url=http://127.0.0.1:{listening.getsockname()[1]}"], stdout=subprocess.PIPE,
        env={**os.environ, "CMDB_CONFIG": stack.env["CMDB_CONFIG"]})
    try:
        assert json.loads(tail.stdout.readline())["id"] == event
    finally:
        tail.kill()
        tail.wait()
        listening.close()
