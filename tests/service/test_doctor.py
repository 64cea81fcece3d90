"""cmdbctl doctor finds each fault by the fault itself, and names a cure; nothing else is wrong then."""
import http.client
import http.server
import json
import os
import threading
import urllib.parse

import pytest

from conftest import wait_until

FCGI, POLLER = "cmdb_fcgi@localhost", "cmdb_poller@localhost"


@pytest.fixture(scope="module")
def ill():
    """A stack whose faults are mended after each test."""
    from conftest import TEST_SETS, Stack, stack_home
    s = Stack(stack_home(), TEST_SETS)
    try:
        s.up()
        yield s
    finally:
        s.discard()


def verdicts(stack, *args):
    done = stack.ctl("doctor", "--json", *args, check=False)
    found = {f["check"]: f for f in json.loads(done.stdout)}
    assert done.returncode == (1 if any(f["verdict"] == "fail" for f in found.values()) else 0)
    return found


def found_bad(stack, *args):
    # The disk is the machine's own affair.
    return {name: f for name, f in verdicts(stack, *args).items()
            if f["verdict"] in ("warn", "fail") and name != "disk"}


def run(stack, *statements):
    with stack.connect() as db, db.cursor() as c:
        for sql in statements:
            c.execute(sql)


def test_a_healthy_stack(ill):
    assert found_bad(ill) == {}


@pytest.mark.parametrize("name, bad, good, check, verdict, says", [
    ("read_only", 1, 0, "writes", "fail", "read-only"),
    ("binlog_format", "'STATEMENT'", "'ROW'", "writes", "fail", "STATEMENT"),
    ("tx_read_only", 1, 0, "writes", "warn", "tx_read_only"),
    ("binlog_row_image", "'MINIMAL'", "'FULL'", "binlog_row_image", "warn", "MINIMAL"),
    ("innodb_flush_log_at_trx_commit", 0, 1, "durability", "fail", "is 0"),
    ("innodb_flush_log_at_trx_commit", 2, 1, "durability", "warn", "is 2"),
    ("sync_binlog", 0, 1, "durability", "warn", "sync_binlog is 0"),
    ("max_allowed_packet", 1048576, 33554432, "packet size", "fail", "1048576"),
    ("sql_mode", "''", "DEFAULT", "sql_mode", "warn", "not strict"),
    ("max_prepared_stmt_count", 1000, 16382, "prepared statements", "warn", "may want"),
    ("max_prepared_stmt_count", 0, 16382, "prepared statements", "fail", "1461"),
    ("max_connections", 20, 200, "connections", "warn", "max_connections is 20"),
    ("wait_timeout", 5, 28800, "wait_timeout", "warn", "5 s"),
    ("auto_increment_increment", 3, 1, "event ids", "warn", "steps of 3"),
])
def test_a_setting_of_the_server(ill, name, bad, good, check, verdict, says):
    run(ill, f"SET GLOBAL {name} = {bad}")
    try:
        f = verdicts(ill)[check]
        assert f["verdict"] == verdict and says in f["text"] and f["cure"], f
    finally:
        run(ill, f"SET GLOBAL {name} = {good}")


def test_writes_that_fail_show_in_the_check_of_cmdb_fcgi(ill):
    run(ill, "SET GLOBAL read_only = 1")
    try:
        f = wait_until(lambda: (lambda v: v["verdict"] == "fail" and v)(
            verdicts(ill)["cmdb-fcgi"]), 20)
        assert "writes" in f["text"] and "log of" in f["cure"]
    finally:
        run(ill, "SET GLOBAL read_only = 0")
    wait_until(lambda: verdicts(ill)["cmdb-fcgi"]["verdict"] == "ok", 20)


