"""An operator at work with cmdbctl, and stock clients that feel it."""
import json
import os
import queue
import signal
import subprocess
import threading

import pytest

from conftest import SLOWER, node_modules, wait_until

CLIENT = """
const { io } = require("socket.io-client");
const socket = io(process.argv[1], { transports: ["polling"], auth: { token: process.argv[2] } });
const say = (...what) => console.log(JSON.stringify(what));
for (const name of ["connected", "nodes:update", "error"])
    socket.on(name, data => say(name, data));
socket.on("disconnect", reason => say("disconnect", reason));
"""


class Stock:
    """socket.io-client in a process of its own, which can be stopped."""

    def __init__(self, stack, token):
        env = {**os.environ, "NODE_PATH": str(node_modules())}
        self.process = subprocess.Popen(["node", "-e", CLIENT, stack.url, token], env=env,
                                        stdout=subprocess.PIPE, text=True)
        self.said = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        assert self.next() == ["connected", {"ok": True}]

    def read(self):
        for line in self.process.stdout:
            self.said.put(json.loads(line))

    def next(self):
        return self.said.get(timeout=20 * SLOWER)

    def signal(self, sig):
        os.kill(self.process.pid, sig)

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def clients(stack):
    name = stack.tenant()
    user = stack.user(name)
    made = [Stock(stack, user.token) for _ in range(3)]
    yield name, user, made
    for c in made:
        c.end()


def change(stack, tenant, n):
    with stack.connect() as db, db.cursor() as c:
        for i in range(n):
            c.execute("INSERT INTO ws_events (topic, event_type, payload, tenant_id) SELECT 'nodes', "
                      "'update', JSON_OBJECT('id', %s), id FROM tenants WHERE name = %s",
                      (i, tenant))


def test_who_lags_is_found_thrown_out_and_told_why(stack, clients):
    name, user, (lazy, *others) = clients
    # They wait for live events by now: each gets the first.
    change(stack, name, 1)
    for c in (lazy, *others):
        assert c.next()[0] == "nodes:update"
    lazy.signal(signal.SIGSTOP)
    change(stack, name, 1)
    for c in others:
        assert c.next()[0] == "nodes:update"
    change(stack, name, 20)
    for c in others:
        for _ in range(20):
            assert c.next()[0] == "nodes:update"
    top = wait_until(lambda: (t := stack.ctl("sessions", "top", "--tenant", name, "--json"))
                     and sum(c["lag"] > 0 for c in t) == 1 and t, 10, "one lags, two do not")
    assert len(top) == 3 and 19 <= top[0]["lag"] <= 21
    said = stack.ctl("sessions", "kick", top[0]["id"]).stdout
    assert said == f"disconnected {top[0]['id']} of {user.user['username']}\n"
    lazy.signal(signal.SIGCONT)
    told = []
    while not told or told[-1][0] != "disconnect":
        told.append(lazy.next())
    error = next(data for event, data in told if event == "error")
    assert error["code"] == "disconnected" and error["message"]
    assert told[-1] == ["disconnect", "io server disconnect"]
    # The others go on, and it does not come back by itself.
    change(stack, name, 1)
    for c in others:
        assert c.next()[0] == "nodes:update"
    assert len(stack.ctl("sessions", "list", "--tenant", name, "--json")) == 2
    assert lazy.said.empty()
