"""python3-socketio, Debian's: an independent implementation of the client side, in both its kinds."""
import asyncio
import base64
import json
import queue
import threading
import traceback

import pytest
import socketio

from conftest import SLOWER, wait_until


class Client(socketio.Client):
    """Keeps what comes, by name; the last argument of every event is its offset. python-engineio
    has a thread for each message, and in which order these run is anybody's guess: here one thread
    handles them in the order in which they came."""

    def __init__(self):
        super().__init__(reconnection=False)
        self.came = queue.Queue()
        trigger = self.eio._trigger_event

        def in_order(event, *args, run_async=False):
            if event == "message" and run_async:
                return self.came.put(args)
            return trigger(event, *args, run_async=run_async)

        self.eio._trigger_event = in_order
        threading.Thread(target=self.handle, daemon=True).start()
        self.got = {}
        for name in ("connected", "websites:initial", "websites:update", "error"):
            self.got[name] = queue.Queue()
            self.on(name, lambda *args, name=name: self.got[name].put(args))

    def handle(self):
        while True:
            args = self.came.get()
            try:
                self.eio.handlers["message"](*args)
            except Exception:  # as one thread for each would: it is shown, and the others go on
                traceback.print_exc()

    def next(self, name):
        return self.got[name].get(timeout=10 * SLOWER)


@pytest.fixture
def client():
    c = Client()
    yield c
    c.disconnect()


def join(client, stack, token):
    client.connect(stack.url, transports=["polling"], auth={"token": token})
    data, offset = client.next("connected")
    assert data == {"ok": True} and offset.count(":") == 1
    return client


def test_list_and_changes(client, stack):
    user = stack.user(stack.tenant())
    join(client, stack, user.token)
    client.emit("request:websites", {})
    initial, _ = client.next("websites:initial")
    assert (initial["items"], initial["total"]) == ([], 0)

    row = user.post("/api/v1/websites/create", {"domains": ["python.example"],
                                                "origin_mode": "redirect",
                                                "redirect_url": "https://example.org/"}).data
    update, offset = client.next("websites:update")
    assert (update["type"], update["data"]) == ("add", row)
    assert offset.split(":")[1] == str(update["eventId"])
    user.post("/api/v1/websites/delete", {"ids": [row["id"]]})
    assert client.next("websites:update")[0]["data"] == {"id": row["id"]}


def test_odd_arguments_end_nothing(client, stack, viewer):
    join(client, stack, viewer.token)
    for odd in (10 ** 30, "\ud83d", "\0", json.loads("[" * 40 + "]" * 40)):
        assert client.call("request:websites", odd, timeout=10)["error"]["code"] == "bad_arguments"
        client.emit("no:such", odd)
        assert client.next("error")[0]["code"] == "bad_arguments"
    assert client.call("no:such", 1, timeout=10)["error"]["code"] == "unknown_event"


def test_no_row_that_sql_can_make_ends_anything(client, stack, viewer, db):
    join(client, stack, viewer.token)
    with db.cursor() as c:
        c.execute("SET check_constraint_checks = 0")
        for name, payload in [("disconnect", "1"), ("connect_error", "{}"), ("a\x1e4", "1"),
                              ("", '{"a":"\\ud800"}'), ("", "9" * 5000), ("", "1e999"),
                              ("", "[" * 3000 + "]" * 3000), ("", "{"), ("", '"\x1e"')]:
            c.execute("INSERT INTO ws_events (topic, event_type, payload, name) "
                      "VALUES ('websites', 'update', %s, %s)", (payload, name))
            c.execute("INSERT INTO ws_events (topic, event_type, payload) "
                      "VALUES ('websites', 'update', '\"good\"')")
            while client.next("websites:update")[0]["data"] != "good":
                pass
        c.execute("SET check_constraint_checks = 1")
    assert client.connected


def test_base64_as_androids_encoder_writes_it(client, stack, viewer, monkeypatch):
    """java.util's and Python's write none; android.util.Base64.DEFAULT breaks lines at 76."""
    monkeypatch.setattr(base64, "b64encode", base64.encodebytes)
    join(client, stack, viewer.token)
    assert client.call("no:such", b"\x00\x1e\xff" * 1000, timeout=10) == {
        "error": {"code": "unknown_event"}}


def test_call_is_acknowledged(client, stack, viewer):
    join(client, stack, viewer.token)
    for args in (None, 1, {"a": [b"\x00\x1e", "x"]}, (b"", b"\xff" * 70000)):
        assert client.call("no:such", args, timeout=10)["error"]["code"] == "unknown_event"