@pytest.mark.parametrize("bad, good, check, verdict, says", [
    (f"REVOKE UPDATE ON cmdb.* FROM {FCGI}", f"GRANT UPDATE ON cmdb.* TO {FCGI}",
     "rights of cmdb-fcgi", "fail", "lacks UPDATE on the database"),
    (f"GRANT ALL ON *.* TO {FCGI}", f"REVOKE ALL ON *.* FROM {FCGI}",
     "rights of cmdb-fcgi", "warn", "more"),
    (f"GRANT DROP ON cmdb.* TO {FCGI}", f"REVOKE DROP ON cmdb.* FROM {FCGI}",
     "rights of cmdb-fcgi", "warn", "DROP on the database"),
    (f"GRANT SELECT ON cmdb.* TO {FCGI} WITH GRANT OPTION",
     f"REVOKE GRANT OPTION ON cmdb.* FROM {FCGI}",
     "rights of cmdb-fcgi", "warn", "give its rights to others"),
    (f"REVOKE SELECT ON cmdb.roles FROM {POLLER}", f"GRANT SELECT ON cmdb.roles TO {POLLER}",
     "rights of cmdb-poller", "fail", "lacks SELECT on roles"),
    (f"REVOKE SELECT (status) ON cmdb.users FROM {POLLER}",
     f"GRANT SELECT (status) ON cmdb.users TO {POLLER}",
     "rights of cmdb-poller", "fail", "lacks SELECT (status) on users"),
    (f"GRANT SELECT ON cmdb.users TO {POLLER}", f"REVOKE SELECT ON cmdb.users FROM {POLLER};"
     f"GRANT SELECT (id, tenant_id, username, display_name, status) ON cmdb.users TO {POLLER}",
     "rights of cmdb-poller", "warn", "SELECT on users"),
    (f"REVOKE BINLOG MONITOR ON *.* FROM {POLLER}", f"GRANT BINLOG MONITOR ON *.* TO {POLLER}",
     "binlog rights", "warn", "BINLOG MONITOR"),
])
def test_rights_too_few_or_too_many(ill, bad, good, check, verdict, says):
    run(ill, bad)
    try:
        f = verdicts(ill)[check]
        assert f["verdict"] == verdict and says in f["text"] and f["cure"], f
    finally:
        run(ill, *good.split(";"))
    assert verdicts(ill)[check]["verdict"] == "ok"


def test_rights_of_an_account_that_only_its_user_may_log_in_as(ill):
    """They are seen with the rights of whoever runs doctor."""
    run(ill, f"REVOKE DELETE ON cmdb.* FROM {FCGI}")
    try:
        f = verdicts(ill, "--set", "fcgi.db_password=")["rights of cmdb-fcgi"]
        assert f["verdict"] == "fail" and "DELETE" in f["text"], f
    finally:
        run(ill, f"GRANT DELETE ON cmdb.* TO {FCGI}")


def test_a_poller_without_the_binlog(own_stack):
    """poller.binlog = off: the account goes without the right, all works by doorbell and timer."""
    stack = own_stack()
    off = ("--set", "poller.binlog=off")
    f = verdicts(stack, *off)["rights of cmdb-poller"]
    assert f["verdict"] == "warn" and "on the server" in f["text"], f
    stack.ctl("migrate", "--grants", *off)
    with stack.connect() as db, db.cursor() as c:
        c.execute(f"SHOW GRANTS FOR {POLLER}")
        assert not [g for g, in c.fetchall() if "REPLICATION" in g or "BINLOG" in g]
    config = open(stack.env["CMDB_CONFIG"], encoding="utf-8").read()
    with open(stack.env["CMDB_CONFIG"], "w", encoding="utf-8") as out:
        out.write(config.replace("[poller]", "[poller]\nbinlog = off"))
    stack.kill("poller")
    wait_until(stack.status, 20)
    wait_until(lambda: found_bad(stack) == {}, 20)
    admin = stack.admin()
    since = admin.tail()
    made = stack.ctl("events", "publish", "alerts", "add", "{}", "--json")["id"]
    assert [e["id"] for e in admin.read_events(since, lambda e: e)] == [made]
    # And back: with binlog = on the right is given again.
    stack.ctl("migrate", "--grants", "--set", "poller.binlog=on")
    assert verdicts(stack, "--set", "poller.binlog=on")["binlog rights"]["verdict"] == "ok"


def test_a_column_or_index_that_is_gone(own_stack):
    stack = own_stack()
    run(stack, "ALTER TABLE users DROP COLUMN display_name",
        "ALTER TABLE ws_events DROP KEY ix_ws_events_tenant",
        "ALTER TABLE audit_log MODIFY target VARCHAR(7) NULL")
    f = verdicts(stack)["schema"]
    assert f["verdict"] == "fail" and "3 columns or indexes" in f["text"], f
    assert "users column display_name" in f["text"] and "index ix_ws_events_tenant" in f["text"]


