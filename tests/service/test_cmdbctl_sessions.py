"""cmdbctl sessions: who is connected, what of one, who lags, and out with it."""
import json
import os
import pty
import select
import signal
import subprocess
import time

import pytest

from conftest import SLOWER, unique, wait_until
from test_ws_connections import Crowd, audited, join, tenant_id

OK, FAILED, USAGE, UNREACHABLE, NOT_FOUND = range(5)


@pytest.fixture
def tenant(stack):
    name = stack.tenant()
    return stack.user(name), tenant_id(stack, name), name


def sessions(stack, *args):
    return stack.ctl("sessions", *args, "--json")


def fails(stack, status, *args, **more):
    done = stack.ctl("sessions", *args, check=False, **more)
    assert done.returncode == status, (args, done)
    return done.stderr


def publish(stack, tenant, n):
    with stack.connect() as db, db.cursor() as c:
        for _ in range(n):
            c.execute("INSERT INTO ws_events (topic, event_type, payload, tenant_id) VALUES "
                      "('nodes', 'update', '{}', %s)", (tenant,))
        last = c.lastrowid
    wait_until(lambda: stack.status()["tail"] >= last)


def test_a_list_has_all_pages(stack, tenant):
    _, id, name = tenant
    crowd = Crowd(stack, id, [f"u{i % 7}" for i in range(450)])
    try:
        all = sessions(stack, "list", "--tenant", name)
        assert len(all) == 450 == len({c["id"] for c in all})
        assert {c["tenant"] for c in all} == {id}
        assert len(sessions(stack, "list", "--tenant", name, "-n", "7")) == 7
        assert len(sessions(stack, "list", "--tenant", name, "--user", "u3")) == 64
        assert sessions(stack, "list", "--tenant", name, "--state", "open") == []
        by_user = sessions(stack, "list", "--tenant", name, "--sort", "-user")
        assert [c["user"]["username"] for c in by_user][:65] == ["u6"] * 64 + ["u5"]
        assert len(sessions(stack, "list")) >= 450, "of all tenants"
        text = stack.ctl("sessions", "list", "--tenant", name, "-n", "2").stdout.splitlines()
        assert text[0].split() == ["ID", "TENANT", "USER", "IP", "NODE", "STATE", "CONNECTED", "MESSAGES",
                                   "LAG", "TOPICS"]
        assert len(text) == 3 and text[1].split()[0] == all[0]["id"]
    finally:
        crowd.leave()


def test_one(stack, tenant):
    api, _, name = tenant
    c = join(stack, api)
    c.ask("nodes")
    one, = sessions(stack, "list", "--tenant", name, "--topic", "nodes")
    shown = sessions(stack, "show", one["id"])
    assert shown["subscription"]["topics"] == ["nodes"]
    assert shown["id"] == one["id"] and shown["user"]["username"] == api.user["username"]
    text = stack.ctl("sessions", "show", one["id"]).stdout.splitlines()
    assert f"id: {one['id']}" in text
    assert f'namespaces: {{"name":"/","socket":"{one["namespaces"][0]["socket"]}"}}' in text
    other = stack.tenant()
    for args in (["0badc0de"], [one["id"], "--tenant", other]):
        assert "there is no connection" in fails(stack, NOT_FOUND, "show", *args)
    assert "nobody" in fails(stack, NOT_FOUND, "show", one["id"], "--tenant", "nobody")
    c.close()


def test_who_is_at_lunch_shows(stack, tenant):
    api, _, name = tenant
    c = join(stack, api)
    c.ask("nodes")
    for n, event in enumerate(("log:subscribe", "log:pause", "log:resume"), 50):
        c.emit(event, ack=n)
        c.ack(n)
        row = stack.ctl("sessions", "list", "--tenant", name).stdout.splitlines()[1]
        assert "nodes" in row and "logs" in row and ("logs (paused)" in row) == (event == "log:pause"), row
    c.close()


