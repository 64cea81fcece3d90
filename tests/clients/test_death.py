"""Programs are killed while clients poll: no client is told, and nothing is lost."""
import json

import pytest

from conftest import wait_until
from session import Session

pytestmark = pytest.mark.slow

CLIENTS = 8


@pytest.fixture
def polling(own_stack):
    """A stack with clients of one tenant that all wait: (stack, user, clients' replies)."""
    stack = own_stack()
    user = stack.user(stack.tenant())
    sessions = [Session(stack.api()) for _ in range(CLIENTS)]
    for s in sessions:
        s.connect(user.token)
    return stack, user, sessions


def hold(stack, sessions):
    replies = [s.held() for s in sessions]
    wait_until(lambda: stack.status()["waiters"] >= len(sessions), 10, "all polls held")
    return replies


def events(reply):
    assert reply.status == 200, reply
    return [json.loads(p[2:]) for p in reply.body.decode().split("\x1e") if p.startswith("42")]


@pytest.mark.parametrize("names", [["fcgi-1"], ["fcgi-2"], ["poller"], ["fcgi-1", "poller"]],
                         ids="+".join)
def test_held_polls_outlive_a_killed_program(polling, names):
    stack, user, sessions = polling
    replies = hold(stack, sessions)
    for name in names:
        stack.kill(name)
    row = user.post("/api/v1/line-groups/create", {"name": "after"}).data
    for session, reply in zip(sessions, replies):
        got = events(reply())
        while not got:
            got = events(session.request("GET"))
        (name, update, _), = got
        assert (name, update["data"]) == ("line-groups:update", row)
