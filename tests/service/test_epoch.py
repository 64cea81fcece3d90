"""The event log becomes another one (a dump is loaded, TRUNCATE, a server that lacks the last commits),
under the running poller and behind its back: a new epoch begins, and everybody is told."""
import os
import signal
import subprocess

import pytest

from conftest import SLOWER, wait_until
from sio import Client, Refused
from test_events import Stream, hold, insert


def dump(stack, *tables):
    return subprocess.run(["mariadb-dump", "--socket", stack.env["CMDB_DB_SOCKET"], "--single-transaction",
                           stack.env["CMDB_DB_NAME"], *tables], check=True, capture_output=True).stdout


def load(stack, text):
    # --force: the poller may have noted its place in the new table before the dump does.
    subprocess.run(["mariadb", "--force", "--socket", stack.env["CMDB_DB_SOCKET"], stack.env["CMDB_DB_NAME"]],
                   input=text, stderr=subprocess.DEVNULL)


def epoch(stack):
    with stack.connect() as db, db.cursor() as c:
        c.execute("SELECT epoch FROM ws_log")
        return c.fetchone()[0]


def publish(stack, n):
    with stack.connect() as db:
        return [insert(db, n=i) for i in range(n)]


def ways(stack):
    """How the log becomes another one; each returns when it is."""
    early = dump(stack)
    events = dump(stack, "ws_events")
    publish(stack, 50)

    def truncate():
        with stack.connect() as db, db.cursor() as c:
            c.execute("TRUNCATE ws_events")

    return {"dump": lambda: load(stack, early), "events alone": lambda: load(stack, events),
            "truncate": truncate,
            # It has grown past where the poller was before anybody looks.
            "dump that grew": lambda: (load(stack, events), publish(stack, 200))}


WAYS = ["dump", "events alone", "truncate", "dump that grew"]


def is_followed(stack, was):
    """Is the poller in an epoch that is not `was`, and open for clients?"""
    status = stack.status()
    return status and status["ready"] and status["epoch"] == epoch(stack) != was


def is_all_of(stack, answer):
    """The answer, if it goes up to the last event that there is."""
    with stack.connect() as db, db.cursor() as c:
        c.execute("SELECT COALESCE(MAX(id), 0) FROM ws_events")
        return answer if answer["lastEventId"] >= c.fetchone()[0] else None


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("when", ["running", "down"])
def test_everybody_is_reset_and_goes_on(own_stack, way, when):
    stack = own_stack()
    admin = stack.admin()
    replace = ways(stack)[way]
    socket = Client(stack.url)
    assert socket.connect({"token": admin.token})[0] == "0"
    socket.event("connected")
    socket.ask("nodes")
    last = publish(stack, 1)[0]
    since, was = admin.read_events(last - 1, lambda events: events)[-1]["id"], epoch(stack)
    wait_until(lambda: stack.has_noted(last), 10)
    wait_until(lambda: stack.status()["sessions"]["joined"] == 1)
    got = []
    held = hold(admin, f"since={since}&timeout=50", got)
    with Stream(admin, f"since={since}") as stream:
        wait_until(lambda: stack.status()["waiters"] >= 2)
        if when == "down":
            os.kill(stack.pid("poller"), signal.SIGSTOP)
        replace()
        if when == "down":
            stack.kill("poller")
        wait_until(lambda: is_followed(stack, was), 20, "a new epoch")
        held.join(10 * SLOWER)
        reply = got[0].json
        assert reply["reset"] == {"reason": "epoch"} and reply["epoch"] != was, reply
        while (m := stream.message()).get("event") != "reset":
            assert m is not None
    # What comes now reaches everybody, whatever its id.
    now = wait_until(lambda: is_all_of(stack, admin.get("/events?timeout=0").json), 20,
                     "the new log is released")
    ids = publish(stack, 20)
    events = admin.read_events(now["lastEventId"], lambda events: len(events) >= 20, epoch=now["epoch"])
    assert [e["id"] for e in events] == ids
    assert admin.poll(since, epoch=was)["reset"] == {"reason": "epoch"}
    # A socket is closed, comes back, is not taken for recovered, and follows the new log.
    try:
        assert "1" in socket.request("GET", {}).split("\x1e")
    except Refused as refused:
        assert when == "down" and refused.json["code"] == 1, refused
    other, _, is_recovered = socket.recover({"token": admin.token})
    assert not is_recovered
    other.event("connected")
    other.ask("nodes")
    more = publish(stack, 1)[0]
    assert other.event("websites:update")[0]["eventId"] == more
    status = wait_until(stack.status)
    # A dump brings the old epoch after the table that it was told by.
    assert status["epoch_changes"] in ((1, 2) if when == "running" else (0, 1)), status
    # A whole dump brings ws_log back, too: whichever of the two is looked at first.
    reasons = ("event", "dump", "ws_log has another epoch") if way == "dump" else ("event", "dump")
    assert any(reason in status["epoch_reason"] for reason in reasons), status
    wait_until(lambda: admin.get("/api/ws/health").status == 200, 5)


