"""Whose requests take long, however many, keeps no thread from the others."""
import threading

import pytest

from conftest import unique, wait_until
from test_socketio_sync import connect

THREADS = 2 * 4  # of the two cmdb-fcgi, for GETs of rows
SLOW = 4 * THREADS


@pytest.fixture(scope="module")
def slow():
    from conftest import Stack, TEST_SETS, stack_home
    s = Stack(stack_home(), TEST_SETS)
    try:
        s.up()
        yield s
    finally:
        s.discard()


class Locked:
    """A table that nobody can read meanwhile."""

    def __init__(self, stack, table):
        self.stack, self.table, self.db = stack, table, stack.connect()

    def __enter__(self):
        with self.db.cursor() as c:
            c.execute(f"LOCK TABLES {self.table} WRITE")
        return self

    def __exit__(self, *_):
        self.db.close()

    def waiting_n(self):
        with self.stack.connect() as db, db.cursor() as c:
            c.execute("SELECT COUNT(*) FROM information_schema.processlist "
                      "WHERE user LIKE '%%fcgi%%' AND state = 'Waiting for table metadata lock'")
            return c.fetchone()[0]


def test_a_caller_leaves_a_thread_to_others(slow):
    reader, other, replies = slow.key("nodes:read"), slow.key("websites:read"), []

    def read():
        replies.append(reader.clone().get(f"/api/v1/nodes?q={unique()}", timeout=60).status)

    with Locked(slow, "nodes") as table:
        threads = [threading.Thread(target=read) for _ in range(SLOW)]
        for t in threads:
            t.start()
        wait_until(lambda: table.waiting_n() >= THREADS - 2, 20, "they wait for the table")
        for _ in range(4):
            assert other.clone().get(f"/api/v1/websites?q={unique()}", timeout=10).status == 200
        assert table.waiting_n() == THREADS - 2
    for t in threads:
        t.join(120)
    assert replies == [200] * SLOW


def test_sockets_of_a_caller_leave_a_thread_to_others(slow):
    nodes, domains = slow.user(), slow.user()
    clients = [connect(slow, nodes.token) for _ in range(8)]
    other = connect(slow, domains.token)
    with Locked(slow, "nodes") as table:
        for c in clients:
            threading.Thread(target=c.emit, args=("request:nodes",), daemon=True).start()
        wait_until(lambda: table.waiting_n() >= 2, 20, "they wait for the table")
        assert other.ask("domains")[1]["ok"]
        assert table.waiting_n() == 2
    for c in clients:
        assert c.event("nodes:initial", 30)[0]["total"] > 0
        c.close()
    other.close()
