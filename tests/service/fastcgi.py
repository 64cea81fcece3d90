"""A web server's side of FastCGI, record by record: for what no web server does at will."""
import json
import socket
import struct

from conftest import SLOWER

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT = 1, 2, 3, 4, 5, 6
GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = 9, 10, 11


def record(kind, content=b"", rid=1):
    return struct.pack("!BBHHBB", 1, kind, rid, len(content), 0, 0) + content


def begin(rid=1, role=1, keep=False):
    return record(BEGIN, struct.pack("!HB5x", role, keep), rid)


def pair(name, value):
    def size(n):
        return bytes([n]) if n < 128 else struct.pack("!I", n | 1 << 31)
    name, value = name.encode(), value.encode()
    return size(len(name)) + size(len(value)) + name + value


def params(method, target, length=None, rid=1, headers=None, **more):
    path, _, query = target.partition("?")
    env = {"REQUEST_METHOD": method, "REQUEST_URI": target, "SCRIPT_NAME": path,
           "QUERY_STRING": query, "REMOTE_ADDR": "127.0.0.1", "SERVER_SOFTWARE": "test",
           "CONTENT_TYPE": "application/json"}
    if length is not None:
        env["CONTENT_LENGTH"] = str(length)
    for name, value in (headers or {}).items():
        env["HTTP_" + name.upper().replace("-", "_")] = value
    env.update(more)
    content = b"".join(pair(k, v) for k, v in env.items())
    return b"".join(record(PARAMS, content[i:i + 60000], rid)
                    for i in range(0, len(content), 60000)) + record(PARAMS, b"", rid)


def stdin(body, rid=1):
    return b"".join(record(STDIN, body[i:i + 60000], rid)
                    for i in range(0, len(body), 60000)) + record(STDIN, b"", rid)


class Answer:
    def __init__(self, out):
        head, _, self.body = out.partition(b"\r\n\r\n")
        self.headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        self.status = int(self.headers["Status"].split()[0])
        try:
            self.json = json.loads(self.body)
        except ValueError:
            self.json = None

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Connection:
    """One to a cmdb-fcgi process of a stack."""

    def __init__(self, stack, name="fcgi-1"):
        home = (stack.dir / "sockets.dir").read_text().strip()
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30 * SLOWER)
        self.sock.connect(f"{home}/{name}.sock")
        self._got = b""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, *parts):
        self.sock.sendall(b"".join(parts))

    def _read(self, n):
        while len(self._got) < n:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError
            self._got += more
        out, self._got = self._got[:n], self._got[n:]
        return out

    def record(self):
        _, kind, rid, length, padding, _ = struct.unpack("!BBHHBB", self._read(8))
        content = self._read(length + padding)[:length]
        return kind, rid, content

    def answer(self):
        out = b""
        while True:
            kind, _, content = self.record()
            if kind == END:
                assert content[4] == 0, content
                return Answer(out)
            assert kind == STDOUT, kind
            out += content

    def is_closed(self):
        """Has it been closed? Waits for it; whatever else comes is an error."""
        try:
            assert self._got == b"" and self.sock.recv(1) == b""
        except ConnectionResetError:
            pass
        return True

    def request(self, method, target, body=b"", keep=False, **more):
        length = more.pop("length", len(body) if body else None)
        self.send(begin(keep=keep), params(method, target, length, **more), stdin(body))
        return self.answer()
