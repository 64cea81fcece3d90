"""Speaks lib/wire.h to a poller as a cmdb-fcgi process does: for tests of what the web server's side
cannot make happen at will."""
import hashlib
import secrets
import socket
import struct
import time
from dataclasses import dataclass, field

VERSION = 5
(HELLO, WAIT, CANCEL, DOORBELL, REFRESH, ASK, RECHECK, OPEN, POLL, RELEASE, LOOKUP, APPLY,
 BODY, CAST) = range(1, 15)
WELCOME, DELIVER, REVOKED, REFRESHED, ANSWER, ERROR, SESSION, DONE = range(64, 72)
OK, UNKNOWN, FORBIDDEN, BAD, LIMIT, STALE, LACKS = range(7)
(ANSWER_OK, ANSWER_UNKNOWN, ANSWER_FORBIDDEN, ANSWER_BAD, ANSWER_BUSY) = range(5)
OFFSETS, RESUMES, SYNC = 1, 2, 4
FROM_NOW = 2 ** 64 - 1


def text(s):
    b = s.encode()
    return struct.pack("<H", len(b)) + b


def blob(b):
    b = b.encode() if isinstance(b, str) else b
    return struct.pack("<I", len(b)) + b


def caller(user=1, tenant=1, jti="", expires=0, name="somebody"):
    return struct.pack("<IQQQ", tenant, user, 0, expires) + text(name) + text(jti)


def rights(perms=("websites:read",), roles=(), departments=()):
    return b"".join(struct.pack("<H", len(names)) + b"".join(map(text, names))
                    for names in (roles, departments, perms))


# ---- operations (lib/ops.h) ----

PONG, CLOSE = b"\x01", b"\x03"


def lost(n):
    return b"\x02" + struct.pack("<Q", n)


def acked(n):
    return b"\x0d" + struct.pack("<Q", n)


def connect(nsp="/", sid="socket", pid="pid", at=FROM_NOW, flags=OFFSETS, who=None, may=None,
            record=b""):
    return (bytes([5, flags]) + struct.pack("<Q", at) + text(nsp) + text(sid) + text(pid)
            + blob(record) + (who or caller()) + blob(rights() if may is None else may))


def send(packets):
    return b"\x07" + blob(packets)


def emit(args, nsp="/", flags=0, topic="", at=0, may=b""):
    return (bytes([8, flags]) + struct.pack("<Q", at) + text(nsp) + text(topic) + blob(args)
            + blob(may))


def pending(b):
    return b"\x0b" + blob(b)


def rows(body, topic="websites", at=0):
    """OP_ROWS: names the body, which BODY gives."""
    key = hashlib.blake2b(body.encode(), digest_size=16).digest()
    return bytes([15]) + struct.pack("<Q", at) + text(topic) + blob(key) + blob(b"")


def subscribe(rooms, may=b""):
    subs = b"".join(b"\x01\0\0" + text(room) + text("") + bytes(17) for room in rooms)
    return bytes([16]) + blob(b"\x02" + struct.pack("<H", len(rooms)) + subs) + blob(may)


@dataclass
class Done:
    what: int
    why: str


@dataclass
class Answer:
    what: int
    json: str


@dataclass
class State:
    flags: int
    allowed: int
    rest: bytes = field(repr=False)

    @property
    def has_before(self):
        return bool(self.flags & 2)


class Process:
    """A connection that says it is a cmdb-fcgi process."""

    def __init__(self, path, patience=10, process=None):
        self.process = process or secrets.randbits(64)
        self.path, self.buffer, self.tickets, self.answers = path, b"", 0, {}
        deadline = time.monotonic() + patience
        while True:
            self.sock = socket.socket(socket.AF_UNIX)
            try:
                self.sock.connect(path)
                self.send(HELLO, struct.pack("<HBIQ", VERSION, 1, 4711, self.process))
                assert self.frame(patience)[0] == WELCOME
                return
            except (ConnectionError, FileNotFoundError, EOFError):
                self.sock.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def close(self):
        self.sock.close()

    def send(self, kind, fields=b""):
        self.sock.sendall(struct.pack("<IB", len(fields) + 1, kind) + fields)

    def frame(self, timeout=10):
        self.sock.settimeout(timeout)
        while True:
            if len(self.buffer) >= 4:
                n, = struct.unpack_from("<I", self.buffer)
                if len(self.buffer) >= 4 + n:
                    frame, self.buffer = self.buffer[4:4 + n], self.buffer[4 + n:]
                    return frame[0], frame[1:]
            more = self.sock.recv(1 << 20)
            if not more:
                raise EOFError("the poller closed the connection")
            self.buffer += more

    def answer(self, ticket, timeout=10):
        """What a ticket was answered: packets of a payload as a list, or Done, State or Answer."""
        while ticket not in self.answers:
            kind, b = self.frame(timeout)
            if kind == DELIVER:
                n, = struct.unpack_from("<I", b, 9)
                body = b[13 + 8 * n + 4:].decode()
                for t in struct.unpack_from(f"<{n}Q", b, 13):
                    self.answers[t] = body.split("\x1e")
            elif kind == DONE:
                t, what = struct.unpack_from("<QB", b)
                self.answers[t] = Done(what, b[11:].decode())
            elif kind == ANSWER:
                t, what = struct.unpack_from("<QB", b)
                self.answers[t] = Answer(what, b[13:].decode())
            elif kind == SESSION:
                t, _, flags, allowed, _ = struct.unpack_from("<QIBHQ", b)
                self.answers[t] = State(flags, allowed, b[23:])
        return self.answers.pop(ticket)

    def ask(self, kind, fields):
        self.tickets += 1
        self.send(kind, struct.pack("<Q", self.tickets) + fields)
        return self.tickets

    def open(self, sid, address="127.0.0.1", packets=0):
        return self.answer(self.ask(OPEN, text(sid) + text(address) + struct.pack("<H", packets) +
                                    blob(b"") + blob("{}")))

    def hold(self, sid, tag=0, user=0, again=False):
        return self.ask(POLL, text(sid) + struct.pack("<QQB", tag, user, again))

    def held(self, sid, **more):
        """The same, once the poller has it: what another process sends now comes after it."""
        ticket = self.hold(sid, **more)
        self.lookup(sid, events=0)
        return ticket

    def poll(self, sid, tag=0, user=0, again=False):
        return self.answer(self.hold(sid, tag, user, again))

    def release(self, ticket):
        self.send(RELEASE, struct.pack("<Q", ticket))

    def cancel(self, ticket):
        self.send(CANCEL, struct.pack("<Q", ticket))

    def lookup(self, sid, events=1, pid="", user=0, tag=0, again=False):
        return self.answer(self.ask(LOOKUP, text(sid)
                                    + struct.pack("<QQBH", tag, user, again, events) + text(pid)))

    def apply(self, sid, *ops, tag=0, user=0, again=False):
        return self.answer(self.ask(APPLY, text(sid) + struct.pack("<QQB", tag, user, again)
                                    + blob(b"".join(ops))))
