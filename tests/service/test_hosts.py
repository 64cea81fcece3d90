"""Connections of several hosts: pollers of other numbers that work on the same database."""
import json
import pathlib
import subprocess

import pytest

import wire
from conftest import SLOWER, wait_until
from test_ws_connections import Crowd, audited, connections, join, tenant_id

NODE = 2


class Host:
    """Another host's poller, with connections that a process of it has made."""

    def __init__(self, stack, node=NODE):
        self.stack, self.node = stack, node
        self.socket = str(pathlib.Path(stack.env["CMDB_POLLER_SOCKET"]).with_name(f"p{node}.sock"))
        program = pathlib.Path(stack.env["CMDB_CTL"]).parents[1] / "sbin/cmdb-poller"
        self.sets = ["--set", f"poller.socket={self.socket}", "--set", f"poller.node_id={node}"]
        self.log = open(stack.dir / f"log/poller-{node}.log", "w")
        self.process = subprocess.Popen([program, "--config", stack.env["CMDB_CONFIG"], *self.sets],
                                        stderr=self.log, stdout=self.log)

    def status(self):
        done = self.stack.ctl("status", "--json", *self.sets, check=False)
        poller = json.loads(done.stdout)["poller"]
        return poller if poller["state"] == "up" else None

    @property
    def dir(self):
        """What Crowd looks for its socket in."""
        class Place:
            def __truediv__(this, _):
                return self.socket
        return Place()

    def stop(self):
        self.process.terminate()
        assert self.process.wait(30 * SLOWER) == 0
        self.log.close()


@pytest.fixture
def two(own_stack):
    stack = own_stack()
    host = Host(stack)
    wait_until(lambda: (host.status() or {}).get("ready"), 20)
    # Each has been seen, so that the other one knows of it.
    wait_until(lambda: nodes(stack) == {1, NODE}, 30)
    yield stack, host
    if host.process.poll() is None:
        host.stop()


def nodes(stack):
    with stack.connect() as db, db.cursor() as c:
        c.execute("SELECT node_id FROM ws_pollers WHERE seen_at > NOW(3) - INTERVAL 60 SECOND")
        return {row[0] for row in c.fetchall()}


def heard(crowd, sid, tag):
    return [json.loads(p[2:])[0] for p in crowd.p.poll(sid, tag=tag) if p[:2] == "42"]


def test_one_list_of_all_hosts(two):
    stack, host = two
    name = stack.tenant()
    api, id = stack.user(name), tenant_id(stack, name)
    c = join(stack, api)
    there = Crowd(host, id, [f"u{i % 3}" for i in range(30)])
    others = Crowd(host, 1, ["other"])
    here = Crowd(stack, id, [f"u{i % 3}" for i in range(30)])
    wait_until(lambda: connections(api)["total"] == 61, 10, "they are written behind")
    whole = connections(api, page_size=200)
    assert {i["tenant"] for i in whole["items"]} == {id}
    assert sum(i["node"] == NODE for i in whole["items"]) == 30
    at = [i["connectedAt"] for i in whole["items"]]
    assert at == sorted(at)
    for sort in ("user", "-user", "connectedAt", "-connectedAt", "-lag"):
        paged = [i for page in range(1, 8)
                 for i in connections(api, sort=sort, page_size=10, page=page)["items"]]
        assert [i["id"] for i in paged] == [
            i["id"] for i in connections(api, sort=sort, page_size=200)["items"]], sort
    by_user = [i["user"]["username"] for i in connections(api, sort="user", page_size=200)["items"]]
    assert by_user == sorted(by_user)
    assert connections(api, node=NODE)["total"] == 30 and connections(api, node=1)["total"] == 31
    assert connections(api, node=NODE, user="u1")["total"] == 10
    assert connections(api, state="open")["total"] == 0
    one = connections(api, node=NODE)["items"][0]
    assert (one["lag"], one["messageCount"], one["state"], one["ip"]) == (
        None, None, "joined", "192.0.2.1")
    assert api.get(f"/ws/connections/{one['id']}").data == one
    assert stack.admin().get(f"/ws/connections/{one['id']}").status == 404
    assert len(stack.ctl("sessions", "list", "--tenant", name, "--json")) == 61
    for crowd in (there, here, others):
        crowd.leave()
    wait_until(lambda: connections(api)["total"] == 1, 10)
    c.close()


def test_what_it_has_asked_for_is_known_there_too(two):
    stack, host = two
    name = stack.tenant()
    api, id = stack.user(name), tenant_id(stack, name)
    crowd = Crowd(host, id, ["a", "b"])
    crowd.p.poll(crowd.sids[0], tag=1)
    assert crowd.p.apply(crowd.sids[0], wire.emit('"websites:initial",{}', flags=wire.SYNC,
                                                 topic="websites", at=1)).what == wire.OK
    wait_until(lambda: connections(api, topic="websites")["total"] == 1, 10)
    assert connections(api, topic="websites")["items"][0]["subscription"]["topics"] == ["websites"]
    assert connections(api, topic="nodes")["total"] == 0
    crowd.leave()


