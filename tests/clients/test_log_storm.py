"""Two thousand lines of logs a second, and a poller and a cmdb-fcgi process that are killed, while
many stock clients watch with filters of their own: each got exactly its lines, in order and once,
but for those that it was told of as left out; who never reads changes nothing for them."""
import json
import os
import random
import subprocess
import threading
import time

import pytest

from conftest import HERE, SLOWER, node_modules, wait_until
from session import Session
from test_storm import Killer, Writer

pytestmark = pytest.mark.slow

SECONDS = int(os.environ.get("CMDB_STORM_SECONDS", "15"))
CLIENTS, SILENT = 200, 20
SINGLES, ARRAYS, ARRAY = 200, 18, 100  # requests a second, and lines of an array
INTERVAL_MS, TIMEOUT_MS = 2000, int(5000 * SLOWER)
LEVELS = ["DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
WORDS = ["disk", "fan", "link", "boot", "user", "queue", "cache", "lease", "probe", "Überlauf"]
END = "the end of it"


def make_filter(n):
    """Most are narrow; some want everything, which is more than the rate lets through."""
    device, word, tag = f"dev-{n % 40}", WORDS[n % len(WORDS)], f"t{n % 7}"
    return [
        {"deviceIds": [device]},
        {"deviceIds": [device, f"dev-{(n + 1) % 40}"], "levels": ["ERROR", "FATAL"]},
        {"tags": [tag], "keywords": [word.upper()]},
        {"levels": ["FATAL"], "deviceIds": []},
        {"keywords": [f"{word} {n % 50}"]},
        {} if n % 60 == 5 else {"levels": ["WARN"], "tags": [tag]},
    ][n % 6]


def matches(wanted, line):
    def has(dimension, test):
        return not wanted.get(dimension) or any(test(v) for v in wanted[dimension])

    return (has("deviceIds", lambda d: d == line["deviceId"])
            and has("levels", lambda v: v == line["level"])
            and has("tags", lambda t: t in line["tags"])
            and has("keywords", lambda k: k.lower() in line["message"].lower()))


def last_line(wanted):
    """One that the filter lets through."""
    return {"deviceId": (wanted.get("deviceIds") or ["dev-0"])[0],
            "level": (wanted.get("levels") or ["INFO"])[0], "tags": wanted.get("tags") or [],
            "message": f"{END} {(wanted.get('keywords') or [''])[0]}"}


class LogWriter(Writer):
    size = 1

    def line(self):
        return {"deviceId": f"dev-{self.random.randrange(40)}",
                "level": self.random.choices(LEVELS, [30, 50, 12, 6, 2])[0],
                "message": f"{self.random.choice(WORDS)} {self.random.randrange(50)} looked at",
                "tags": self.random.sample([f"t{i}" for i in range(7)], self.random.randrange(3))}

    def step(self):
        lines = [self.line() for _ in range(self.size)]
        self.post("/api/logs", lines if self.size > 1 else lines[0])


class ArrayWriter(LogWriter):
    size = ARRAY


class Silent:
    """Subscribes to everything, and never fetches an answer."""

    def __init__(self, stack, user):
        self.session = Session(stack.api())
        self.session.connect(user.token)
        assert self.session.post('42["log:subscribe",{}]').body == b"ok"


def logged(stack, tenant):
    """The lines of the tenant in the order of the log."""
    with stack.connect() as db, db.cursor() as c:
        c.execute("SELECT payload FROM ws_events WHERE topic = 'logs' AND tenant_id = "
                  "(SELECT id FROM tenants WHERE name = %s) ORDER BY id", (tenant,))
        return [line for row in c.fetchall() for line in json.loads(row[0])]


def problems_of(wanted, said, lines):
    """What is wrong with what a client says that it got."""
    expected = [line["id"] for line in lines if matches(wanted, line)]
    got = [one for one in said["got"] if isinstance(one, int)]
    dropped = [one for one in said["got"] if isinstance(one, dict)]
    position = {line: i for i, line in enumerate(expected)}
    found = list(said["trouble"])
    if any(line not in position for line in got):
        found.append(f"lines that are none of its: {[n for n in got if n not in position][:5]}")
        return found
    if any(position[a] >= position[b] for a, b in zip(got, got[1:])):
        found.append("out of order, or twice")
    missed = set(expected) - set(got)
    untold = [n for n in missed if not any(d["from"] <= n <= d["to"] for d in dropped)]
    if untold:
        found.append(f"missed {len(untold)} of {len(expected)}: {sorted(untold)[:5]}")
    if sum(d["count"] for d in dropped) != len(missed):
        found.append(f"missed {len(missed)}, told {[d['count'] for d in dropped]}")
    return found


def start_clients(stack, users, filters):
    env = {**os.environ, **stack.env, "NODE_PATH": str(node_modules()),
           "CMDB_STORM": json.dumps({"tokens": [u.token for u in users], "filters": filters})}
    return subprocess.Popen(["node", HERE / "log_storm.js"], env=env, text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_each_gets_its_lines(own_stack):
    stack, until = own_stack("auth.access_ttl_s=7200",
                             f"socketio.ping_interval_ms={INTERVAL_MS}",
                             f"socketio.ping_timeout_ms={TIMEOUT_MS}"), threading.Event()
    seed = random.SystemRandom().randrange(10 ** 6)
    print(f"seed {seed}")
    tenant = stack.tenant()
    users = [stack.user(tenant) for _ in range(4)]
    filters = [make_filter(n) for n in range(CLIENTS)]
    clients = start_clients(stack, users, filters)
    try:
        assert clients.stdout.readline() == "ready\n"
        for _ in range(SILENT):
            Silent(stack, users[0])
        key = stack.key("logs:ingest", tenant=tenant)
        writers = [LogWriter(key.clone(), n, SINGLES / 2, until) for n in range(2)]
        writers += [ArrayWriter(key.clone(), 2 + n, ARRAYS / 2, until) for n in range(2)]
        killer, held = Killer(stack, seed, until), []
        for thread in [*writers, killer]:
            thread.start()
        end = time.monotonic() + SECONDS
        while not until.wait(0.5) and time.monotonic() < end:
            status = stack.status()
            held.append(status["sessions"]["held_bytes"] if status else 0)
        until.set()
        for thread in [*writers, killer]:
            thread.join(60 * SLOWER)
            assert not thread.is_alive() and thread.problem is None, thread.problem
        wait_until(stack.status, 30 * SLOWER, "the poller answers")
        ends = key.post("/api/logs", [last_line(f) for f in filters]).data["ids"]
        clients.stdin.write(f"{ends[0]}\n")
        clients.stdin.flush()
        said = [json.loads(clients.stdout.readline()) for _ in filters]
    finally:
        until.set()
        clients.kill()
        clients.wait()
    lines = logged(stack, tenant)
    problems = [f"client {n} {filters[n]}: {p}" for n, s in enumerate(said)
                for p in problems_of(filters[n], s, lines)]
    assert not problems, f"seed {seed}, killed {killer.kills}: " + "\n".join(problems[:20])
    assert {"poller", "fcgi-2"} <= set(killer.kills) and len(lines) > SECONDS * 20
    assert max(held) < 2 * SILENT * 1024 * 1024
    print(f"{len(lines)} lines, {sum(len(s['got']) for s in said)} told, {len(killer.kills)} kills")
