"""Processes die or are stopped while Socket.IO clients are connected: no client sees anything but
200, and nothing is missed. Also plain CGI, and the applications of the conformance mode."""
import json
import os
import re
import signal
import socket
import threading

import pytest

from conftest import SLOWER, unique, wait_until
from sio import Client, Refused, binary, call, is_event
from test_events import cgi
from test_socketio_sync import connect, insert, update


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """A stack of which processes are killed; no ping comes between what is looked at."""
    from conftest import Stack, stack_home, TEST_SETS
    made = Stack(stack_home(), [*TEST_SETS, "socketio.ping_interval_ms=600000"])
    made.up()
    yield made
    made.discard()


def waiters(stack):
    return (stack.status() or {}).get("waiters", 0)


def held_get(stack, c):
    """A GET that the poller holds."""
    before = waiters(stack)
    held = c.hold()
    wait_until(lambda: waiters(stack) > before)
    return held


def wait_for_both(stack, admin):
    """lighttpd takes a second to use a process again that it found dead; it gives a request to the
    one with less to do."""
    seen = set()

    def pid():
        return int(re.search(r'pid="(\d+)"', admin.get("/metrics").body.decode()).group(1))

    def serve():
        seen.add(pid())
        with socket.create_connection((admin.host, admin.port)) as s:
            s.sendall(f"GET /events?timeout=1 HTTP/1.1\r\nHost: x\r\n"
                      f"Authorization: Bearer {admin.token}\r\n\r\n".encode())
            seen.add(pid())
        return {stack.pid("fcgi-1"), stack.pid("fcgi-2")} <= seen
    before = waiters(stack)
    wait_until(serve, 20, "both processes serve")
    wait_until(lambda: waiters(stack) <= before)


def updates(packets):
    return [json.loads(p[2:])[1]["eventId"] for p in packets if is_event(p, "websites:update")]


def collect(c, held, last):
    """Event ids from the held GET, and on from there until `last`."""
    got = updates(held.result())
    while not got or got[-1] < last:
        got += updates(c.poll())
    return got


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM])
def test_poller_ends_while_a_get_is_held(calm, sig):
    c = connect(calm, calm.admin().token)
    held = held_get(calm, c)
    calm.kill("poller", sig)
    with calm.connect() as db:
        ids = [insert(db, n=n) for n in range(3)]
    assert collect(c, held, ids[-1]) == ids
    c.close()


def test_poller_is_away_for_a_post(calm):
    c = connect(calm, calm.admin().token)
    poller = calm.pid("poller")
    os.kill(poller, signal.SIGSTOP)
    try:
        posted = Post(c, '421["request:websites"]')
        calm.kill("poller")
    finally:
        if calm.pid("poller") == poller:
            os.kill(poller, signal.SIGCONT)
    assert posted.result() == "ok"
    assert c.event("websites:initial", 20)[0]["items"]
    c.close()


class Post:
    """A POST in a thread of its own."""

    def __init__(self, c, packet):
        self.answer = None

        def run():
            self.answer = c.request("POST", {}, packet)
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def result(self):
        self.thread.join(30 * SLOWER)
        return self.answer


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM])
def test_fcgi_ends_while_a_get_is_held(calm, sig):
    """The web server gives the GET to another process, or its answer is a noop: never an error."""
    admin = calm.admin()
    c = connect(calm, admin.token)
    for name in ("fcgi-1", "fcgi-2"):
        wait_for_both(calm, admin)
        held = held_get(calm, c)
        calm.kill(name, sig)
        with calm.connect() as db:
            ids = [insert(db, n=n) for n in range(2)]
        assert collect(c, held, ids[-1]) == ids
    c.close()


def test_database_goes_away_and_comes_back(calm):
    c = connect(calm, calm.admin().token)
    os.kill(calm.pid("mariadb"), signal.SIGKILL)
    c.emit("request:websites", ack=1)
    (first,) = c.ack(1, 30)
    assert first.get("ok") or first["error"]["code"] == "unavailable"
    wait_until(lambda: calm.api().get("/api/ws/health").status == 200, 30)
    c.emit("request:websites", ack=2)
    assert c.ack(2)[0]["ok"] is True
    c.close()


