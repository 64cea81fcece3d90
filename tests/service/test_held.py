"""How many requests one user, one address, all clients may have waiting, over all processes of a
host; and that the web server bears more than cmdb lets in."""
import http.client
import json
import re
import socket
import threading

import pytest

import sio
from conftest import SLOWER, wait_until
from fastcgi import Connection, begin, params, stdin


def hold(stack, client, n=1, address="192.0.2.1", name="fcgi-1", query="timeout=50"):
    held = []
    for _ in range(n):
        c = Connection(stack, name)
        c.send(begin(), params("GET", f"/events?{query}", REMOTE_ADDR=address,
                               headers={"Authorization": f"Bearer {client.token}"}), stdin(b""))
        held.append(c)
    return held


def close(held):
    for c in held:
        c.close()


def waiters(stack):
    return stack.status()["waiters"]


def refused(c, status, code):
    reply = c.answer()
    assert reply.status == status and reply.json["error"]["code"] == code, reply
    assert int(reply.headers["Retry-After"]) >= 1


def test_per_user(own_stack):
    stack = own_stack("events.max_per_user=4", "events.max_per_address=0")
    admin, viewer = stack.admin(), stack.viewer()
    held = hold(stack, viewer, 2) + hold(stack, viewer, 2, "192.0.2.2", "fcgi-2")
    wait_until(lambda: waiters(stack) == 4)
    for name in ("fcgi-1", "fcgi-2"):
        [c] = hold(stack, viewer, 1, "192.0.2.3", name)
        refused(c, 429, "too_many_held")
    # What need not wait is answered, others have room, and so has who lets one end.
    assert viewer.get("/events?timeout=0").status == 200
    held += hold(stack, admin)
    wait_until(lambda: waiters(stack) == 5)
    held.pop(0).close()
    wait_until(lambda: waiters(stack) == 4)
    held += hold(stack, viewer)
    wait_until(lambda: waiters(stack) == 5)
    # A restart of the poller counts those there are, and ends none.
    stack.kill("poller")
    wait_until(lambda: (stack.status() or {}).get("waiters") == 5)
    [c] = hold(stack, viewer)
    refused(c, 429, "too_many_held")
    close(held)
    wait_until(lambda: waiters(stack) == 0)


def test_per_address(own_stack):
    stack = own_stack("events.max_per_address=3")
    admin, viewer = stack.admin(), stack.viewer()
    held = hold(stack, viewer, 2) + hold(stack, admin, 1, name="fcgi-2")
    wait_until(lambda: waiters(stack) == 3)
    [c] = hold(stack, admin)
    refused(c, 429, "too_many_held")
    held += hold(stack, admin, 1, "192.0.2.2")
    wait_until(lambda: waiters(stack) == 4)
    close(held)


def test_all_of_a_host(own_stack):
    """Sessions and requests together."""
    stack = own_stack("poller.max_clients=6")
    admin = stack.admin()
    sessions = [sio.Client(stack.url) for _ in range(3)]
    for s in sessions:
        assert s.connect({"token": admin.token})[0] == "0"
    held = hold(stack, admin, 2) + hold(stack, admin, 1, name="fcgi-2")
    wait_until(lambda: waiters(stack) == 3)
    [c] = hold(stack, admin)
    refused(c, 503, "busy")
    with pytest.raises(sio.Refused) as no:
        sio.Client(stack.url)
    assert no.value.status == 403 and "limit" in no.value.json["message"]
    close(held)
    wait_until(lambda: waiters(stack) == 0)
    sio.Client(stack.url)


def test_who_shows_no_login_keeps_out_nobody(own_stack):
    """Handshakes take places only for as long as nobody else wants them."""
    stack = own_stack("poller.max_clients=6", "events.max_per_user=2")
    admin, viewer = stack.admin(), stack.viewer()

    def sessions(state):
        return stack.status()["sessions"][state]

    for _ in range(20):
        sio.Client(stack.url)
    assert sessions("open") == 6
    held = hold(stack, viewer) + hold(stack, viewer, name="fcgi-2")
    wait_until(lambda: waiters(stack) == 2)
    assert sessions("open") == 4
    # Who is over a limit of his own takes no place of others.
    [c] = hold(stack, viewer)
    refused(c, 429, "too_many_held")
    assert sessions("open") == 4
    for _ in range(4):
        assert sio.Client(stack.url).connect({"token": admin.token})[0] == "0"
    assert (sessions("joined"), sessions("open")) == (4, 0)
    with pytest.raises(sio.Refused):
        sio.Client(stack.url)
    close(held)