def test_an_event_id_at_the_end_of_all_ids(own_stack):
    """One such row by SQL: it is delivered, again and again no new log begins, what is written after
    it is refused as what has no room, and doctor says how to get ids back."""
    stack = own_stack()
    admin, last = stack.admin(), 2**64 - 1
    epoch = admin.poll(0, timeout=0)["epoch"]
    run(stack, f"INSERT INTO ws_events (id, topic, event_type, payload) VALUES ({last}, 'alerts', 'add', '{{}}')")

    def look(key):
        return admin.poll(last - 1, timeout=1, epoch=epoch).get(key)

    site = {"domains": ["x.example.com"], "origin_mode": "redirect", "redirect_url": "https://example.org/"}
    for _ in range(2):  # from the ring, and after a new start
        wait_until(lambda: look("events"), 20)
        stack.kill("poller")
    wait_until(lambda: look("events"), 20)
    reply = admin.post("/api/v1/websites/create", site)
    assert reply.status == 503, reply
    f = verdicts(stack)["event ids"]
    assert f["verdict"] == "fail" and str(last) in f["text"], f
    run(stack, f"DELETE FROM ws_events WHERE id = {last}", "ALTER TABLE ws_events AUTO_INCREMENT = 1")
    wait_until(lambda: look("reset"), 20)
    assert admin.post("/api/v1/websites/create", site).status == 201
    wait_until(lambda: found_bad(stack) == {}, 20)


@pytest.mark.parametrize("suffix, mode", [(".page", 0o400), (".page", 0o600), ("", 0o600)])
def test_files_of_the_poller_that_cannot_be_written(ill, suffix, mode):
    path = ill.env["CMDB_POLLER_SOCKET"] + suffix
    before = os.stat(path).st_mode & 0o777
    os.chmod(path, mode)
    try:
        f = verdicts(ill)["runtime directory"]
        assert f["verdict"] == "fail" and f"mode {mode:04o}" in f["text"] and f["cure"], f
    finally:
        os.chmod(path, before)


class Proxy:
    """A web server before the web server, which strips a header or waits for the end of answers."""

    def __init__(self, stack, strips="", buffers=False):
        upstream, gone = urllib.parse.urlsplit(stack.url), threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if buffers and self.path.startswith("/events"):
                    gone.wait(60)
                    return
                c = http.client.HTTPConnection(upstream.hostname, upstream.port)
                c.request("GET", self.path, headers={k: v for k, v in self.headers.items()
                                                     if k.lower() != strips})
                r = c.getresponse()
                body = r.read()
                self.send_response(r.status)
                self.send_header("Content-Type", r.headers["Content-Type"])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                c.close()

            def log_message(self, *args):
                pass

        self.gone, self.server = gone, http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"cli.url=http://127.0.0.1:{self.server.server_address[1]}"

    def __exit__(self, *args):
        self.gone.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.parametrize("how, check", [
    ({"strips": "authorization"}, "Authorization header"),
    ({"buffers": True}, "event stream"),
])
def test_what_is_lost_on_the_way(ill, how, check):
    with Proxy(ill, **how) as url:
        f = verdicts(ill, "--set", url)[check]
    assert f["verdict"] == "fail" and "nginx" in f["cure"], f


def test_a_key_that_is_there_is_not_to_be_written_over(ill, tmp_path):
    key = tmp_path / "jwt.key"
    f = verdicts(ill, "--set", f"auth.key_file={key}")["token key"]
    assert f["verdict"] == "fail" and "openssl rand" in f["cure"], f
    key.write_text("short")
    key.chmod(0o600)
    f = verdicts(ill, "--set", f"auth.key_file={key}")["token key"]
    assert f["verdict"] == "fail" and "openssl" not in f["cure"], f


def test_another_key_than_the_servers(ill, tmp_path):
    key = tmp_path / "jwt.key"
    key.write_text("k" * 64)
    key.chmod(0o600)
    f = verdicts(ill, "--set", f"auth.key_file={key}")["Authorization header"]
    assert f["verdict"] == "fail" and "key_file" in f["cure"], f
