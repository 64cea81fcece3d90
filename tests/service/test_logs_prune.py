"""cmdbctl logs prune and logs query, and what a flood of logs does to others."""
import json
import os

import pytest

from conftest import TEST_SETS, Stack, stack_home, wait_until
from test_logs_index import BLOCK, SUPER, fill, find, is_made, sql, state

FLOOD = 20_000  # the promise is about a million, which takes minutes: CMDB_TEST_FLOOD=1000000


def lines(stack):
    return tuple(n or 0 for n in sql(stack, "SELECT COUNT(*), MIN(id), MAX(id) FROM logs")[0])


def prune(stack, *args):
    return stack.ctl("logs", "prune", *args, "--json")


@pytest.fixture(scope="module")
def pruned():
    stack = Stack(stack_home(), TEST_SETS + ["logs.index_settle_s=1"])
    try:
        stack.up()
        yield stack
    finally:
        stack.discard()


def empty(stack):
    sql(stack, "TRUNCATE TABLE logs")


def test_what_is_old_goes(pruned):
    empty(pruned)
    fill(pruned, 6000)
    sql(pruned, "UPDATE logs SET received_at = NOW(3) - INTERVAL 40 DAY WHERE id <= 3333")
    assert prune(pruned, "--dry-run") == {"dry_run": True, "upto": 3333, "lines": 3333, "devices": 0}
    assert lines(pruned) == (6000, 1, 6000)
    assert prune(pruned) == {"dry_run": False, "upto": 3333, "lines": 3333, "devices": 0}
    assert lines(pruned) == (2667, 3334, 6000)
    assert prune(pruned)["lines"] == 0
    assert prune(pruned, "--older-than", 41)["lines"] == 0
    sql(pruned, "UPDATE logs SET received_at = NOW(3) - INTERVAL 5 DAY WHERE id <= 4000")
    assert prune(pruned, "--older-than", 4)["lines"] == 667
    assert prune(pruned, "--older-than", 0)["lines"] == 2000
    assert lines(pruned) == (0, 0, 0) and prune(pruned)["lines"] == 0


def test_devices_that_are_long_silent_go(pruned):
    empty(pruned)
    sql(pruned, "DELETE FROM devices")
    sql(pruned, "INSERT INTO devices (tenant_id, device_id, is_online, last_seen_at) VALUES "
        "(1, 'gone', 0, NOW(3) - INTERVAL 31 DAY), (1, 'away', 0, NOW(3) - INTERVAL 29 DAY), "
        "(1, 'logged', 0, NOW(3) - INTERVAL 31 DAY), (1, 'old', 0, NOW(3) - INTERVAL 99 DAY), "
        "(1, 'here', 1, NOW(3))")
    sql(pruned, "INSERT INTO logs (tenant_id, device_id, level, logged_at, message) VALUES "
        "(1, 'logged', 2, NOW(3), 'x'), (2, 'gone', 2, NOW(3), 'x')")
    assert prune(pruned, "--dry-run")["devices"] == 2
    assert prune(pruned)["devices"] == 2
    assert {d for d, in sql(pruned, "SELECT device_id FROM devices")} == {"away", "logged", "here"}
    assert prune(pruned, "--older-than", 28)["devices"] == 1


def test_more_than_are_kept_go(pruned):
    empty(pruned)
    fill(pruned, 10_000)
    wait_until(lambda: is_made(pruned), 30)
    kept = 3000
    report = prune(pruned, "--keep-rows", kept)
    n, oldest, newest = lines(pruned)
    assert newest == 10_000 and kept - BLOCK < n <= kept and report["lines"] == 10_000 - n, report
    blocks = sql(pruned, "SELECT MIN(block), COUNT(*) FROM log_blocks")[0]
    assert blocks[0] == oldest // BLOCK
    assert prune(pruned, "--keep-rows", kept)["lines"] == 0
    # Among what is not in the index each is counted.
    assert prune(pruned, "--keep-rows", 100)["lines"] == n - 100
    assert lines(pruned)[0] == 100
    assert prune(pruned, "--keep-rows", 0)["lines"] == 100


def test_the_index_goes_with_them_and_the_rest_is_found(pruned):
    empty(pruned)
    fill(pruned, SUPER + 3 * BLOCK)
    wait_until(lambda: is_made(pruned) and state(pruned)[2] == 1, 60)
    reader = pruned.key("logs:read")
    assert find(reader, keyword="line 7 ") == [7]
    prune(pruned, "--keep-rows", 2 * BLOCK)
    assert sql(pruned, "SELECT (SELECT COUNT(*) FROM log_supers) + (SELECT COUNT(*) FROM log_pages)") == ((0,),)
    n, oldest, newest = lines(pruned)
    assert find(reader, keyword="line") == list(range(newest, oldest - 1, -1)) and n <= 2 * BLOCK
    assert find(reader, keyword="line 7 ") == [] and find(reader, keyword=f"line {newest} ") == [newest]


