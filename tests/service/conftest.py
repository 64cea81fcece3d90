"""What the service tests stand on: a whole stack (MariaDB, cmdb-poller, two cmdb-fcgi, lighttpd)
brought up by deploy/up, and small helpers to talk to it.

CMDB_TEST_PREFIX names the installed programs under test (tests/run sets it). Fixtures:
  stack      one stack, shared by the tests of one xdist worker: leave it as you found it
  own_stack  a function that makes a stack for tests that kill or reconfigure things
  api, admin, viewer   HTTP clients of `stack`: nobody, and two logged-in ones
  db         a pymysql connection to it with all rights
Nothing here sleeps for a fixed time to let something happen: wait_until() polls for it.
"""
import http.client
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

import pymysql
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Under valgrind everything takes many times as long.
SLOWER = float(os.environ.get("CMDB_TEST_SLOWER", "1"))
_serial = itertools.count(1)


def pytest_configure(config):
    # Who runs the tests in the background may have them, and all that they start, ignore Ctrl-C.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "slow: takes many seconds, or makes no sense under valgrind")


def wait_until(predicate, timeout=5.0, what=None):
    """Polls until predicate() is true and returns its value; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout * SLOWER
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout * SLOWER:.1f} s: {what or predicate}")
        time.sleep(0.02)


def unique(prefix="t"):
    """A name no other test uses."""
    return f"{prefix}-{os.getpid()}-{next(_serial)}"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Reply:
    """An HTTP answer. `json` is None where the body is not JSON."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        try:
            self.json = json.loads(body)
        except ValueError:
            self.json = None

    @property
    def data(self):
        assert self.json and self.json["success"] is True, self
        return self.json["data"]

    @property
    def error(self):
        assert self.json and self.json["success"] is False, self
        return self.json["error"]

    def __repr__(self):
        return f"<{self.status} {self.body[:600]!r}>"


class Api:
    """An HTTP client that keeps its connection. Not for use by two threads: clone() it."""

    def __init__(self, url, token=None, key=None):
        parts = urllib.parse.urlsplit(url)
        self.url, self.host, self.port = url, parts.hostname, parts.port
        self.token, self.key, self.refresh_token, self.user = token, key, None, None
        self._conn = None

    def clone(self, **changes):
        other = Api(self.url, changes.get("token", self.token), changes.get("key", self.key))
        other.refresh_token, other.user = self.refresh_token, self.user
        return other

    def login(self, username, password):
        data = self.post("/api/v1/auth/login", {"username": username, "password": password}).data
        self.token, self.refresh_token = data["access_token"], data["refresh_token"]
        self.user = data["user"]
        return self

    def request(self, method, path, body=None, headers=None, timeout=30):
        """A dict or list as body is sent as JSON, bytes and str as they are."""
        send = {}
        if self.token:
            send["Authorization"] = f"Bearer {self.token}"
        if self.key:
            send["X-API-Key"] = self.key
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if body is not None:
            send["Content-Type"] = "application/json"
        if isinstance(body, str):
            body = body.encode()
        send.update(headers or {})
        send = {k: v for k, v in send.items() if v is not None}
        for attempt in (1, 2):
            fresh = self._conn is None
            if fresh:
                self._conn = http.client.HTTPConnection(self.host, self.port)
            self._conn.timeout = timeout * SLOWER
            if self._conn.sock:
                self._conn.sock.settimeout(timeout * SLOWER)
            try:
                self._conn.request(method, path, body, send)
                r = self._conn.getresponse()
                reply = Reply(r.status, r.headers, r.read())
            except (ConnectionError, http.client.BadStatusLine):
                # The server may close a kept connection at any time; a fresh one must work.
                self.close()
                if fresh or attempt == 2:
                    raise
                continue
            except BaseException:
                self.close()
                raise
            if r.will_close:
                self.close()
            return reply

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.request("POST", path, {} if body is None else body, **more)

    def close(self):
        if self._conn:
            self._conn.close()
            self._conn = None

    def tail(self):
        """The cursor of now."""
        return self.get("/events?timeout=0").json["lastEventId"]

    def poll(self, since, timeout=5, **params):
        """One GET /events: its JSON. Lists among params are joined with commas."""
        query = {"since": since, "timeout": timeout}
        for key, value in params.items():
            query[key] = ",".join(value) if isinstance(value, (list, tuple)) else value
        reply = self.get("/events?" + urllib.parse.urlencode(query), timeout=timeout + 15)
        assert reply.status == 200, reply
        return reply.json

    def read_events(self, since, until, timeout=10, **params):
        """Polls on from `since` until `until(events so far)` is true; returns all the events."""
        events, deadline = [], time.monotonic() + timeout * SLOWER
        while not until(events):
            assert time.monotonic() < deadline, f"only these events came: {events}"
            got = self.poll(since, timeout=1, **params)
            assert "reset" not in got, got
            events += got["events"]
            since = got["lastEventId"]
        return events