def test_kick(stack, tenant):
    api, id, name = tenant
    clients = [join(stack, api) for _ in range(3)]
    ids = [c["id"] for c in sessions(stack, "list", "--tenant", name)]
    assert "--yes" in fails(stack, USAGE, "kick", *ids[:2], input="")
    assert len(sessions(stack, "list", "--tenant", name)) == 3
    said = stack.ctl("sessions", "kick", ids[0]).stdout
    assert said == f"disconnected {ids[0]} of {api.user['username']}\n"
    error = clients[0].event("error")[0]
    assert error["code"] == "disconnected" and error["message"]
    # One that is not there keeps none of the others from it.
    done = stack.ctl("sessions", "kick", "--yes", "--json", ids[0], *ids[1:], check=False)
    assert done.returncode == NOT_FOUND and ids[0] in done.stderr
    assert [d["id"] for d in json.loads(done.stdout)] == ids[1:]
    assert sessions(stack, "list", "--tenant", name) == []
    told = audited(stack, id, "sessions.kick")
    assert [target for _, target in told] == [f"connections/{i}" for i in ids]
    assert all(subject.startswith("cmdbctl:") for subject, _ in told)
    c = join(stack, api)
    one, = sessions(stack, "list", "--tenant", name)
    fails(stack, NOT_FOUND, "kick", one["id"], "--tenant", stack.tenant())
    assert len(sessions(stack, "list", "--tenant", name)) == 1
    c.close()


def test_who_lags_is_found_by_top(stack, tenant):
    api, id, name = tenant
    good = [join(stack, api) for _ in range(3)]
    held = [c.hold() for c in good]
    lazy = join(stack, api)
    publish(stack, id, 5)
    assert [h.result() for h in held]
    held = [c.hold() for c in good]
    wait_until(lambda: sessions(stack, "top", "--tenant", name)[1]["lag"] == 0)
    worst, *others = sessions(stack, "top", "--tenant", name)
    assert worst["lag"] == 5 and all(c["lag"] == 0 for c in others) and len(others) == 3
    assert len(sessions(stack, "top", "--tenant", name, "--min-lag", "1")) == 1
    text = stack.ctl("sessions", "top", "--tenant", name, "-n", "2").stdout.splitlines()
    assert text[0].startswith("4 connections, 1 behind") and len(text) == 4
    assert text[2].split()[:2] == [worst["id"], str(id)]
    stack.ctl("sessions", "kick", worst["id"])
    assert lazy.event("error")[0]["code"] == "disconnected"
    for c in good:
        c.post("1")
    for h in held:
        h.result()


def test_top_on_a_terminal_looks_again(stack, tenant):
    api, _, name = tenant
    c = join(stack, api)
    main, terminal = pty.openpty()
    env = {**os.environ, "CMDB_CONFIG": stack.env["CMDB_CONFIG"]}
    p = subprocess.Popen([stack.env["CMDB_CTL"], "sessions", "top", "--tenant", name, "--interval",
                          "1"], stdout=terminal, stdin=terminal, env=env)
    os.close(terminal)
    seen, deadline = b"", time.monotonic() + 20 * SLOWER
    try:
        while seen.count(b"1 connections") < 3:
            assert time.monotonic() < deadline, seen
            if select.select([main], [], [], 1)[0]:
                seen += os.read(main, 65536)
        assert seen.count(b"\033[H\033[J") >= 3
        p.send_signal(signal.SIGINT)
        assert p.wait(10 * SLOWER) == OK
    finally:
        p.kill()
        p.wait()
        os.close(main)
    c.close()


def test_what_is_refused(stack):
    assert "\n  sort: must be one of" in fails(stack, USAGE, "list", "--sort", "name")
    assert "\n  state: must be open or joined\n" in fails(stack, USAGE, "list", "--state", unique())
    away = ("--set", "poller.socket=/nonexistent/poller.sock")
    for verb in (["list"], ["top"], ["show", "x"], ["kick", "x"]):
        assert "no poller" in fails(stack, UNREACHABLE, *verb, *away)
