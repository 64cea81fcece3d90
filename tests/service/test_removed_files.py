"""Somebody removes, under a running poller, what it has beside its socket, as cleaners of old files
do: it makes that again, before anybody misses it."""
import os
import re

import pytest

from conftest import wait_until
from sio import is_event
from test_socketio_sync import connect, insert

SETS = ["socketio.ping_interval_ms=600000"]


@pytest.fixture
def stack_of_own(own_stack):
    return own_stack(*SETS)


def beside(stack, end=""):
    return stack.env["CMDB_POLLER_SOCKET"] + end


def updates(c, last):
    """Event ids from the next answers, until `last` is there."""
    got = []
    while last not in got:
        got += [int(re.search(r'"eventId":(\d+)', p).group(1)) for p in c.poll()
                if is_event(p, "websites:update")]
    return got


def test_a_process_that_starts_later_finds_the_socket(stack_of_own):
    stack = stack_of_own
    c = connect(stack, stack.admin().token)
    os.unlink(beside(stack))
    wait_until(lambda: os.path.exists(beside(stack)), 10, "the socket")
    # None of those that were connected before is left.
    for name in ("fcgi-1", "fcgi-2"):
        stack.kill(name)
    with stack.connect() as db:
        event = insert(db)
    assert updates(c, event) == [event]
    # And the poller that comes after it is found there as well.
    stack.kill("poller")
    with stack.connect() as db:
        event = insert(db)
    assert updates(c, event) == [event]
    c.close()


def test_a_process_that_starts_later_finds_the_page(stack_of_own):
    stack = stack_of_own
    admin = stack.admin()
    c = connect(stack, admin.token)
    os.unlink(beside(stack, ".page"))
    wait_until(lambda: os.path.exists(beside(stack, ".page")), 10, "the page")
    with stack.connect() as db:
        event = insert(db)
    assert updates(c, event) == [event]
    for name in ("fcgi-1", "fcgi-2"):
        stack.kill(name)

    def sessions():
        found = re.search(r"^websocket_connections (\d+)$", admin.get("/metrics").body.decode(),
                          re.M)
        return found and int(found.group(1))

    wait_until(lambda: sessions() == 1, 10, "figures")
    other = connect(stack, admin.token)
    wait_until(lambda: sessions() == 2, 10, "figures that go on")
    other.close()
    c.close()


@pytest.mark.parametrize("how", ["removed", "cut off"])
def test_no_session_is_lost_with_the_journal(stack_of_own, how):
    stack = stack_of_own
    c, path = connect(stack, stack.admin().token), beside(stack, ".sessions")
    rewritten = stack.log("poller").count(f"{path} rewritten")
    with stack.connect() as db:
        events = [insert(db) for _ in range(20)]
        assert updates(c, events[-1]) == events
        if how == "removed":
            os.unlink(path)
        else:
            os.truncate(path, os.path.getsize(path) // 2)
        # It is written to meanwhile.
        event = insert(db)
        assert updates(c, event) == [event]
        wait_until(lambda: stack.log("poller").count(f"{path} rewritten") > rewritten,
                   10, "the journal")
        stack.kill("poller")
        event = insert(db)
        assert updates(c, event) == [event]
    c.close()
