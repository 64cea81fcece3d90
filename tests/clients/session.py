"""An Engine.IO session over plain HTTP, packet by packet."""
import itertools
import json
import threading
import urllib.parse

from conftest import SLOWER, wait_until

OPEN = {"EIO": "4", "transport": "polling"}
SEP = "\x1e"
_serial = itertools.count(1)


class Session:
    """One session. A Bearer token goes along only if `bearer` is given."""

    def __init__(self, api, bearer=None, **query):
        self.api, self.query = api.clone(token=bearer), {**OPEN, **query}
        reply = self.request("GET")
        assert reply.status == 200, reply
        self.handshake, self.hello = json.loads(reply.body[1:]), reply
        assert reply.body[:1] == b"0"
        self.sid = self.query["sid"] = self.handshake["sid"]

    def request(self, method, body=None, headers=None, api=None, **query):
        url = "/socket.io/?" + urllib.parse.urlencode({**self.query, **query})
        headers = {"Content-Type": "text/plain;charset=UTF-8", **(headers or {})}
        return (api or self.api).request(method, url, body, headers=headers)

    def post(self, *packets):
        return self.request("POST", SEP.join(packets))

    def get(self):
        """The packets of the next answer."""
        reply = self.request("GET")
        assert reply.status == 200, reply
        return reply.body.decode().split(SEP)

    def held(self):
        """A GET that waits, with a t of its own as clients have; returns what gives its reply."""
        api, box, t = self.api.clone(), [], f"t{next(_serial)}"
        thread = threading.Thread(target=lambda: box.append(self.request("GET", api=api, t=t)))
        thread.start()

        def reply():
            thread.join(30 * SLOWER)
            api.close()
            return box[0]

        return reply

    def connect(self, token):
        """Joins namespace "/"; returns the CONNECT answer's data."""
        assert self.post("40" + json.dumps({"token": token})).body == b"ok"
        packets = []
        while not any(p.startswith("42") for p in packets):
            packets += self.get()
        assert packets[0].startswith("40"), packets
        assert json.loads(packets[1][2:])[:2] == ["connected", {"ok": True}]
        return json.loads(packets[0][2:])


def error(reply, status, code, message):
    assert (reply.status, reply.body) == (
        status, json.dumps({"code": code, "message": message}, separators=(",", ":")).encode())
    assert reply.headers["Content-Type"].startswith("application/json")


def is_gone(session, may_be_late=False):
    """Its sid is not known any more. A GET that crossed the client's close is still served."""
    if may_be_late and session.request("GET").body == b"6":
        wait_until(lambda: session.request("GET").status != 200, 10)
    error(session.request("GET"), 400, 1, "Session ID unknown")
    return True