# ---- plain CGI ----

class ByCgi(Client):
    """Each request is a process of its own."""

    def __init__(self, stack, user):
        self.stack, self.user = stack, user
        super().__init__(stack.url)

    def request(self, method, query, body=None, headers=None, timeout=40):
        query = {"EIO": "4", "transport": "polling", "t": unique(), **query}
        if self.sid:
            query["sid"] = self.sid
        text = "&".join(f"{k}={v}" for k, v in query.items())
        p = cgi(self.stack, self.user, method, "/socket.io/", text, body and body.encode())
        out, _ = p.communicate(timeout=timeout * SLOWER)
        head, _, got = out.decode().partition("\r\n\r\n")
        status = int(head.split()[1])
        if status != 200:
            raise Refused(status, got, head)
        return got


def test_plain_cgi(stack, admin, db):
    c = ByCgi(stack, admin)
    assert c.connect()[0] == "0"
    c.event("connected")
    assert c.ask("websites")[0][0][0] == "websites:initial"
    held = held_get(stack, c)
    one = insert(db, n=1)
    assert updates(held.result()) == [one]
    c.close()


def test_a_bad_escape_in_the_query(stack, admin):
    """As the reference server: what cannot be read is none of what is known."""
    for query, code in (("transport=%ff", 0), ("transport=polling&EIO=4%ff", 5),
                        ("transport=polling&EIO=4&sid=x%ff", 1)):
        out, _ = cgi(stack, admin, "GET", "/socket.io/", query).communicate(timeout=20 * SLOWER)
        assert json.loads(out.partition(b"\r\n\r\n")[2])["code"] == code


# ---- conformance ----

def test_echo_engineio(own_stack):
    stack = own_stack("conformance.app=echo-engineio", "socketio.path=/engine.io/")
    c = Client(stack.url, path="/engine.io/")
    for packets in (["4hello"], ["4a", "4b", "4\u20ac"], ["4hello", "bAQIDBA=="]):
        c.post(*packets)
        assert c.request("GET", {}).split("\x1e") == packets
    assert call(stack.url, "GET", {"EIO": "4", "transport": "polling"})[0] == 404


def test_echo_socketio(own_stack):
    stack = own_stack("conformance.app=echo-socketio")
    c = Client(stack.url)

    def talk(packets, expected):
        c.post(*packets)
        got = []
        while len(got) < len(expected):
            got += [p for p in c.poll() if p not in ("2", "6")]
        assert got == expected

    for nsp, head in (("/", ""), ("/custom", "/custom,")):
        kind, got = c.connect(nsp=nsp)
        assert kind == "0" and set(got) == {"sid"}
        assert c.wait(lambda p: p.startswith("42")) == f'42{head}["auth",{{}}]'
        c.post("41" + head)
        assert c.connect({"token": "123"}, nsp)[0] == "0"
        assert c.wait(lambda p: p.startswith("42")) == f'42{head}["auth",{{"token": "123"}}]'
    assert c.connect(nsp="/random") == ("4", {"message": "Invalid namespace"})
    talk(['42["message",1,"2",{"3":[true]}]'], ['42["message-back",1,"2",{"3":[true]}]'])
    talk(['42456["message-with-ack",1,"2",{"3":[false]}]'], ['43456[1,"2",{"3":[false]}]'])
    one, two = binary(b"\x01\x02\x03"), binary(b"\x04\x05\x06")
    holders = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'
    talk([f'452-["message",{holders}]', one, two], [f'452-["message-back",{holders}]', one, two])
    # Attachments that come in later POSTs, and an event of another namespace after them.
    c.post(f'452-789["message-with-ack",{holders}]')
    c.post(one)
    talk([two, '42/custom,["message"]'],
         [f'462-789[{holders}]', one, two, '42/custom,["message-back"]'])
    with pytest.raises(Refused):
        c.post("4abc")
