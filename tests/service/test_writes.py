"""A database that answers and cannot be written to, or has defaults of its own: requests, health and
logs tell the truth about it."""
import os
import signal
import threading
import time

import pytest

import sio
from conftest import SLOWER, unique, wait_until

# Defaults of a server that, taken over, would change what answers hold or whether there are any.
HOSTILE = {
    "sql_select_limit": "3", "max_statement_time": "0.001", "sql_mode": "'ANSI_QUOTES'",
    "time_zone": "'+05:00'", "tx_isolation": "'SERIALIZABLE'", "tx_read_only": "1",
    "autocommit": "0", "completion_type": "'RELEASE'", "group_concat_max_len": "4",
    "lock_wait_timeout": "0", "innodb_lock_wait_timeout": "0", "character_set_client": "'latin1'",
    "character_set_results": "'latin1'", "collation_connection": "'latin1_swedish_ci'",
    "lc_messages": "'de_DE'", "sql_safe_updates": "1", "sql_auto_is_null": "1",
    "foreign_key_checks": "0", "unique_checks": "0", "max_join_size": "1", "sql_big_selects": "0",
    "div_precision_increment": "0", "wait_timeout": "1", "idle_transaction_timeout": "1",
    "max_sort_length": "64", "default_week_format": "3", "old_mode": "'ZERO_DATE_TIME_CAST'",
}


def set_global(stack, values):
    with stack.connect() as db, db.cursor() as c:
        for name, value in values.items():
            c.execute(f"SET GLOBAL {name} = {value}")


def restart(stack):
    """All sessions anew."""
    for name in ("poller", "fcgi-1", "fcgi-2"):
        stack.kill(name)
    wait_until(lambda: stack.api().get("/healthz").status == 200, 20)


def create(client, name=None):
    return client.post("/api/v1/websites/create", {
        "domains": [name or unique("w") + ".example.com"], "origin_mode": "redirect",
        "redirect_url": "https://example.org/"})


def health(stack):
    reply = stack.api().get("/api/ws/health")
    data = reply.json["data"]
    assert reply.status == (200 if data["healthy"] else 503), reply
    return data


def test_health_says_that_writes_work(stack):
    assert {k: health(stack)[k] for k in ("healthy", "database", "writes", "poller")} == {
        "healthy": True, "database": "ok", "writes": "ok", "poller": "ok"}


@pytest.mark.parametrize("fault, cure, says", [
    ({"read_only": "1"}, {"read_only": "0"}, "(1290)"),
    ({"binlog_format": "'STATEMENT'"}, {"binlog_format": "'ROW'"}, "(1665)"),
    ({"max_prepared_stmt_count": "0"}, {"max_prepared_stmt_count": "16382"}, "(1461)"),
], ids=lambda v: next(iter(v)) if isinstance(v, dict) else None)
def test_a_database_that_takes_no_writes(own_stack, fault, cure, says):
    stack = own_stack()
    admin = stack.admin()
    assert health(stack)["writes"] == "ok"
    set_global(stack, fault)
    restart(stack)
    # Passing trouble of the server is a 503 that is worth another try, not a fault of ours.
    reply = create(admin)
    assert (reply.status, reply.error["code"]) == (503, "unavailable"), reply
    assert int(reply.headers["Retry-After"]) > 0
    # So is a login; what only reads goes on where the server lets it.
    login = stack.api().post("/api/v1/auth/login", {"username": stack.env["CMDB_ADMIN_USER"],
                                                    "password": stack.env["CMDB_ADMIN_PASSWORD"]})
    assert (login.status, login.error["code"]) == (503, "unavailable"), login
    if "max_prepared_stmt_count" not in fault:
        assert admin.get("/api/v1/websites?page_size=7").status == 200
        assert stack.api(token="x.y.z").get("/api/v1/websites").status == 401
    wait_until(lambda: health(stack)["writes"] in ("failing", "unknown"), 10)
    assert not health(stack)["healthy"]
    assert says in stack.log("fcgi-1") + stack.log("fcgi-2")
    assert "] writes: the database cannot be" in stack.log("fcgi-1") + stack.log("fcgi-2")
    if "max_prepared_stmt_count" in fault:
        # The poller cannot begin, and says why.
        wait_until(lambda: f"{says}; trying again" in stack.log("poller"), 10)
    assert ": ; trying again" not in stack.log("poller")
    set_global(stack, cure)
    if "binlog_format" in fault:
        restart(stack)
    wait_until(lambda: health(stack)["healthy"], 20, "healthy again")
    wait_until(lambda: create(admin).status == 201, 20)


def test_health_answers_when_the_database_does_not(own_stack):
    """A write that waits for ever is no reason for health to do so, nor for a try a request."""
    stack = own_stack()
    assert health(stack)["healthy"]
    with stack.connect() as db, db.cursor() as c:
        c.execute("FLUSH TABLES WITH READ LOCK")
        found = wait_until(lambda: not health(stack)["healthy"] and health(stack), 10)
        assert found["database"] == "ok" and found["writes"] in ("unknown", "failing"), found
        askers = [threading.Thread(target=health, args=(stack,)) for _ in range(20)]
        for t in askers:
            t.start()
        for t in askers:
            t.join(10 * SLOWER)
            assert not t.is_alive()
        # Nor do they take the workers: who only reads is answered meanwhile.
        reader = stack.api(key=stack.env["CMDB_API_KEY"])
        askers = [threading.Thread(target=lambda: [health(stack) for _ in range(20)])
                  for _ in range(20)]
        for t in askers:
            t.start()
        times = []
        while any(t.is_alive() for t in askers):
            before = time.monotonic()
            assert reader.get("/api/v1/nodes?page_size=1&page=%d" % (len(times) + 1)).status == 200
            times.append(time.monotonic() - before)
        assert sorted(times)[len(times) // 2] < 0.5 * SLOWER, times
        # One try a process at most, of each of the two.
        c.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE "
                  "'INSERT INTO ws_health%'")
        assert c.fetchone()[0] <= 2
        c.execute("UNLOCK TABLES")
    wait_until(lambda: health(stack)["healthy"], 20)