@pytest.mark.parametrize("namespace, auth, message", [
    ("/", None, "Authentication required"),
    ("/", {"token": "x"}, "Authentication failed"),
    ("/nope", {"token": "x"}, "Invalid namespace"),
])
def test_refusals(client, stack, namespace, auth, message):
    client.on("connect_error", lambda *args: client.got["error"].put(args), namespace=namespace)
    with pytest.raises(socketio.exceptions.ConnectionError):
        client.connect(stack.url, transports=["polling"], namespaces=[namespace], auth=auth)
    error, = client.next("error")
    assert error["message"] == message
    if namespace == "/":
        assert error["data"]["code"] == 401


def test_token_in_the_url(client, stack, viewer):
    client.connect(f"{stack.url}?token={viewer.token}", transports=["polling"])
    assert client.next("connected")[0] == {"ok": True}


def test_disconnect(client, stack, viewer):
    join(client, stack, viewer.token)
    client.disconnect()
    assert not client.connected


# ---- what users' scripts do ----


@pytest.mark.parametrize("value", [
    5e-324, -1e308, 2 ** 63 - 1, "\u2028", "\ufeff", {"__proto__": 1}, b"", {"a": [{"b": b"\x00"}]},
    {"_placeholder": True, "num": 9},
], ids=repr)
def test_odd_values_end_nothing(client, stack, viewer, value):
    join(client, stack, viewer.token)
    sid = client.get_sid()
    assert client.call("no:such", value, timeout=10 * SLOWER)["error"]
    answer = client.call("request:websites", {"lastEventId": value}, timeout=10 * SLOWER)
    assert answer.get("ok") or answer["error"]["code"]
    assert client.call("no:such", timeout=10 * SLOWER)["error"]["code"] == "unknown_event"
    assert client.connected and client.get_sid() == sid


def test_packets_just_under_the_limit(client, stack, viewer):
    join(client, stack, viewer.token)
    for value in ("x" * 999900, b"x" * 740000):
        assert client.call("no:such", value, timeout=10 * SLOWER)["error"]["code"] == "unknown_event"


def test_async_client(stack):
    """The same from asyncio, which has an HTTP client and a code of its own."""
    user = stack.user(stack.tenant())

    async def script():
        client, got = socketio.AsyncClient(reconnection=False), asyncio.Queue()
        client.on("websites:initial", lambda data, *rest: got.put_nowait(data))
        client.on("websites:update", lambda data, *rest: got.put_nowait(data))
        await client.connect(stack.url, transports=["polling"], auth={"token": user.token})
        try:
            answer = await client.call("request:websites", {}, timeout=10 * SLOWER)
            assert answer["ok"]
            assert (await asyncio.wait_for(got.get(), 10 * SLOWER))["items"] == []
            row = user.post("/api/v1/websites/create", {
                "domains": ["async.example"], "origin_mode": "redirect",
                "redirect_url": "https://example.org/"}).data
            update = await asyncio.wait_for(got.get(), 10 * SLOWER)
            assert (update["type"], update["data"]) == ("add", row)
            for value in ({"a": [b"\x00\x1e", "x"]}, b"\xff" * 70000, 5e-324):
                answer = await client.call("no:such", value, timeout=10 * SLOWER)
                assert answer["error"]["code"] == "unknown_event"
            assert client.connected
        finally:
            await client.disconnect()

    asyncio.run(script())


# ---- more than its decoder takes at once: docs/socketio.md, section 8 ----


def burst(db, n, topic="line-groups"):
    """n events of one INSERT: their ids."""
    with db.cursor() as c:
        c.execute("INSERT INTO ws_events (topic, event_type, payload) "
                  "SELECT %s, 'update', CONCAT('{\"id\":', seq, '}') FROM seq_1_to_" + str(n), (topic,))
        c.execute("SELECT id FROM ws_events WHERE topic = %s ORDER BY id DESC LIMIT " + str(n), (topic,))
        return [row[0] for row in c.fetchall()][::-1]


@pytest.mark.parametrize("n", [17, 500])
def test_a_burst(client, stack, viewer, db, n):
    seen = []
    client.on("line-groups:update", lambda data, *rest: seen.append(data["eventId"]))
    join(client, stack, viewer.token)
    assert client.call("request:websites", {}, timeout=10 * SLOWER)["ok"]
    ids = burst(db, n)
    wait_until(lambda: ids[-1] in seen or not client.connected, 20, "all of them")
    assert client.connected and seen == ids


