"""Poller and a cmdb-fcgi process are killed at random while many stock clients keep their copy of a
list that changes all the time: every copy ends up as the database has it, nobody missed an event or
got one out of order, and no client saw its session end."""
import json
import os
import random
import socket
import subprocess
import threading
import time

import pytest

from conftest import HERE, SLOWER, node_modules, service, unique, wait_until

pytestmark = pytest.mark.slow

SECONDS = int(os.environ.get("CMDB_STORM_SECONDS", "15"))
IS_LONG = SECONDS >= 60  # with the times that are the default, of which it outlives several
CLIENTS = 2000 if IS_LONG else 300
A_PROCESS = 250  # clients of one node process, which else is what is too slow
INTERVAL_MS, TIMEOUT_MS = 2000, int(5000 * SLOWER)
RATE = 20  # changes a second, of all writers


class Writer(threading.Thread):
    """Posts at a rate, each as often as it takes while processes die: its key makes sure that it is
    done once."""

    def __init__(self, key, n, rate, until):
        super().__init__()
        self.api, self.random, self.pause, self.until = key, random.Random(n), 1 / rate, until
        self.problem, self.changes = None, 0

    def post(self, path, body):
        key, end = unique("change"), time.monotonic() + 30 * SLOWER
        while True:
            try:
                reply = self.api.post(path, body, headers={"Idempotency-Key": key})
                if reply.status < 500:
                    assert reply.status in (200, 201), reply
                    self.changes += 1
                    return reply.data
            except OSError:
                self.api.close()
            assert time.monotonic() < end, "no answer to a change"
            time.sleep(0.05)

    def run(self):
        try:
            while not self.until.is_set():
                started = time.monotonic()
                self.step()
                self.until.wait(max(0, self.pause - (time.monotonic() - started)))
        except Exception as e:
            self.problem = repr(e)


class SiteWriter(Writer):
    """Changes websites through REST."""

    def __init__(self, *args):
        super().__init__(*args)
        self.own = []

    def change(self, what, body):
        return self.post(f"/api/v1/websites/{what}", body)

    def step(self):
        choice = self.random.random()
        if choice < 0.2 or len(self.own) < 3:
            self.own.append(self.change("create", {
                "domains": [f"{unique('site')}.example"], "origin_mode": "redirect",
                "redirect_url": "https://example.org/"})["id"])
        elif choice < 0.3:
            self.change("delete", {"ids": [self.own.pop(self.random.randrange(len(self.own)))]})
        else:
            self.change("update", {"id": self.random.choice(self.own),
                                   "https_enabled": self.random.random() < 0.5,
                                   "status": self.random.choice(["active", "inactive"])})


class SqlWriter(SiteWriter):
    """Another program: it changes its row and publishes that in one transaction."""

    def __init__(self, stack, key, n, rate, until):
        super().__init__(key, n, rate, until)
        self.row = self.change("create", {
            "domains": [f"{unique('site')}.example"], "origin_mode": "redirect",
            "redirect_url": "https://example.org/"})
        self.row = self.api.get(f"/api/v1/websites/{self.row['id']}").data
        self.db = stack.connect(autocommit=False)

    def step(self):
        status = self.random.choice(["active", "inactive"])
        with self.db.cursor() as c:
            c.execute("UPDATE websites SET status = %s, version = version + 1 WHERE id = %s",
                      (status, self.row["id"]))
            self.row.update(status=status, version=self.row["version"] + 1)
            c.execute("INSERT INTO ws_events (topic, event_type, payload, tenant_id) SELECT "
                      "'websites', 'update', %s, tenant_id FROM websites WHERE id = %s",
                      (json.dumps(self.row), self.row["id"]))
        self.db.commit()
        self.changes += 1


