"""The line to the web server: slow senders and slow readers, kept connections, what is no request,
and the bounds of what they may hold. Nobody who is slow keeps anybody else waiting."""
import json
import os
import re
import signal
import socket
import threading
import time

import pytest

import fastcgi
import sio
from conftest import SLOWER, unique, wait_until
from fastcgi import Connection, begin, params, record, stdin

LOGIN = "/api/v1/auth/login"
CREATE = "/api/v1/line-groups/create"


def bearer(client):
    return {"Authorization": f"Bearer {client.token}"}


def one_process(own_stack, *sets):
    """A stack, of which the first cmdb-fcgi is spoken to."""
    return own_stack("fcgi.workers=4", *sets)


# ---- slow senders ----

def slow_body(stack, n):
    """n connections whose bodies have begun, and go on byte by byte."""
    held = []
    for _ in range(n):
        c = Connection(stack)
        held.append(c)
        # What is answered at once shows that all of this has been read.
        c.send(begin(), params("POST", LOGIN, 1000), record(fastcgi.STDIN, b"{"),
               record(fastcgi.GET_VALUES, rid=0))
        assert c.record()[0] == fastcgi.GET_VALUES_RESULT
    return held


def slow_head(stack, n):
    held = [Connection(stack) for _ in range(n)]
    for i, c in enumerate(held):
        c.send((begin() + params("GET", "/healthz"))[:1 + i * 3])
    return held


@pytest.mark.parametrize("slow", [slow_body, slow_head])
def test_slow_senders_keep_nobody_waiting(own_stack, slow):
    stack = one_process(own_stack, "fcgi.request_timeout_ms=3600000")
    admin = stack.admin()
    held = slow(stack, 40)
    for i in range(20):
        for c in held:
            if slow is slow_body:
                c.send(record(fastcgi.STDIN, b" "))
        with Connection(stack) as c:
            reply = c.request("GET", "/api/v1/line-groups?page_size=1", headers=bearer(admin))
            assert reply.status == 200, reply
    for c in held:
        c.close()


def test_a_request_has_one_deadline(own_stack):
    stack = one_process(own_stack, "fcgi.request_timeout_ms=1500")
    silent, [head], [body] = Connection(stack), slow_head(stack, 1), slow_body(stack, 1)
    started = time.monotonic()
    stop = threading.Event()

    def drip():
        while not stop.wait(0.1):
            try:
                body.send(record(fastcgi.STDIN, b" "))
            except OSError:
                return
    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        reply = body.answer()
    finally:
        stop.set()
        dripping.join()
    assert reply.status == 408 and reply.json["error"]["code"] == "request_timeout", reply
    assert 1.2 < time.monotonic() - started < 1.5 * SLOWER + 5
    assert silent.is_closed() and head.is_closed()


def test_the_slowest_makes_room(own_stack):
    stack = one_process(own_stack, "fcgi.max_receiving=4", "fcgi.request_timeout_ms=3600000")
    held = slow_body(stack, 10)
    for c in held[:6]:
        reply = c.answer()
        assert reply.status == 503 and reply.headers["Retry-After"], reply
    for c in held[7:]:
        body = b'"x"}' + b" " * 994
        c.send(record(fastcgi.STDIN, b'"username":' + body[:988]), stdin(b""))
        assert c.answer().status == 422


def test_requests_hold_bounded_memory(own_stack):
    stack = one_process(own_stack, "fcgi.receive_bytes=4194304",
                        "fcgi.request_timeout_ms=3600000")
    piece = b" " * 60000
    held = []
    for i in range(12):
        c = Connection(stack)
        c.send(begin(), params("POST", LOGIN, 1000000))
        held.append(c)
        for _ in range(15):
            c.send(record(fastcgi.STDIN, piece))
    reply = held[0].answer()
    assert reply.status == 503 and reply.json["error"]["code"] == "busy", reply
    wait_until(lambda: int(re.search(r"VmRSS:\s+(\d+)", open(
        f"/proc/{stack.pid('fcgi-1')}/status").read())[1]) < 400_000)
    with Connection(stack) as c:
        assert c.request("GET", "/healthz").status == 200


def test_too_large_is_said_before_all_has_come(stack):
    with Connection(stack) as c:
        c.send(begin(keep=True), params("POST", LOGIN, 60 * 2**20))
        for _ in range(20):
            c.send(record(fastcgi.STDIN, b" " * 60000))
        reply = c.answer()
        assert reply.status == 413 and reply.json["error"]["code"] == "payload_too_large", reply
        assert c.is_closed()