def test_gaps_count_for_nothing(pruned):
    """What is kept is lines, not ids."""
    empty(pruned)
    with pruned.connect() as db, db.cursor() as c:
        c.execute("SET SESSION auto_increment_increment = 4")
        c.execute("INSERT INTO logs (tenant_id, device_id, level, logged_at, message) SELECT 1, 'd', 1, NOW(3), 'm' "
                  "FROM seq_1_to_3000")
    for _ in range(2):
        assert prune(pruned, "--keep-rows", 3000)["lines"] == 0
        wait_until(lambda: is_made(pruned), 30)
    assert 1000 - BLOCK // 4 <= lines_after(pruned, 1000) <= 1000


def lines_after(stack, keep):
    prune(stack, "--keep-rows", keep)
    return lines(stack)[0]


def test_somebody_locks_a_line(pruned):
    empty(pruned)
    fill(pruned, 100)
    with pruned.connect(autocommit=False) as db, db.cursor() as c:
        c.execute("SELECT id FROM logs WHERE id = 100 FOR UPDATE")
        assert prune(pruned, "--keep-rows", 50)["lines"] == 50


# ---- logs query ----

def query(stack, *args, **more):
    return stack.ctl("logs", "query", *args, **more)


def test_query_shows_what_the_web_server_finds(stack):
    tenant = stack.tenant()
    key = stack.key("logs:ingest", "logs:read", tenant=tenant)
    token = ["--token", stack.user(tenant).token]
    ids = key.post("/api/logs", [{"deviceId": f"q-{n % 3}", "level": "WARN" if n % 2 else "INFO", "message": f"Ärger {n}",
                                  "tags": ["t"] if n % 5 == 0 else [], "timestamp": 1_700_000_000_000 + n}
                                 for n in range(700)]).data["ids"]

    def ids_of(*args):
        return [json.loads(line)["id"] for line in query(stack, "--json", *token, *args, check=False).stdout.splitlines()]

    assert ids_of() == ids[:-101:-1]
    assert ids_of("--all") == ids[::-1] and ids_of("--all", "--oldest-first") == ids
    assert ids_of("-n", 600) == ids[:-601:-1]
    assert ids_of("--all", "--device", "q-0", "--device", "q-1", "--level", "warn", "--tag", "t", "--oldest-first") == [
        ids[n] for n in range(700) if n % 3 < 2 and n % 2 and n % 5 == 0]
    assert ids_of("--keyword", "äRGER 69") == [ids[n] for n in range(699, -1, -1) if f"{n}".startswith("69")]
    assert ids_of("--from", "2023-11-14T22:13:20.698Z") == ids[:-3:-1]
    assert ids_of("--to", "2023-11-14T22:13:20.001Z", "--oldest-first") == ids[:2]
    assert ids_of("--before", ids[5], "--after", ids[2]) == [ids[4], ids[3]]
    text = query(stack, *token, "-n", 1).stdout
    assert "Ärger 699" in text and "q-0" in text and "\x1b" not in text
    wrong = query(stack, *token, "--level", "loud", check=False)
    assert wrong.returncode == 2 and "level" in wrong.stderr


# ---- a flood ----

def test_a_flood_of_logs_expires_no_cursor_of_others(own_stack):
    """By default smaller, with a retention that is smaller in proportion."""
    flood = int(os.environ.get("CMDB_TEST_FLOOD", FLOOD))
    kept = max(1000, flood // 20)
    stack = own_stack(f"events.brief_retention_rows={kept}", f"events.retention_rows={kept}")
    admin, key = stack.admin(), stack.key("logs:ingest")
    cursor = admin.tail()
    made = admin.post("/api/v1/line-groups/create", {"name": "before the flood"})
    assert made.status == 201, made
    for n in range(flood // 1000):
        batch = [{"deviceId": f"d-{i % 10}", "level": "INFO", "message": f"{n} {i}"} for i in range(1000)]
        # Small arrays make many events, as many small senders do.
        for at in range(0, 1000, 10):
            assert key.post("/api/logs", batch[at:at + 10]).status == 201
        if n % 10 == 9:
            tail = admin.tail()
            wait_until(lambda: stack.has_noted(tail), 30)
            stack.ctl("events", "prune")
    tail = admin.tail()
    wait_until(lambda: stack.has_noted(tail), 30)
    stack.ctl("events", "prune")
    got = admin.poll(cursor, timeout=0, topics="line-groups")
    assert "reset" not in got and [e["data"]["name"] for e in got["events"]] == ["before the flood"]
    assert admin.poll(cursor, timeout=0, topics="logs")["reset"]["reason"] == "expired"
