"""The index of logs: what is found by it, by half of it and without it is the same; no line is hidden by it, however
late its transaction ends."""
import time
import urllib.parse

import pytest

from conftest import TEST_SETS, Stack, stack_home, wait_until

BLOCK, SUPER = 512, 512 * 512
ROWS = SUPER + 9 * BLOCK + 100
TABLES = ["log_blocks", "log_pages", "log_supers", "log_index"]


def sql(stack, *statements):
    """Runs them; the rows of the last one."""
    with stack.connect() as db, db.cursor() as c:
        for s in statements:
            c.execute(s)
        return c.fetchall()


def fill(stack, n, tenant=1, text="'line ', seq, ' of device ', seq % 97"):
    sql(stack, "INSERT INTO logs (tenant_id, device_id, level, logged_at, message, tags) SELECT %d, "
        "CONCAT('dev-', seq %% 97), 1 + seq %% 5, '2026-01-01' + INTERVAL seq SECOND, CONCAT(%s), "
        "IF(seq %% 1000, NULL, '[\"milestone\"]') FROM seq_1_to_%d" % (tenant, text, n))


def state(stack):
    return sql(stack, "SELECT version, next_block, next_super, (SELECT COALESCE(SUM(is_open), 0) FROM log_blocks) "
               "FROM log_index")[0]


def is_made(stack, newest=None):
    newest = newest or sql(stack, "SELECT MAX(id) FROM logs")[0][0]
    version, block, super, is_open = state(stack)
    return version and block == (newest + 1) // BLOCK and not is_open


def find(reader, **params):
    got, cursor = [], {}
    while True:
        reply = reader.get("/api/logs?" + urllib.parse.urlencode({**params, "limit": 500, **cursor}, doseq=True), timeout=60)
        assert reply.status == 200, reply
        got += [e["id"] for e in reply.data["items"]]
        if not reply.data["more"]:
            return got
        cursor = {"after" if params.get("order") == "asc" else "before": reply.data["next"]}


@pytest.fixture(scope="module")
def made():
    """A stack with more lines than a superblock has, all of them in the index, and a reader of it."""
    stack = Stack(stack_home(), TEST_SETS + ["logs.index_settle_s=1"])
    try:
        stack.up()
        fill(stack, ROWS)
        wait_until(lambda: is_made(stack) and state(stack)[2] == 1, 60, "the index is made")
        yield stack, stack.key("logs:read")
    finally:
        stack.discard()


def numbers(*texts):
    return [n for n in range(1, ROWS + 1) if any(t in f"line {n} of device {n % 97}" for t in texts)]


QUESTIONS = [
    ({"keyword": "LINE 77777 "}, [77777]),
    ({"keyword": "12345"}, numbers("12345")),
    ({"keyword": ["line 1 ", "line 266000 "]}, numbers("line 1 ", "line 266000 ")),
    ({"keyword": "no such line"}, []),
    ({"keyword": "9999", "device": "dev-13"}, [n for n in numbers("9999") if n % 97 == 13]),
    ({"tag": "milestone"}, [n for n in range(1000, ROWS + 1, 1000)]),
    ({"tag": "milestone", "level": "DEBUG", "device": "dev-3"},
     [n for n in range(1000, ROWS + 1, 1000) if n % 5 == 0 and n % 97 == 3]),
    ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-02T00:00:09Z"}, list(range(86400, 86410))),
    ({"from": "2026-01-04T02:00:00Z", "keyword": "5 of device 44"},
     [n for n in numbers("5 of device 44") if n >= 3 * 86400 + 7200]),
    ({"device": ",".join(f"dev-{n}" for n in range(20)), "keyword": "1111"},
     [n for n in numbers("1111") if n % 97 < 20]),
    ({"tag": "no-such-tag"}, []),
]


def all_right(reader):
    for question, expected in QUESTIONS:
        assert find(reader, order="asc", **question) == expected, question
        assert find(reader, **question) == expected[::-1], question


def test_all_is_found_by_it(made):
    all_right(made[1])


def test_it_is_asked(made):
    """Where it says that nothing is there, nobody looks."""
    stack, reader = made
    sql(stack, "CREATE TABLE kept LIKE log_pages", "INSERT INTO kept SELECT * FROM log_pages",
        "UPDATE log_pages SET bits = REPEAT(CHAR(0), 4096)")
    try:
        assert find(reader, keyword="LINE 77777 ") == []
        assert find(reader, keyword="line 266000 ") == [266000], "it is not in a superblock that is turned"
    finally:
        sql(stack, "REPLACE INTO log_pages SELECT * FROM kept", "DROP TABLE kept")
    assert find(reader, keyword="LINE 77777 ") == [77777]


def test_a_stranger_is_told_nothing_and_at_once(made):
    stack, _ = made
    tenant = stack.tenant()
    other, key = stack.key("logs:read", tenant=tenant), stack.key("logs:ingest", tenant=tenant)
    assert find(other) == [] and find(other, keyword="line") == []
    [mine] = key.post("/api/logs", {"deviceId": "dev-1", "level": "INFO", "message": "line of mine"}).data["ids"]
    for question in ({}, {"keyword": "LINE"}, {"device": "dev-1"}, {"level": "info"}):
        assert find(other, **question) == [mine]
    sql(stack, f"DELETE FROM logs WHERE id = {mine}")