class Stack:
    """One deploy/up stack. What stack.env says is in `env`."""

    def __init__(self, directory, sets=(), port=None):
        self.dir = pathlib.Path(directory)
        self.port, self.sets, self.env = port or free_port(), list(sets), {}

    def up(self, *args):
        prefix = os.environ.get("CMDB_TEST_PREFIX")
        command = [ROOT / "deploy/up", "--dir", self.dir, "--port", str(self.port), *args]
        if prefix:
            command += ["--prefix", prefix]
        for s in self.sets:
            command += ["--set", s]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout
        self.env = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', (self.dir / "stack.env").read_text(),
                                   re.M))
        return done.stdout

    def down(self, *args):
        done = subprocess.run([ROOT / "deploy/down", "--dir", self.dir, *args],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout

    def discard(self):
        """Stops it and removes its data. tests/run keeps the logs, should a test have failed."""
        if self.pids():
            self.down()
        kept = self.dir / "db" if "CMDB_TEST_STACKS" in os.environ else self.dir
        shutil.rmtree(kept, ignore_errors=True)

    @property
    def url(self):
        return self.env["CMDB_URL"]

    def api(self, token=None, key=None):
        return Api(self.url, token, key)

    def admin(self):
        return self.api().login(self.env["CMDB_ADMIN_USER"], self.env["CMDB_ADMIN_PASSWORD"])

    def viewer(self):
        return self.api().login(self.env["CMDB_VIEWER_USER"], self.env["CMDB_VIEWER_PASSWORD"])

    def connect(self, **more):
        """A database connection with all rights, READ COMMITTED so that it sees what is new."""
        import getpass
        options = dict(unix_socket=self.env["CMDB_DB_SOCKET"], user=getpass.getuser(),
                       database=self.env["CMDB_DB_NAME"], charset="utf8mb4", autocommit=True,
                       init_command="SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        return pymysql.connect(**{**options, **more})

    def ctl(self, *args, input=None, check=True):
        """Runs cmdbctl. With --json among args its parsed output is returned, else the process."""
        wrap = os.environ.get("CMDB_WRAP", "").split()
        done = subprocess.run([*wrap, self.env["CMDB_CTL"], *map(str, args)], input=input,
                              text=True, capture_output=True,
                              env={**os.environ, "CMDB_CONFIG": self.env["CMDB_CONFIG"]})
        if check:
            assert done.returncode == 0, (args, done.returncode, done.stdout, done.stderr)
            if "--json" in args:
                return json.loads(done.stdout)
        return done

    def status(self):
        """What the poller says of itself (`poller` in `cmdbctl status --json`), or None while there
        is none to ask."""
        done = self.ctl("status", "--json", check=False)
        poller = json.loads(done.stdout)["poller"] if done.stdout else None
        return poller if poller and poller["state"] == "up" else None

    def pid(self, name):
        """The pid now: mariadb, poller, fcgi-1, fcgi-2, lighttpd."""
        return int((self.dir / f"run/{name}.pid").read_text())

    def kill(self, name, sig=signal.SIGKILL):
        """Kills a program and waits until its supervisor has started it again; returns its pid."""
        old = self.pid(name)
        os.kill(old, sig)
        return wait_until(lambda: self.pid(name) != old and self.pid(name), 30, f"{name} again")

    def has_noted(self, event):
        """Has the poller noted in the database that it has released the event? Pruning goes by
        that."""
        with self.connect() as db, db.cursor() as c:
            c.execute("SELECT MIN(tail) FROM ws_pollers")
            return (c.fetchone()[0] or 0) >= event

    def tenant(self):
        """A tenant of its own for a test; returns its name."""
        name = unique("tenant")
        self.ctl("tenant", "add", name)
        return name

    def user(self, tenant="default", roles=("admin",), password="correct horse 7"):
        """A new user, logged in. The client's `user` says who it is."""
        name = unique("user")
        args = [part for role in roles for part in ("--role", role)]
        self.ctl("user", "add", name, "--tenant", tenant, *args, "--password-stdin", input=password)
        return self.api().login(name, password)

    def key(self, *scopes, tenant="default"):
        """A client with a new API key."""
        args = [part for scope in scopes for part in ("--scope", scope)]
        made = self.ctl("apikey", "add", unique("key"), "--tenant", tenant, *args, "--json")
        return self.api(key=made["key"])

    def pids(self):
        """Every process of this stack, by the mark in its environment."""
        mark, found = f"CMDB_STACK={self.dir}".encode(), []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                pass
        return found

    def log(self, name):
        return (self.dir / f"log/{name}.log").read_text(errors="replace")


def stack_home():
    """tests/run looks after what is in CMDB_TEST_STACKS when it ends, whatever happened here."""
    home = os.environ.get("CMDB_TEST_STACKS")
    return tempfile.mkdtemp(prefix="s", dir=home) if home else tempfile.mkdtemp(prefix="cmdb-test-")


# Cheap passwords, nobody locked out because a hundred tests come from one address, and logins
# that last for the whole run.
TEST_SETS = ["auth.argon2_memory_kib=1024", "auth.argon2_passes=1",
             "auth.address_failures=100000", "auth.access_ttl_s=7200", "socketio.list_wait_ms=200", "poller.stats_s=0"]


@pytest.fixture(scope="session")
def stack():
    s = Stack(stack_home(), TEST_SETS)
    try:
        s.up()
        yield s
    finally:
        s.discard()


@pytest.fixture
def own_stack():
    """own_stack("section.key=value", ...) brings up a stack that only this test uses."""
    made = []

    def make(*sets, up=True):
        s = Stack(stack_home(), TEST_SETS + list(sets))
        made.append(s)
        if up:
            s.up()
        return s

    yield make
    for s in made:
        s.discard()


@pytest.fixture
def api(stack):
    client = stack.api()
    yield client
    client.close()


@pytest.fixture(scope="session")
def _tokens(stack):
    """One login a role; a test that logs out or revokes makes a user of its own."""
    return {"admin": stack.admin(), "viewer": stack.viewer()}


@pytest.fixture
def admin(_tokens):
    client = _tokens["admin"].clone()
    yield client
    client.close()


@pytest.fixture
def viewer(_tokens):
    client = _tokens["viewer"].clone()
    yield client
    client.close()


@pytest.fixture
def db(stack):
    connection = stack.connect()
    yield connection
    connection.close()
