"""Namespace /admin, packet by packet: what the configuration makes of it, and what is left of it when
things break. What the Admin UI does with it is in admin.test.js."""
import configparser
import json
import time

import pytest

from conftest import SLOWER, wait_until
from session import Session


@pytest.fixture(scope="module")
def own(other_stack):
    return other_stack()


SETTINGS = {"admin": "on", "admin_events": "on", "queue_bytes": 1048576}


def configure(stack, **changed):
    """Starts the programs again with these settings of the section socketio."""
    config = configparser.ConfigParser(delimiters="=", interpolation=None)
    config.optionxform = str
    config.read(stack.env["CMDB_CONFIG"])
    config.read_dict({"socketio": {**SETTINGS, **changed}})
    with open(stack.env["CMDB_CONFIG"], "w") as f:
        config.write(f)
    for name in ("fcgi-1", "fcgi-2", "poller"):
        stack.kill(name)
    wait_until(lambda: stack.api().get("/api/ws/health").status == 200, 20, "the stack again")


@pytest.fixture(scope="module")
def shown(own):
    configure(own)
    return own


class Watcher(Session):
    """A session in /admin, and what came to it: (name, arguments) by name."""

    def __init__(self, stack, token):
        super().__init__(stack.api())
        self.packets = []
        assert self.post("40/admin," + json.dumps({"token": token})).body == b"ok"
        self.until(lambda: self.packets)

    def until(self, predicate, timeout=10):
        deadline = time.monotonic() + timeout * SLOWER
        while not predicate():
            assert time.monotonic() < deadline, self.packets[-9:]
            for p in self.get():
                if p == "2":
                    self.post("3")
                self.packets.append(p)

    def events(self, name):
        parsed = [json.loads(p[len("42/admin,"):]) for p in self.packets
                  if p.startswith("42/admin,")]
        return [args[1:] for args in parsed if args[0] == name]

    def wait(self, name, n=1):
        self.until(lambda: len(self.events(name)) >= n)
        return self.events(name)

    def ask(self, *args):
        self.post("42/admin,0" + json.dumps(args))
        self.until(lambda: any(p.startswith("43/admin,0[") for p in self.packets))
        answer = next(p for p in self.packets if p.startswith("43/admin,0["))
        self.packets.remove(answer)
        return json.loads(answer[len("43/admin,0"):])[0]


def listed(watcher):
    """The ids of the latest list."""
    return {s["id"] for s in watcher.events("all_sockets")[-1][0]}


def client_of(stack, user):
    client = Session(stack.api())
    client.id = client.connect(user.token)["sid"]
    return client


def test_no_command_without_its_audit_row(shown):
    user = shown.user(shown.tenant())
    w, client = Watcher(shown, user.token), client_of(shown, user)
    with shown.connect() as db, db.cursor() as c:
        c.execute("RENAME TABLE audit_log TO audit_log_away")
        try:
            answer = w.ask("_disconnect", "/", True, client.id)
            assert answer["error"]["code"] in ("internal_error", "unavailable"), answer
            w.wait("server_stats", len(w.events("server_stats")) + 1)
        finally:
            c.execute("RENAME TABLE audit_log_away TO audit_log")
    assert not w.events("socket_disconnected")
    assert w.ask("_disconnect", "/", True, client.id) == {"ok": True}
    assert w.wait("socket_disconnected")[0][1:3] == [client.id, "server namespace disconnect"]


def test_watching_goes_on_after_the_poller_was_killed(shown):
    user = shown.user(shown.tenant())
    w, client = Watcher(shown, user.token), client_of(shown, user)
    w.wait("socket_connected", 2)
    shown.kill("poller")
    # What has happened meanwhile nobody has told: the list comes anew.
    assert "ALL_EVENTS" in w.wait("config", 2)[1][0]["supportedFeatures"]
    w.wait("all_sockets", 2)
    assert client.id in listed(w)
    client.post("41")
    assert w.wait("socket_disconnected")[0][1:3] == [client.id, "client namespace disconnect"]


def test_switched_off(own):
    configure(own)
    token = own.user(own.tenant()).token
    w = Watcher(own, token)
    configure(own, admin="off")
    w.until(lambda: "1" in w.packets)
    assert w.events("error")[0][0]["code"] == "forbidden"
    assert "41/admin," in w.packets
    s = Session(own.api())
    s.post("40/admin," + json.dumps({"token": token}))
    assert s.get() == ['44/admin,{"message":"Invalid namespace"}']


def test_read_only_and_figures_alone(own):
    configure(own, admin="readonly", admin_events="off")
    user = own.user(own.tenant())
    w = Watcher(own, user.token)
    assert w.wait("config") == [[{"supportedFeatures": ["AGGREGATED_EVENTS"]}]]
    client = client_of(own, user)
    assert client.post('42["no:such","12345"]').body == b"ok"

    def counted(kind):
        return sum(e["count"] for (stats,) in w.events("server_stats")
                   for e in stats["aggregatedEvents"] if e["type"] == kind)

    w.until(lambda: counted("packetsIn") and counted("rawConnection") == 2)
    assert (counted("packetsIn"), counted("bytesIn")) == (1, len('"no:such","12345"'))
    assert counted("packetsOut") == 1
    assert w.events("server_stats")[-1][0]["namespaces"][0]["socketsCount"] == 1

    for command in (["emit", "/", None, "x"], ["join", "/", "x"], ["leave", "/", "x"],
                    ["_disconnect", "/", True]):
        assert w.ask(*command)["error"]["code"] == "forbidden"
    with own.connect() as db, db.cursor() as c:
        assert c.execute("SELECT 1 FROM audit_log WHERE action LIKE 'socketio.%%'"
                         " AND tenant_id = %s", (user.user["tenant_id"],)) == 0
    # Of the client nothing was told but in figures.
    assert {p.split('"')[1] for p in w.packets if p.startswith("42")} == {"config", "server_stats"}
    assert client.id not in "".join(w.packets)


def test_a_watcher_who_does_not_fetch_costs_no_more_than_his_queue(own):
    configure(own, queue_bytes=8192)
    user = own.user(own.tenant())
    w = Watcher(own, user.token)
    w.wait("server_stats")
    clients = [client_of(own, user) for _ in range(20)]
    for c in clients:
        c.post("41")
    last = client_of(own, user)
    # He was not told all, but he is still there, and gets the list anew.
    gone = {c.id for c in clients}
    w.until(lambda: last.id in listed(w) and not gone & listed(w))
    assert len(w.events("socket_disconnected")) < len(clients)