def test_without_a_part_of_it_all_is_found_all_the_same(made):
    stack, reader = made
    sql(stack, *[f"CREATE TABLE kept_{t} AS SELECT * FROM {t}" for t in TABLES])
    try:
        for broken in ("DELETE FROM log_pages WHERE page % 3", "DELETE FROM log_supers", "DELETE FROM log_blocks",
                       "UPDATE log_index SET version = version + 1", "DELETE FROM log_index"):
            sql(stack, "UPDATE ws_chores SET ran_at = '2100-01-01' WHERE name = 'log_index'", broken)
            for question, expected in QUESTIONS[:1] + QUESTIONS[5:8]:
                assert find(reader, order="asc", **question) == expected, (broken, question)
    finally:
        for t in TABLES:
            sql(stack, f"DELETE FROM {t}", f"INSERT INTO {t} SELECT * FROM kept_{t}", f"DROP TABLE kept_{t}")
        sql(stack, "UPDATE ws_chores SET ran_at = '2000-01-01' WHERE name = 'log_index'")
    all_right(reader)


def test_one_of_another_version_is_made_anew(made):
    """Runs last of those with this stack: what it stands on is made again."""
    stack, reader = made
    sql(stack, "UPDATE log_index SET version = 77")
    wait_until(lambda: state(stack)[0] not in (0, 77) and is_made(stack) and state(stack)[2] == 1, 60, "made anew")
    all_right(reader)


# ---- late lines ----

def test_a_line_whose_transaction_ends_late_is_found(own_stack):
    """Its id is far below the newest when it is committed, its block marked as open until then; and a rolled-back
    one holds up nothing."""
    stack = own_stack("logs.index_settle_s=1")
    reader = stack.key("logs:read")
    fill(stack, 300)
    with stack.connect(autocommit=False) as late, late.cursor() as c, stack.connect(autocommit=False) as never, \
            never.cursor() as n:
        insert = "INSERT INTO logs (tenant_id, device_id, level, logged_at, message) VALUES (1, 'd', 1, NOW(3), 'so %s')"
        c.execute(insert % "late")
        id = c.lastrowid
        n.execute(insert % "never")
        fill(stack, 3 * BLOCK)
        wait_until(lambda: state(stack)[1] == sql(stack, "SELECT MAX(id) FROM logs")[0][0] // BLOCK
                   and sql(stack, f"SELECT is_open FROM log_blocks WHERE block = {id // BLOCK}") == ((1,),), 20)
        # Longer than what is missing is waited for: it is not missing, but locked.
        seen = time.monotonic()
        wait_until(lambda: time.monotonic() > seen + 3, 10)
        assert sql(stack, f"SELECT is_open FROM log_blocks WHERE block = {id // BLOCK}") == ((1,),)
        assert find(reader, keyword="so late") == []
        late.commit()
        assert find(reader, keyword="SO LATE") == [id]
        never.rollback()
    wait_until(lambda: state(stack)[3] == 0, 20, "the block is closed")
    assert find(reader, keyword="SO LATE") == [id] and find(reader, keyword="so never") == []


def test_gaps_are_looked_at_until_they_are_old(own_stack):
    """Whoever is late is given his id by the server; here a gap is filled by hand in the place of one."""
    stack = own_stack("logs.index_settle_s=3600")
    reader = stack.key("logs:read")
    fill(stack, 3 * BLOCK)
    sql(stack, "DELETE FROM logs WHERE id = 700")
    wait_until(lambda: state(stack)[1] == 3, 20)
    assert state(stack)[3] == 2, "block 0, which has no id 0, and that of the gap"
    sql(stack, "INSERT INTO logs (id, tenant_id, device_id, level, logged_at, message) VALUES "
        "(700, 1, 'd', 1, NOW(3), 'filled in')")
    assert find(reader, keyword="filled in") == [700]
    wait_until(lambda: state(stack)[3] == 1, 20, "it is full now")
    assert find(reader, keyword="filled in") == [700]


def test_ids_may_jump_and_begin_anew(own_stack):
    stack = own_stack("logs.index_settle_s=1")
    reader = stack.key("logs:read")
    fill(stack, 2 * BLOCK)
    far = 10 ** 15
    sql(stack, f"ALTER TABLE logs AUTO_INCREMENT = {far}")
    fill(stack, 2 * BLOCK)
    wait_until(lambda: is_made(stack), 15, "what lies between is passed over")
    assert len(find(reader, keyword="line 1000 ")) == 2 and find(reader, keyword="nothing") == []
    sql(stack, "TRUNCATE TABLE logs")
    fill(stack, 2 * BLOCK, text="'other ', seq")
    assert find(reader, keyword="other 77") and len(find(reader, keyword="other 1000")) == 1
    wait_until(lambda: is_made(stack), 40, "it is made anew")
    assert len(find(reader, keyword="other 1000")) == 1 and find(reader, keyword="line") == []


def test_it_can_be_off(own_stack):
    stack = own_stack("logs.index=off")
    fill(stack, 2 * BLOCK)
    assert find(stack.key("logs:read"), keyword="line 1000 ") == [1000]
    assert state(stack)[1] == 0