def test_a_database_that_died_shows_at_once(own_stack):
    """Also when a try a moment ago was good."""
    stack = own_stack()
    assert health(stack)["healthy"] and health(stack)["healthy"]
    pid = stack.pid("mariadb")
    os.kill(int((stack.dir / "run/mariadb.super").read_text()), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}") or
               open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] == "Z", 10)
    assert not health(stack)["healthy"]


def test_tries_are_seconds_apart_however_many_ask(own_stack):
    stack = own_stack()

    with stack.connect() as db, db.cursor() as c:
        seen = set()
        client = stack.api()
        for _ in range(300):
            assert client.get("/api/ws/health").status == 200
            c.execute("SELECT written_at FROM ws_health")
            seen.update(c.fetchall())
            if len(seen) > 2:
                break
        times = sorted(t for t, in seen)
        assert all((b - a).total_seconds() > 1.9 for a, b in zip(times, times[1:])), times


def test_defaults_of_the_server_change_no_answer(own_stack):
    stack = own_stack()
    admin = stack.admin()
    name = unique("häß-ß").replace("ß", "ss") + ".example.com"
    made = create(admin, name)
    assert made.status == 201, made
    paths = ("/api/v1/websites?page_size=200", "/api/v1/websites?page=2&sort=-created_at",
             "/api/v1/domains?page_size=200", "/api/v1/origin-groups", "/api/v1/nodes",
             "/api/v1/line-groups", f"/api/v1/websites/{made.data['id']}",
             "/api/v1/auth/me", "/events?since=0&timeout=0")

    def answers():
        return {path: admin.get(path).json for path in paths}

    before = answers()
    assert before[paths[0]]["data"]["total"] > 200
    users = stack.ctl("user", "list", "--json")
    roles = stack.ctl("role", "list", "--json")
    set_global(stack, HOSTILE)
    restart(stack)
    wait_until(lambda: health(stack)["healthy"], 20)
    assert answers() == before
    assert stack.ctl("user", "list", "--json") == users and len(users) > 1
    assert stack.ctl("role", "list", "--json") == roles
    # Writes, their errors and events too.
    twice = create(admin, name)
    assert (twice.status, twice.error["code"]) == (409, "duplicate"), twice
    again = create(admin)
    assert again.status == made.status, again
    events = admin.read_events(0, lambda events: len(events) > 1, topics="websites")
    assert [e["data"]["id"] for e in events] == [made.data["id"], again.data["id"]]
    stack.ctl("events", "prune", "--rows", "1000")


# ---- what somebody has locked ----

def answers_at_once(stack, admin, cached):
    """What wants nothing of a locked table, one after the other."""
    for path in ("/healthz", "/api/ws/health", "/metrics", cached, "/events?timeout=0"):
        assert admin.get(path, timeout=10 * SLOWER).status in (200, 503), path
    who = sio.Client(stack.url)
    assert who.connect({"token": admin.token})[0] == "0"
    who.close()


def blocked(db):
    with db.cursor() as c:
        c.execute("SELECT COUNT(*) FROM information_schema.processlist "
                  "WHERE info LIKE '%line_groups%' AND id <> CONNECTION_ID() AND time_ms > 200")
        return c.fetchone()[0]


@pytest.mark.parametrize("lock", ["SELECT * FROM line_groups FOR UPDATE",
                                  "FLUSH TABLES WITH READ LOCK", "LOCK TABLES line_groups WRITE"])
def test_a_lock_stops_only_who_wants_what_is_locked(own_stack, lock):
    stack = own_stack("fcgi.workers=1", "fcgi.event_workers=1")
    admin, cached = stack.admin(), "/api/v1/nodes?page_size=3"
    row = admin.post("/api/v1/line-groups/create", {"name": unique("lock")}).data
    for _ in range(8):
        assert admin.get(cached).status == 200
    with stack.connect() as db, stack.connect() as watch, db.cursor() as c:
        c.execute("BEGIN")
        c.execute(lock)
        done = []
        wanting = [lambda n=n: admin.clone().post("/api/v1/line-groups/update", {
            "id": row["id"], "description": f"d{n}"}, timeout=60 * SLOWER).status for n in range(6)]
        if lock.startswith("LOCK"):
            sockets = [sio.Client(stack.url) for _ in range(6)]
            for s in sockets:
                assert s.connect({"token": admin.token})[0] == "0"
            wanting += [lambda s=s: 200 * s.ask("line-groups", timeout=60)[1]["ok"] for s in sockets]
            wanting += [lambda n=n: admin.clone().get(
                f"/api/v1/line-groups?page_size={n + 1}", timeout=60 * SLOWER).status for n in range(6)]
        threads = [threading.Thread(target=lambda f=f: done.append(f()), daemon=True)
                   for f in wanting]
        for t in threads:
            t.start()
        # One of each process, of what there is one thread for.
        wait_until(lambda: blocked(watch) >= (6 if lock.startswith("LOCK") else 2), 20)
        answers_at_once(stack, admin, cached)
        if not lock.startswith("LOCK"):
            assert admin.get(f"/api/v1/line-groups/{row['id']}", timeout=10 * SLOWER).status == 200
        assert not done
        c.execute("UNLOCK TABLES")
        c.execute("ROLLBACK")
        for t in threads:
            t.join(60 * SLOWER)
        assert done and set(done) == {200} and len(done) == len(threads)