def test_too_many_parameters(stack):
    with Connection(stack) as c:
        c.send(begin(), params("GET", "/healthz", headers={"x": "y" * 140000}))
        assert c.answer().status == 431


# ---- slow readers ----

def test_slow_readers_keep_nobody_waiting(own_stack):
    stack = one_process(own_stack)
    admin = stack.admin()
    for i in range(200):
        admin.post(CREATE, {"name": unique("big"), "description": "\u20ac" * 500}).data
    held = []
    for _ in range(8):
        c = Connection(stack)
        c.send(begin(), params("GET", "/api/v1/line-groups?page_size=200&sort=-id",
                               headers=bearer(admin)), stdin(b""))
        held.append(c)
    for _ in range(10):
        with Connection(stack) as c:
            assert c.request("GET", "/healthz").status == 200
    for c in held:
        reply = c.answer()
        assert reply.status == 200 and len(reply.json["data"]["items"]) == 200
        assert len(reply.body) > 300_000  # more than a socket holds


def how_it_ends(c):
    try:
        return "whole" if len(c.answer().json["data"]["items"]) == 40 else "wrong"
    except EOFError:
        return "cut"


def test_answers_that_nobody_reads_are_bounded(own_stack):
    """Of REST answers, which no request waits for any more. Who has read nothing for longest goes."""
    stack = one_process(own_stack, "fcgi.memory_bytes=67108864")
    admin = stack.admin()
    for i in range(40):
        host = ".".join(["h" * 60] * 3)
        admin.post("/api/v1/origin-groups/create", {"name": unique("big"), "addresses": [
            {"address": f"{host}.host{j}.example"} for j in range(100)]}).data
    held = []

    def ask():
        c = Connection(stack)
        c.send(begin(), params("GET", "/api/v1/origin-groups?page_size=40&sort=-id",
                               headers=bearer(admin)), stdin(b""))
        assert c.sock.recv(1, socket.MSG_PEEK)  # the answer has begun
        held.append(c)

    ask()
    size = len(held.pop().answer().body)
    while "a client that reads nothing is dropped for others" not in stack.log("fcgi-1"):
        assert len(held) * size < 4 * 67108864
        ask()
    ends = [how_it_ends(c) for c in held]
    assert "cut" in ends and "cut" not in ends[ends.index("cut") + len(ends) // 4:], ends
    assert ends.index("cut") < len(ends) // 4 and ends[-1] == "whole", ends
    for c in held:
        c.close()


# ---- kept connections ----

def test_kept_connection(stack, admin):
    with Connection(stack) as c:
        for i in range(5):
            reply = c.request("POST", CREATE, json.dumps({"name": unique("kept")}).encode(),
                              keep=True, headers=bearer(admin))
            assert reply.status == 201, reply
            assert c.request("GET", "/nothing", keep=True).status == 404
            reply = c.request("GET", "/events?timeout=0", keep=True, headers=bearer(admin))
            assert reply.status == 200, reply
        since = reply.json["lastEventId"]
        c.send(begin(keep=True), params("GET", f"/events?since={since}&timeout=20&topics=line-groups",
                                        headers=bearer(admin)), stdin(b""))
        made = admin.post(CREATE, {"name": unique("kept")}).data
        got = c.answer().json
        while made["id"] not in [e["data"]["id"] for e in got["events"]]:
            got = c.request("GET", f"/events?since={got['lastEventId']}&topics=line-groups",
                            keep=True, headers=bearer(admin)).json
        assert c.request("GET", "/healthz", keep=False).status == 200
        assert c.is_closed()


def test_kept_connection_given_up_and_used_again(stack, admin):
    with Connection(stack) as c:
        c.send(begin(keep=True), params("GET", "/events?timeout=50", headers=bearer(admin)),
               stdin(b""))
        time.sleep(0.4)  # it is held by then, or not: both must work
        c.send(record(fastcgi.ABORT))
        c.answer()
        assert c.request("GET", "/healthz", keep=True).status == 200
        c.send(begin(keep=True), params("GET", "/healthz"), record(fastcgi.ABORT))
        assert c.record()[0] == fastcgi.END
        assert c.request("GET", "/healthz", keep=True).status == 200


def test_kept_connections_end_with_the_process(own_stack):
    stack = own_stack()
    with Connection(stack) as c:
        assert c.request("GET", "/healthz", keep=True).status == 200
        os.kill(stack.pid("fcgi-1"), signal.SIGTERM)
        assert c.is_closed()


def test_what_is_no_request(stack):
    with Connection(stack) as c:
        c.send(record(fastcgi.GET_VALUES, fastcgi.pair("FCGI_MPXS_CONNS", ""), rid=0))
        assert c.record() == (fastcgi.GET_VALUES_RESULT, 0, fastcgi.pair("FCGI_MPXS_CONNS", "0"))
        c.send(record(77, b"", rid=0))
        assert c.record()[0] == fastcgi.UNKNOWN_TYPE
        c.send(begin(), begin(rid=2))
        kind, rid, content = c.record()
        assert (kind, rid, content[4]) == (fastcgi.END, 2, 1)
        c.send(params("GET", "/healthz"), stdin(b""))
        assert c.answer().status == 200
    with Connection(stack) as c:
        c.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert c.is_closed()


# ---- lengths ----

@pytest.mark.parametrize("length", [None, "", "-1"])
def test_unknown_length(stack, admin, length):
    body = json.dumps({"name": unique("length")}).encode()
    with Connection(stack) as c:
        assert c.request("POST", CREATE, body, length=length, headers=bearer(admin)).status == 201


def test_bad_lengths(stack, admin):
    for length, body in (("x", b"{}"), ("-2", b"{}"), ("3", b"{}")):
        with Connection(stack) as c:
            reply = c.request("POST", CREATE, body, length=length, headers=bearer(admin))
            assert reply.status == 400, (length, reply)


# ---- passwords ----

def make_hashes_slow(stack, *more):
    """From now on a password takes seconds."""
    conf = stack.dir / "cmdb.conf"
    text = re.sub(r"argon2_memory_kib = \d+", "argon2_memory_kib = 65536", conf.read_text())
    text = re.sub(r"argon2_passes = \d+", "argon2_passes = 100", text)
    conf.write_text(text.replace("[auth]\n", "[auth]\n" + "".join(f"{m}\n" for m in more)))
    for name in ("fcgi-1", "fcgi-2"):
        os.kill(stack.pid(name), signal.SIGHUP)
    wait_until(lambda: all("configuration read again" in stack.log(n)
                           for n in ("fcgi-1", "fcgi-2")))


def test_passwords_keep_nobody_waiting(own_stack):
    stack = one_process(own_stack, "auth.argon2_parallel=1")
    admin = stack.admin()
    make_hashes_slow(stack, "password_queue = 6")
    body = json.dumps({"username": "nobody-there", "password": "x"}).encode()
    logins = [Connection(stack) for _ in range(12)]
    for c in logins:
        c.send(begin(), params("POST", LOGIN, len(body)), stdin(body))
    for _ in range(20):
        with Connection(stack) as c:
            reply = c.request("GET", "/api/v1/line-groups?page_size=1", headers=bearer(admin))
            assert reply.status == 200, reply
    # What is past the queue is told at once, the rest is still at it.
    answered = []
    for c in logins:
        c.sock.settimeout(0.2)
        try:
            answered.append(c.answer())
        except TimeoutError:
            pass
    assert 0 < len(answered) < len(logins) - 3
    for reply in answered:
        assert reply.status == 503 and reply.json["error"]["code"] == "busy", reply
        assert int(reply.headers["Retry-After"]) >= 1
    for c in logins:
        c.close()


def test_passwords_of_sockets_keep_nobody_waiting(own_stack):
    """/admin of Socket.IO takes a password, too; both processes are busy with some."""
    stack = own_stack("fcgi.event_workers=1", "auth.argon2_parallel=1")
    token = stack.admin().token
    who = sio.Client(stack.url)
    assert who.connect({"token": token})[0] == "0"
    make_hashes_slow(stack)
    held = [sio.Client(stack.url) for _ in range(6)]
    threads = [threading.Thread(daemon=True, target=lambda c=c: c.connect(
        {"username": "nobody-there", "password": "x"}, "/admin")) for c in held]
    for t in threads:
        t.start()
    for _ in range(10):
        events, ack = who.ask("line-groups", timeout=5)
        assert events[-1][0] == "line-groups:initial" and threads[-1].is_alive()
    for t in threads:
        t.join(60 * SLOWER)
        assert not t.is_alive()