@pytest.mark.parametrize("by", ["http", "cmdbctl"])
def test_one_of_another_host_is_thrown_out(two, by):
    stack, host = two
    name = stack.tenant()
    api, id = stack.user(name), tenant_id(stack, name)
    crowd = Crowd(host, id, ["victim", "stays"])
    wait_until(lambda: connections(api)["total"] == 2, 10)
    victim, = connections(api, user="victim")["items"]
    sid = crowd.sids[0]
    crowd.p.poll(sid, tag=1)
    held = crowd.p.hold(sid, tag=2)
    if by == "http":
        assert stack.admin().request("DELETE", f"/ws/connections/{victim['id']}").status == 404
        assert api.request("DELETE", f"/ws/connections/{victim['id']}").data == {
            "id": victim["id"], "node": NODE}
        action = "DELETE /ws/connections/{connection}"
    else:
        stack.ctl("sessions", "kick", victim["id"])
        action = "sessions.kick"
    packets = crowd.p.answer(held, 20 * SLOWER)
    error = json.loads(packets[0][2:])
    assert error[0] == "error" and error[1]["code"] == "disconnected" and packets[1] == "41"
    wait_until(lambda: connections(api)["total"] == 1, 10)
    assert [t for _, t in audited(stack, id, action)] == [f"connections/{victim['id']}"]
    assert connections(api)["items"][0]["user"]["username"] == "stays"
    crowd.leave()


def test_nothing_holds_up_that_somebody_is_thrown_out(two):
    """Nor an open transaction, behind which the ordinary events wait."""
    stack, host = two
    name = stack.tenant()
    api, id = stack.user(name), tenant_id(stack, name)
    crowd = Crowd(host, id, ["victim"])
    wait_until(lambda: connections(api)["total"] == 1, 10)
    crowd.p.poll(crowd.sids[0], tag=1)
    held = crowd.p.hold(crowd.sids[0], tag=2)
    slow = stack.connect(autocommit=False)
    with slow.cursor() as c:
        c.execute("INSERT INTO ws_events (topic, event_type, payload) VALUES ('nodes', 'add', '1')")
    one, = connections(api)["items"]
    assert api.request("DELETE", f"/ws/connections/{one['id']}").status == 200
    assert '"disconnected"' in crowd.p.answer(held, 20 * SLOWER)[0]
    slow.rollback()
    slow.close()
    crowd.leave()


@pytest.mark.parametrize("by", ["http", "cmdbctl"])
def test_a_broadcast_reaches_the_sockets_of_all_hosts_once(two, by):
    stack, host = two
    name = stack.tenant()
    api, id = stack.user(name), tenant_id(stack, name)
    c = join(stack, api)
    crowd, others = Crowd(host, id, ["a"] * 3), Crowd(host, 1, ["other"])
    rooms = Crowd(host, id, ["in"], departments=["tech"])

    def send(event, room=None):
        if by == "http":
            body = {"event": event, "data": {"n": 1.5}, **({"room": room} if room else {})}
            assert api.post("/ws/broadcast", body).status == 200
        else:
            stack.ctl("broadcast", "--event", event, "--data", '{"n":1.5}', "--tenant", name,
                      *(("--room", room) if room else ()))

    for sid in [*crowd.sids, *others.sids, *rooms.sids]:
        (crowd if sid in crowd.sids else others if sid in others.sids else rooms).p.poll(sid, tag=1)
    send("news")
    send("tech", "department:tech")
    send("last")
    assert c.event("last") == [{"n": 1.5}]
    assert sum('"news"' in p for p in c.seen) == 0

    def all_of(crowd, sid):
        got, tag = [], 2
        while "last" not in got:
            got += heard(crowd, sid, tag)
            tag += 1
        return got

    for sid in crowd.sids:
        assert all_of(crowd, sid) == ["news", "last"]
    assert all_of(rooms, rooms.sids[0]) == ["news", "tech", "last"]
    send("more")
    assert others.p.apply(others.sids[0], wire.emit('"mark",{}')).what == wire.OK
    assert heard(others, others.sids[0], 2) == ["mark"], "nothing of the other tenant's"
    for x in (crowd, others, rooms):
        x.leave()
    c.close()


def test_a_host_that_is_gone_has_none(two):
    stack, host = two
    name = stack.tenant()
    api, id = stack.user(name), tenant_id(stack, name)
    Crowd(host, id, ["a"])
    wait_until(lambda: connections(api)["total"] == 1, 10)
    one, = connections(api)["items"]
    host.process.kill()
    host.process.wait()
    with stack.connect() as db, db.cursor() as c:
        c.execute("UPDATE ws_pollers SET seen_at = NOW(3) - INTERVAL 2 MINUTE WHERE node_id = 2")
    assert connections(api) == dict(items=[], total=0, page=1, page_size=20)
    assert api.get(f"/ws/connections/{one['id']}").status == 404
    assert api.request("DELETE", f"/ws/connections/{one['id']}").status == 404


def test_what_says_nothing_known_harms_nobody(two):
    stack, host = two
    with stack.connect() as db, db.cursor() as c:
        for payload in ("1", "{}", '{"disconnect":7}', '{"cast":[],"room":"","node":9}',
                        '{"cast":["connect",1],"room":"","node":9}', '{"disconnect":"x","node":1}',
                        '{"cast":["news",1],"room":"a,b","node":9}'):
            c.execute("INSERT INTO ws_events (topic, event_type, payload) VALUES "
                      "('_hosts', 'update', %s)", (payload,))
        last = c.lastrowid
    for at in (stack, host):
        wait_until(lambda: at.status()["tail"] >= last, 10)
    assert host.process.poll() is None
    assert stack.admin().get("/events?topics=_hosts&timeout=0").status in (400, 403)
    assert not any(e["topic"] == "_hosts"
                   for e in stack.admin().poll(0, timeout=0, limit=500)["events"])
    assert "says nothing known" in stack.log("poller")