def test_an_epoch_that_came_back_is_not_the_same(own_stack):
    """The dump is of an epoch before this one: cursors of then are foreign all the same."""
    stack = own_stack()
    admin = stack.admin()
    first = epoch(stack)
    last = publish(stack, 5)[-1]
    wait_until(lambda: stack.has_noted(last), 10)
    old = dump(stack)
    with stack.connect() as db, db.cursor() as c:
        c.execute("TRUNCATE ws_events")
    publish(stack, 3)
    wait_until(lambda: is_followed(stack, first), 20)
    second = epoch(stack)
    load(stack, old)
    wait_until(lambda: is_followed(stack, second), 20)
    assert epoch(stack) not in (first, second)
    assert admin.poll(1, epoch=first)["reset"] == {"reason": "epoch"}


def test_pruning_and_deleting_is_no_other_log(own_stack):
    """An empty table goes on where it was; a restart of the database or of the poller as well."""
    stack = own_stack()
    was = epoch(stack)
    last = publish(stack, 10)[-1]
    wait_until(lambda: stack.has_noted(last), 10)
    with stack.connect() as db, db.cursor() as c:
        c.execute("UPDATE ws_log SET floor = %s", (last,))
        c.execute("DELETE FROM ws_events")
    stack.kill("mariadb", signal.SIGTERM)
    wait_until(lambda: (stack.status() or {}).get("database", {}).get("state") == "up", 30)
    stack.kill("poller")
    wait_until(lambda: (stack.status() or {}).get("ready"), 30)
    admin = stack.admin()
    since = admin.tail()
    one = publish(stack, 1)[0]
    assert one == last + 1
    assert [e["id"] for e in admin.read_events(since, lambda events: events)] == [one]
    status = stack.status()
    assert epoch(stack) == was and status["epoch_changes"] == 0 and "epoch_reason" not in status


def test_a_poller_that_may_not_begin_an_epoch_says_so(own_stack):
    """With the grants of an older release: health, status and doctor tell."""
    stack = own_stack()
    admin = stack.admin()
    publish(stack, 10)
    with stack.connect() as db, db.cursor() as c:
        c.execute("SELECT GRANTEE FROM information_schema.COLUMN_PRIVILEGES WHERE TABLE_NAME = 'ws_log' "
                  "AND PRIVILEGE_TYPE = 'UPDATE' LIMIT 1")
        who = c.fetchone()[0]
        c.execute(f"REVOKE UPDATE (epoch, floor, brief_floor, made_at) ON ws_log FROM {who}")
        c.execute("TRUNCATE ws_events")
    wait_until(lambda: admin.get("/api/ws/health").status == 503, 10)
    assert stack.status()["database"]["state"] == "down"
    assert "migrate --grants" in stack.log("poller")
    told = stack.ctl("doctor", check=False)
    assert told.returncode != 0 and "event log" in told.stdout
    with stack.connect() as db, db.cursor() as c:
        c.execute(f"GRANT UPDATE (epoch, floor, brief_floor, made_at) ON ws_log TO {who}")
    wait_until(lambda: admin.get("/api/ws/health").status == 200, 15)
    now = admin.get("/events?timeout=0").json
    ids = publish(stack, 3)
    assert [e["id"] for e in admin.read_events(now["lastEventId"], lambda e: len(e) >= 3)] == ids
