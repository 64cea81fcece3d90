"""python3-socketio, Debian's: an independent implementation of the client side."""
import queue

import pytest
import socketio

from conftest import SLOWER


class Client(socketio.Client):
    """Keeps what comes, by name; the last argument of every event is its offset."""

    def __init__(self):
        super().__init__(reconnection=False)
        self.got = {}
        for name in ("connected", "websites:initial", "websites:update", "error"):
            self.got[name] = queue.Queue()
            self.on(name, lambda *args, name=name: self.got[name].put(args))

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
