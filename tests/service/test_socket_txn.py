"""What an event of a Socket.IO client changes in the database is changed once, however often its
POST is looked at."""
import json
import threading

import pytest

from conftest import unique, wait_until
from sio import SEPARATOR, Client


def audits(stack, room):
    with stack.connect() as db, db.cursor() as c:
        c.execute("SELECT COUNT(*) FROM audit_log WHERE action = 'socketio.join' "
                  "AND target LIKE %s", (f"%room={room}",))
        return c.fetchone()[0]


class Posted(threading.Thread):
    def __init__(self, client, *packets):
        super().__init__(daemon=True)
        self.client, self.packets, self.error = client, packets, None
        self.start()

    def run(self):
        try:
            self.client.post(*self.packets)
        except Exception as error:
            self.error = error


def blocked(db):
    """How many statements wait for a table."""
    with db.cursor() as c:
        c.execute("SELECT COUNT(*) FROM information_schema.PROCESSLIST "
                  "WHERE STATE = 'Waiting for table metadata lock'")
        return c.fetchone()[0]


@pytest.fixture
def operator(own_stack):
    """(stack, admin) of a stack whose table audit_log a test may lock."""
    stack = own_stack()
    return stack, stack.admin()


def command(admin, room):
    return ('40/admin,' + json.dumps({"token": admin.token}),
            '42/admin,7' + json.dumps(["join", "/", room, unique("nobody")]))


def test_a_session_that_changed_meanwhile(operator):
    """The POST is looked at again once its pid has been given up: its transaction was committed by
    then."""
    stack, admin = operator
    before = Client(stack.url)
    assert before.connect({"token": admin.token})[0] == "0"
    before.post("1")
    room = unique("room")
    late, quick = Client(stack.url), Client(stack.url)
    shown = {"token": admin.token, "pid": before.pid, "offset": None}
    with stack.connect() as db, stack.connect() as watch:
        with db.cursor() as c:
            c.execute("LOCK TABLES audit_log WRITE")
            posted = Posted(late, "40" + json.dumps(shown), *command(admin, room))
            wait_until(lambda: blocked(watch), what="the audit row waits")
            kind, got = quick.connect(shown)
            assert kind == "0" and got["pid"] == before.pid
            quick.post("41")
            quick.poll()
            c.execute("UNLOCK TABLES")
    posted.join()
    assert posted.error is None
    answer = json.loads(late.wait(lambda p: p.startswith("40{"))[2:])
    assert answer["pid"] != before.pid  # it was judged anew
    assert json.loads(late.wait(lambda p: p.startswith("43/admin,7"))
                      .removeprefix("43/admin,7")) == [{"ok": True}]
    assert audits(stack, room) == 1
    late.close()
    quick.close()


def test_the_same_again_is_done_again(operator):
    """A client may well mean it: in one POST, and in another that is equal to the last byte."""
    stack, admin = operator
    c, room = Client(stack.url), unique("room")
    connect, join = command(admin, room)
    c.post(connect)
    c.wait(lambda p: p.startswith("40/admin,"))
    for n in range(1, 4):
        c.post(join, join, t=None)
        for _ in range(2):
            c.wait(lambda p: p.startswith("43/admin,7"))
        assert audits(stack, room) == 2 * n
    c.close()


def test_what_cannot_be_committed_is_told(operator):
    stack, admin = operator
    c, room = Client(stack.url), unique("room")
    connect, join = command(admin, room)
    c.post(connect)
    c.wait(lambda p: p.startswith("40/admin,"))
    with stack.connect() as db, db.cursor() as cursor:
        cursor.execute("RENAME TABLE audit_log TO audit_log_away")
        try:
            c.post(join)
            answer = json.loads(c.wait(lambda p: p.startswith("43/admin,7"))
                                .removeprefix("43/admin,7"))
            assert answer[0]["error"]["code"] in ("internal_error", "unavailable"), answer
        finally:
            cursor.execute("RENAME TABLE audit_log_away TO audit_log")
    c.post(join)
    assert json.loads(c.wait(lambda p: p.startswith("43/admin,7"))
                      .removeprefix("43/admin,7")) == [{"ok": True}]
    assert audits(stack, room) == 1
    c.close()