class Killer(threading.Thread):
    """Kills the poller or the second cmdb-fcgi, and waits until it answers again."""

    def __init__(self, stack, seed, until):
        super().__init__()
        self.stack, self.random, self.until = stack, random.Random(seed), until
        self.kills, self.problem = [], None

    def answers(self, name):
        run = os.path.dirname(self.stack.env["CMDB_POLLER_SOCKET"])
        path = f"{run}/poller.sock" if name == "poller" else f"{run}/{name}.sock"
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(path)
                return True
            except OSError:
                return False

    def run(self):
        try:
            while not self.until.wait(self.random.uniform(0.5, 2)):
                name = self.random.choice(["poller", "fcgi-2"])
                self.kills.append(name)
                self.stack.kill(name)
                wait_until(lambda: self.answers(name), 30 * SLOWER, f"{name} answers")
        except Exception as e:
            self.problem = repr(e)


def start_clients(stack, tokens):
    env = {**os.environ, **stack.env, "NODE_PATH": str(node_modules()),
           "CMDB_STORM_TOKENS": json.dumps(tokens)}
    share = [min(A_PROCESS, CLIENTS - n) for n in range(0, CLIENTS, A_PROCESS)]
    return [subprocess.Popen(["node", HERE / "storm.js", str(n)], env=env, text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE) for n in share]


def log_and_rows(stack, user):
    tenant = user.get("/api/v1/auth/me").data["tenant_id"]
    with stack.connect() as db, db.cursor() as c:
        c.execute("SELECT id FROM ws_events WHERE topic = 'websites' AND tenant_id = %s "
                  "ORDER BY id", (tenant,))
        ids = [row[0] for row in c.fetchall()]
    rows, page = [], 1
    while True:
        data = user.get(f"/api/v1/websites?page={page}&page_size=200&sort=id").data
        rows += data["items"]
        if len(rows) >= data["total"]:
            return ids, rows
        page += 1


def test_no_kill_is_seen_by_any_client(own_stack):
    # A stock client is gone pingInterval + pingTimeout after the last ping it got: some of each are
    # over before the test is.
    times = [] if IS_LONG else [f"socketio.ping_interval_ms={INTERVAL_MS}",
                                f"socketio.ping_timeout_ms={TIMEOUT_MS}"]
    stack, until = own_stack("auth.access_ttl_s=7200", *times), threading.Event()
    seed = random.SystemRandom().randrange(10 ** 6)
    print(f"seed {seed}")
    tenant = stack.tenant()
    users = [stack.user(tenant) for _ in range(3)]
    clients = start_clients(stack, [u.token for u in users])
    try:
        for c in clients:
            assert c.stdout.readline() == "ready\n"
        key = stack.key("websites:*", tenant=tenant)
        writers = [SiteWriter(key.clone(), n, RATE * 0.35, until) for n in range(2)]
        writers.append(SqlWriter(stack, key.clone(), 2, RATE * 0.3, until))
        killer = Killer(stack, seed, until)
        for thread in [*writers, killer]:
            thread.start()
        until.wait(SECONDS)
        until.set()
        for thread in [*writers, killer]:
            thread.join(60 * SLOWER)
            assert not thread.is_alive() and thread.problem is None, thread.problem
        wait_until(stack.status, 30 * SLOWER, "the poller answers")
        ids, rows = log_and_rows(stack, users[0])
        for c in clients:
            c.stdin.write(json.dumps({"ids": ids, "rows": rows}) + "\n")
            c.stdin.flush()
        said = [json.loads(c.stdout.readline()) for c in clients]
    finally:
        until.set()
        for c in clients:
            c.kill()
            c.wait()
    problems = [p for s in said for p in s["problems"]]
    assert not problems, f"seed {seed}, killed {killer.kills}: " + "\n".join(problems[:20])
    assert sum(s["events"] for s in said) >= CLIENTS * len(ids) // 2
    assert {"poller", "fcgi-2"} <= set(killer.kills)
    print(f"{CLIENTS} clients, {len(ids)} events, {len(killer.kills)} kills")
