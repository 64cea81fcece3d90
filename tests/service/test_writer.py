"""Events are followed through the server that they are written through: a replica, or a Galera node,
is noticed, and [events] leads to the writer."""
import getpass
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import pymysql
import pytest

from conftest import SLOWER, free_port, wait_until

INSERT = "INSERT INTO ws_events (topic, event_type, payload) VALUES ('websites', 'update', %s)"
GALERA = pathlib.Path("/usr/lib/galera/libgalera_smm.so")


def set_keys(stack, section, **keys):
    """Sets keys of the stack's configuration, and starts the poller with it."""
    path = stack.dir / "cmdb.conf"
    text = re.sub(rf"(?ms)^\[{section}\]\n.*?(?=^\[|\Z)", "", path.read_text())
    path.write_text(text.rstrip() + f"\n\n[{section}]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items()))
    stack.kill("poller", signal.SIGTERM)
    wait_until(lambda: (stack.status() or {}).get("ready"), 30, "the poller")


def restart_mariadb(stack, *lines, without=()):
    """With other lines in its my.cnf, which deploy/up writes only when it starts the server."""
    path = stack.dir / "my.cnf"
    kept = [line for line in path.read_text().split("\n") if line not in without]
    path.write_text("\n".join([*kept, *lines, ""]))
    stack.kill("mariadb", signal.SIGTERM)
    wait_until(lambda: is_up(stack), 60, "MariaDB")


def is_up(stack):
    try:
        stack.connect().close()
        return True
    except pymysql.err.OperationalError:
        return False


class Replica:
    """A server of its own that follows the stack's over TCP on the loopback."""

    def __init__(self, stack, port):
        self.home = pathlib.Path(stack.dir) / "db/replica"
        self.socket = str(pathlib.Path(stack.env["CMDB_DB_SOCKET"]).with_name("replica.sock"))
        self.home.mkdir()
        user = getpass.getuser()
        env = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin", "TMPDIR": str(self.home)}
        subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={self.home}/data", f"--user={user}",
                        "--auth-root-authentication-method=socket", f"--auth-root-socket-user={user}",
                        "--skip-test-db"], check=True, env=env, capture_output=True)
        self.log = open(stack.dir / "log/replica.log", "wb")
        self.process = subprocess.Popen(
            ["mariadbd", "--no-defaults", f"--datadir={self.home}/data", f"--socket={self.socket}",
             f"--user={user}", "--skip-networking", "--server-id=2", f"--log-bin={self.home}/data/binlog",
             "--log-slave-updates", "--binlog-format=ROW", "--read-only=1",
             "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M", f"--pid-file={self.home}/pid"],
            env=env, stdout=self.log, stderr=self.log)
        wait_until(lambda: os.path.exists(self.socket) and self.run("SELECT 1").returncode == 0, 60, "a replica")
        dump = subprocess.run(["mariadb-dump", "--socket", stack.env["CMDB_DB_SOCKET"], "--all-databases", "--gtid",
                               "--master-data=1", "--single-transaction"], check=True, capture_output=True).stdout
        assert self.run(dump).returncode == 0
        assert self.run(f"FLUSH PRIVILEGES; CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, "
                        "MASTER_USER='repl', MASTER_PASSWORD='repl', MASTER_USE_GTID=slave_pos; "
                        "START SLAVE").returncode == 0
        wait_until(lambda: b"Slave_SQL_Running_State: Slave has read all" in
                   self.run("SHOW SLAVE STATUS\\G").stdout, 30, "replication")

    def run(self, sql):
        return subprocess.run(["mariadb", "--socket", self.socket], capture_output=True,
                              input=sql if isinstance(sql, bytes) else sql.encode())

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


@pytest.fixture
def with_replica(own_stack):
    stack, port = own_stack(), free_port()
    restart_mariadb(stack, f"port = {port}", "bind-address = 127.0.0.1", without=["skip-networking"])
    with stack.connect() as db, db.cursor() as c:
        c.execute("CREATE USER repl@'127.0.0.1' IDENTIFIED BY 'repl'")
        c.execute("GRANT REPLICATION SLAVE ON *.* TO repl@'127.0.0.1'")
    replica = Replica(stack, port)
    try:
        yield stack, replica
    finally:
        replica.stop()


