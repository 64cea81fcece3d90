"""A Socket.IO client over raw HTTP polling, for tests that look at every request and packet.

Client(stack.url) makes the handshake; packets are the texts between the separators of a payload
("40{...}", "2"). Not for use by two threads.
"""
import base64
import http.client
import itertools
import json
import re
import threading
import time
import urllib.parse

from conftest import SLOWER

SEPARATOR = "\x1e"
PATH = "/socket.io/"


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status, body, headers):
        super().__init__(f"{status} {body!r}")
        self.status, self.body, self.headers = status, body, headers

    @property
    def json(self):
        return json.loads(self.body)


def call(url, method, query, body=None, headers=None, path=PATH, timeout=40):
    """One request on a connection of its own: (status, headers, text)."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout * SLOWER)
    send = {"Content-Type": "text/plain;charset=UTF-8"} if body is not None else {}
    send.update(headers or {})
    if isinstance(body, str):
        body = body.encode()
    if isinstance(query, dict):
        query = urllib.parse.urlencode(query)
    try:
        connection.request(method, path + ("?" + query if query else ""), body, send)
        reply = connection.getresponse()
        return reply.status, reply.headers, reply.read().decode()
    finally:
        connection.close()


class Client:
    _marks = itertools.count(1)

    def __init__(self, url, headers=None, query=None, path=PATH):
        self.url, self.headers, self.query, self.path = url, headers or {}, query or {}, path
        self.seen, self.sid, self.pid, self.offset = [], None, None, None
        text = self.request("GET", {})
        assert text[0] == "0", text
        self.open = json.loads(text[1:])
        self.sid = self.open["sid"]

    def request(self, method, query, body=None, headers=None, timeout=40):
        query = {"EIO": "4", "transport": "polling", "t": f"m{next(self._marks)}", **self.query,
                 **query}
        if self.sid:
            query["sid"] = self.sid
        query = {k: v for k, v in query.items() if v is not None}
        status, got, text = call(self.url, method, query, body, {**self.headers, **(headers or {})},
                                 self.path, timeout)
        if status != 200:
            raise Refused(status, text, got)
        return text

    def poll(self, timeout=40, **query):
        """One GET: its packets. Pings are answered."""
        packets = self.request("GET", query, timeout=timeout).split(SEPARATOR)
        for p in packets:
            if p == "2":
                self.post("3")
        return packets

    def post(self, *packets, **query):
        """One POST of Engine.IO packets."""
        assert self.request("POST", query, SEPARATOR.join(packets)) == "ok"

    def connect(self, auth=None, nsp="/"):
        """CONNECT: the payload of the answer, with its first character the packet type."""
        head = "" if nsp == "/" else nsp + ","
        self.post("40" + head + ("" if auth is None else json.dumps(auth)))
        p = self.wait(lambda p: p[:2] in ("40", "44") and p[2:].startswith(head))
        got = json.loads(p[2 + len(head):])
        if p[1] == "0" and nsp == "/":
            self.pid = got.get("pid")
        return p[1], got

    def emit(self, name, *args, ack=None, nsp="/"):
        head = "" if nsp == "/" else nsp + ","
        self.post(f"42{head}{'' if ack is None else ack}" + json.dumps([name, *args]))

    def wait(self, want, timeout=10):
        """The first packet that want() is true of, from those not waited for before."""
        deadline = time.monotonic() + timeout * SLOWER
        while True:
            for i, p in enumerate(self.seen):
                if want(p):
                    del self.seen[:i + 1]
                    return p
            assert time.monotonic() < deadline, f"only these came: {self.seen}"
            self.seen += [p for p in self.poll() if p not in ("2", "6")]

    def event(self, name, timeout=10):
        """The arguments of the next event of that name, without the offset."""
        args = arguments(self.wait(lambda p: is_event(p, name), timeout))
        if self.pid:
            self.offset = args.pop()
        return args[1:]

    def ack(self, number, timeout=10):
        return json.loads(self.wait(lambda p: p.startswith(f"43{number}["), timeout)
                          .removeprefix(f"43{number}"))

    def ask(self, topic, *args, timeout=10):
        """request:<topic>: its events in the order they came, as (name, payload), and the ack."""
        number = next(self._marks)
        self.emit(f"request:{topic}", *args, ack=number)
        events, mark = [], f"43{number}["
        while not (p := self.wait(lambda p: p[:2] in ("42", "43"), timeout)).startswith(mark):
            name, payload, self.offset = json.loads(p[2:])
            events.append((name, payload))
        return events, json.loads(p[len(mark) - 1:])[0]

    def recover(self, auth, **more):
        """A new connection of the same client, that shows its pid and offset."""
        other = Client(self.url, self.headers, self.query, self.path)
        show = {"pid": self.pid, "offset": self.offset, **auth, **more}
        kind, got = other.connect({k: v for k, v in show.items() if v is not None})
        assert kind == "0", got
        return other, got, got["pid"] == self.pid

    def hold(self, **query):
        """A GET in a thread of its own, see Held."""
        return Held(self, query)

    def close(self):
        self.post("1")


class Held:
    def __init__(self, client, query):
        self.packets = self.error = None
        self.client, self.query = client, query
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            self.packets = self.client.request("GET", self.query).split(SEPARATOR)
        except Exception as error:
            self.error = error

    def result(self, timeout=30):
        self.thread.join(timeout * SLOWER)
        assert not self.thread.is_alive(), "still held"
        if self.error:
            raise self.error
        return self.packets


def arguments(packet):
    """The array of an EVENT of the main namespace, with or without an ack id; else None."""
    m = re.fullmatch(r"42\d*(\[.*\])", packet, re.S)
    return json.loads(m.group(1)) if m else None


def is_event(packet, name):
    return (arguments(packet) or [None])[0] == name


def binary(data):
    return "b" + base64.b64encode(data).decode()