@pytest.mark.parametrize("n", [17, 500])
def test_a_burst_to_an_async_client(stack, viewer, db, n):
    async def script():
        client, seen = socketio.AsyncClient(reconnection=False), asyncio.Queue()
        client.on("line-groups:update", lambda data, *rest: seen.put_nowait(data["eventId"]))
        client.on("disconnect", lambda: seen.put_nowait("disconnect"))
        await client.connect(stack.url, transports=["polling"], auth={"token": viewer.token})
        try:
            assert (await client.call("request:websites", {}, timeout=10 * SLOWER))["ok"]
            for i in burst(db, n):
                assert await asyncio.wait_for(seen.get(), 20 * SLOWER) == i
            assert client.connected
        finally:
            await client.disconnect()

    asyncio.run(script())


def test_all_that_was_missed(client, stack, viewer, db):
    """By a request, and many calls at once meanwhile."""
    seen, answers = [], []
    client.on("line-groups:update", lambda data, *rest: seen.append(data["eventId"]))
    since = burst(db, 1)[0]
    ids = burst(db, 199)
    wait_until(lambda: stack.status()["tail"] >= ids[-1])
    join(client, stack, viewer.token)
    client.emit("request:line-groups", {"lastEventId": since}, callback=answers.append)
    for _ in range(40):
        client.emit("no:such", callback=answers.append)
    wait_until(lambda: len(answers) == 41 or not client.connected, 20, "all answers")
    assert client.connected and answers[0]["ok"] and seen == ids


def test_a_recovery(stack, viewer, db):
    """Of all there was while the client was away: what stock clients of Python are told by hand."""
    was, client, auth = Client(), Client(), {"token": viewer.token}
    pids = []
    was.on("connect", lambda: None)
    trigger = was._handle_connect
    was._handle_connect = lambda nsp, data: (pids.append(data["pid"]), trigger(nsp, data))
    was.connect(stack.url, transports=["polling"], auth=auth)
    _, offset = was.next("connected")
    was.eio.disconnect()
    ids, seen = burst(db, 120), []
    client.on("line-groups:update", lambda data, *rest: seen.append(data["eventId"]))
    client.connect(stack.url, transports=["polling"], auth={**auth, "pid": pids[0], "offset": offset})
    try:
        wait_until(lambda: ids[-1] in seen or not client.connected, 20, "all of them")
        assert client.connected and seen == ids
    finally:
        client.disconnect()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["poller", "mariadb", "fcgi-1", "fcgi-2"])
def test_a_killed_program_ends_no_session(own_stack, name):
    """Under a stream of changes. What came meanwhile comes at once, in answers that it takes."""
    stack = own_stack()
    user = stack.user(stack.tenant())
    clients = [join(Client(), stack, user.token) for _ in range(6)]
    for c in clients:
        assert c.call("request:line-groups", {}, timeout=20 * SLOWER)["ok"]
        c.seen = []
        c.on("line-groups:update", lambda data, *rest, c=c: c.seen.append(data["data"]["id"]))
    made, stop = [], threading.Event()
    writer = user.clone()

    def stream():
        n = 0
        while not stop.is_set():
            n += 1
            reply = writer.post("/api/v1/line-groups/create", {"name": f"g{n}"},
                                headers={"Idempotency-Key": f"g{n}"})
            while reply.status != 200 and reply.status != 201 and not stop.is_set():
                reply = writer.post("/api/v1/line-groups/create", {"name": f"g{n}"},
                                    headers={"Idempotency-Key": f"g{n}"})
            if reply.status in (200, 201):
                made.append(reply.data["id"])

    thread = threading.Thread(target=stream)
    thread.start()
    try:
        wait_until(lambda: len(made) >= 10, 20, "a stream")
        stack.kill(name)
        n = len(made)
        wait_until(lambda: len(made) >= n + 20, 40, "a stream again")
    finally:
        stop.set()
        thread.join()
    try:
        for c in clients:
            wait_until(lambda: made[-1] in c.seen or not c.connected, 20, "the last change")
        assert [c.connected for c in clients] == [True] * len(clients)
        for c in clients:
            assert list(dict.fromkeys(c.seen)) == made
    finally:
        for c in clients:
            c.disconnect()
