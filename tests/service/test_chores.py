"""What the poller does in the database by itself: what is over goes, also where no cron removes it,
and of several pollers one does it."""
import os
import re
import signal

from conftest import wait_until

KINDS = {
    "revoked_tokens": "INSERT INTO revoked_tokens (jti, expires_at) SELECT CONCAT('old', seq), "
                      "NOW(3) - INTERVAL 1 DAY FROM seq_1_to_%d",
    "idempotency_keys": "INSERT INTO idempotency_keys (tenant_id, subject, idem_key, request_hash, "
                        "created_at) SELECT 1, 'u:1', CONCAT('old', seq), REPEAT('x', 32), "
                        "NOW(3) - INTERVAL 9 DAY FROM seq_1_to_%d",
    "auth_failures": "INSERT INTO auth_failures (kind, subject, failures, window_ends) SELECT "
                     "'account', CONCAT('old', seq), 1, NOW(3) - INTERVAL 1 DAY FROM seq_1_to_%d",
}


def fill(stack, n):
    with stack.connect() as db, db.cursor() as c:
        for sql in KINDS.values():
            c.execute(sql % n)


def count(stack, table):
    with stack.connect() as db, db.cursor() as c:
        c.execute(f"SELECT COUNT(*) FROM {table}")
        return c.fetchone()[0]


def figures(stack):
    return (stack.status() or {}).get("chores", {})


def test_what_is_over_goes_without_cron(own_stack):
    stack = own_stack("poller.expire_s=1")
    made = stack.admin().post("/api/v1/line-groups/create", {"name": "kept"},
                              headers={"Idempotency-Key": "young"})
    assert made.status == 201, made
    fill(stack, 1200)
    wait_until(lambda: not count(stack, "revoked_tokens") and not count(stack, "auth_failures")
               and count(stack, "idempotency_keys") == 1, 20, "it is gone, and what is young stays")
    assert figures(stack)["rows_removed"] >= 3600 and figures(stack)["failed"] == 0
    metrics = stack.admin().get("/metrics").body.decode()
    assert re.search(r"^cmdb_poller_expired_rows_total (\d+)$", metrics, re.M), metrics


def test_one_of_several_does_it(own_stack):
    """A row of ws_chores that another host has just moved on is not ours for that time."""
    stack = own_stack("poller.expire_s=600")

    def ran():
        with stack.connect() as db, db.cursor() as c:
            c.execute("SELECT ran_at > NOW(3) - INTERVAL 500 SECOND, node_id FROM ws_chores WHERE name = 'expired'")
            return c.fetchone()

    wait_until(lambda: ran() == (1, 1), 20, "done once at the start")
    fill(stack, 1)
    stack.kill("poller", signal.SIGTERM)
    with stack.connect() as db, db.cursor() as c:
        c.execute("UPDATE ws_chores SET ran_at = NOW(3), node_id = 999 WHERE name = 'expired'")
    # By the time that another chore was done, this one has been looked at.
    wait_until(lambda: figures(stack).get("done"), 20)
    assert figures(stack)["rows_removed"] == 0 and ran() == (1, 999)
    with stack.connect() as db, db.cursor() as c:
        c.execute("UPDATE ws_chores SET ran_at = NOW(3) - INTERVAL 700 SECOND")
    stack.kill("poller", signal.SIGTERM)
    wait_until(lambda: not count(stack, "revoked_tokens"), 20, "its time had come")


def test_without_the_right_it_says_so_and_goes_on(own_stack):
    stack = own_stack("poller.expire_s=1")
    user = stack.env.get("CMDB_POLLER_DB_USER")
    with stack.connect() as db, db.cursor() as c:
        if not user:
            c.execute("SELECT DISTINCT user, host FROM mysql.tables_priv WHERE Table_name = "
                      "'ws_pollers'")
            user, host = c.fetchone()
        c.execute(f"REVOKE DELETE ON {stack.env['CMDB_DB_NAME']}.revoked_tokens "
                  f"FROM '{user}'@'{host}'")
    fill(stack, 3)
    wait_until(lambda: "DELETE command denied" in stack.log("poller"), 20, "it says so")
    wait_until(lambda: not count(stack, "auth_failures"), 20, "the others are gone")
    assert count(stack, "revoked_tokens") == 3
    assert "revoked_tokens" in stack.ctl("doctor", check=False).stdout
    assert stack.status()["ready"]


def test_it_ends_while_a_table_is_locked(own_stack):
    stack = own_stack("poller.expire_s=1")
    with stack.connect() as db, db.cursor() as c:
        c.execute("LOCK TABLES revoked_tokens WRITE, idempotency_keys WRITE, auth_failures WRITE, "
                  "refresh_tokens WRITE")
        pid = stack.status()["pid"]
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: (stack.status() or {}).get("pid", pid) != pid, 20)
        c.execute("UNLOCK TABLES")