def slow_writers(stack, n):
    """n transactions that hold their ids while as many others commit: the ids of all."""
    ids, lock = [], threading.Lock()

    def write(holds):
        with stack.connect(autocommit=False) as db, db.cursor() as c:
            c.execute(INSERT, ('{"n":1}',))
            time.sleep(0.5 if holds else 0)
            db.commit()
            with lock:
                ids.append(c.lastrowid)
    threads = [threading.Thread(target=write, args=(i % 2 == 0,)) for i in range(2 * n)]
    for t in threads:
        t.start()
        time.sleep(0.02)
    for t in threads:
        t.join(30 * SLOWER)
    return sorted(ids)


def finding(stack, name):
    done = stack.ctl("doctor", "--json", check=False)
    return next(c for c in re.findall(r"\{[^{}]*\}", done.stdout) if f'"{name}"' in c), done.returncode


def test_a_replica_is_noticed_and_the_writer_followed(with_replica):
    stack, replica = with_replica
    set_keys(stack, "events", db_socket=replica.socket)
    writer = stack.status()["writer"]
    assert writer["is_writer"] is False and "replica" in writer["reason"], writer
    found, code = finding(stack, "event writer")
    assert "fail" in found and "[events]" in found and code != 0, found
    assert "events can be lost here" in stack.log("poller")

    set_keys(stack, "events", db_socket=stack.env["CMDB_DB_SOCKET"])
    assert stack.status()["writer"]["is_writer"] is True
    assert "ok" in finding(stack, "event writer")[0]
    wait_until(lambda: stack.status()["active_source"] == "binlog", 15)
    admin = stack.admin()
    since = admin.tail()
    ids = slow_writers(stack, 10)
    got = admin.read_events(since, lambda events: len(events) >= len(ids), timeout=20)
    assert [e["id"] for e in got] == ids


def test_a_writer_that_is_demoted_is_left(with_replica):
    """After a failover the address leads to the new writer; a connection to the old one is given up."""
    stack, _ = with_replica
    set_keys(stack, "events", db_socket=stack.env["CMDB_DB_SOCKET"])
    assert stack.status()["writer"]["is_writer"] is True
    with stack.connect() as db, db.cursor() as c:
        c.execute("SET GLOBAL read_only = 1")
        writer = wait_until(lambda: (w := stack.status()["writer"])["is_writer"] is False and w, 15)
        assert "read-only" in writer["reason"]
        c.execute("SET GLOBAL read_only = 0")
    wait_until(lambda: stack.status()["writer"]["is_writer"], 15)
    wait_until(lambda: stack.status()["database"]["state"] == "up", 15)


@pytest.mark.skipif(not GALERA.exists(), reason="galera-4 is not installed here")
def test_a_galera_node_is_noticed(own_stack):
    """A node does not show whether events are written through it: [events] has to say so."""
    stack = own_stack()
    port = free_port()
    restart_mariadb(stack, "wsrep-on = ON", f"wsrep-provider = {GALERA}", "wsrep-cluster-address = gcomm://",
                    "wsrep-node-address = 127.0.0.1", "innodb-autoinc-lock-mode = 2",
                    "wsrep-auto-increment-control = OFF",
                    f'wsrep-provider-options = "base_port={port};gmcast.listen_addr=tcp://127.0.0.1:{port}"')
    wait_until(lambda: (stack.status() or {}).get("database", {}).get("state") == "up", 30)
    writer = wait_until(lambda: (w := stack.status()["writer"])["is_writer"] is False and w, 15)
    assert "Galera" in writer["reason"]
    assert "fail" in finding(stack, "event writer")[0]
    set_keys(stack, "events", db_socket=stack.env["CMDB_DB_SOCKET"])
    assert stack.status()["writer"]["is_writer"] is True
    assert "ok" in finding(stack, "event writer")[0]
    admin = stack.admin()
    since = admin.tail()
    ids = slow_writers(stack, 10)
    got = admin.read_events(since, lambda events: len(events) >= len(ids), timeout=20)
    assert [e["id"] for e in got] == ids