def test_a_stream_is_told(own_stack):
    stack = own_stack("events.max_per_user=1")
    viewer = stack.viewer()
    held = hold(stack, viewer)
    wait_until(lambda: waiters(stack) == 1)
    reply = viewer.get("/events", headers={"Accept": "text/event-stream"})
    assert b"event: error" in reply.body and b"too_many_held" in reply.body
    assert b"retry: 30000" in reply.body
    close(held)


def bytes_in(directory):
    """Of its files, which may go while they are looked at."""
    size = 0
    for f in directory.iterdir():
        try:
            size += f.stat().st_size
        except FileNotFoundError:
            pass
    return size


def test_the_web_server_keeps_no_answers_that_nobody_reads(own_stack):
    """It would keep them in files, whose size nobody bounds."""
    stack = own_stack()
    viewer, files = stack.viewer(), stack.dir / "tmp"
    with stack.connect() as db, db.cursor() as c:
        for _ in range(4):
            c.execute("INSERT INTO ws_events (topic, event_type, payload) "
                      "VALUES ('nodes', 'update', JSON_OBJECT('x', REPEAT('y', 900000)))")
    wait_until(lambda: len(viewer.poll(0)["events"]) == 4)
    clients = []
    for _ in range(16):
        c = http.client.HTTPConnection("127.0.0.1", stack.port)
        c.sock = socket.socket()
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.sock.connect(("127.0.0.1", stack.port))
        c.request("GET", "/events?since=0", headers={"Authorization": f"Bearer {viewer.token}"})
        clients.append(c)
    replies = [c.getresponse() for c in clients]
    for c, reply in zip(clients, replies):
        assert bytes_in(files) < 4 << 20
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        assert len(json.loads(reply.read())["events"]) == 4
    for c in clients:
        c.close()


def test_the_web_server_bears_what_cmdb_holds(own_stack):
    """deploy/up --clients: past it there is a word for it, and room for everything else."""
    stack = own_stack("events.max_per_user=0", "events.max_per_address=0", up=False)
    stack.up("--clients", "60")
    admin = stack.admin()
    conf = (stack.dir / "lighttpd.conf").read_text()
    assert int(re.search(r"max-connections = (\d+)", conf)[1]) == 60 + 7 + 128
    replies, threads = [], []

    def poll():
        replies.append(admin.clone().get("/events?timeout=20", timeout=60))
    threads = [threading.Thread(target=poll) for _ in range(80)]
    for t in threads:
        t.start()
    wait_until(lambda: waiters(stack) == 60, 20)
    wait_until(lambda: len(replies) == 20, 20)
    assert all(r.status == 503 and r.error["code"] == "busy" for r in replies)
    assert stack.api().get("/healthz").status == 200
    for t in threads:
        t.join(60 * SLOWER)
    assert [r.status for r in replies].count(200) == 60


def test_large_uploads_are_not_stored(own_stack):
    stack = own_stack()
    reply = stack.api().post("/api/v1/auth/refresh", b" " * 1_500_000)
    assert reply.status == 413 and reply.error["code"] == "payload_too_large"
    status, _, text = sio.call(stack.url, "POST", "", b" " * 100,
                               {"Content-Length": str(60 * 2**20)}, "/api/v1/auth/refresh")
    assert status == 413

    def verdict():
        found = json.loads(stack.ctl("doctor", "--json", check=False).stdout)
        return next(f["verdict"] for f in found if f["check"] == "uploads")
    assert verdict() == "ok"
    conf = stack.dir / "lighttpd.conf"
    conf.write_text(re.sub(r"(max-request-size =) \d+", r"\1 65536", conf.read_text()))
    stack.kill("lighttpd")
    wait_until(lambda: stack.ctl("status", check=False).returncode == 0)
    assert verdict() == "warn"
