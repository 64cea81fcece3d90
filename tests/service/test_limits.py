"""What one client, one request or one process can make the poller hold, and what becomes of those
who do not fetch what they asked for."""
import json
import struct

import pytest

import wire
from conftest import wait_until


def poller_socket(stack):
    return str(stack.dir / "run/poller.sock")


def events_interest(limit):
    """All of websites as JSON, as GET /events asks for it; another limit is another interest."""
    return struct.pack("<IBHB", 1, 1, limit, 0) + struct.pack("<H", 1) + wire.text("websites") \
        + struct.pack("<H", 0)


def waits(p, n, since, limits=1):
    """n requests of GET /events, of so many interests."""
    return [p.ask(wire.WAIT, struct.pack("<QI", since, 50000) + wire.text("")
                  + wire.blob(events_interest(500 + i % limits)) + wire.text("user:1")
                  + wire.text("") + b"\1") for i in range(n)]


class Held:
    """Large events that become visible at once: the first one's transaction is open until then, so
    that the poller has seen ids beyond its tail."""

    def __init__(self, stack, n, size):
        self.stack, self.slow = stack, stack.connect(autocommit=False)
        self.first = self.insert(self.slow, size)
        with stack.connect() as db:
            self.last = [self.insert(db, size) for _ in range(n - 1)][-1]

    @staticmethod
    def insert(db, size):
        with db.cursor() as c:
            c.execute("INSERT INTO ws_events (topic, event_type, payload) VALUES "
                      "('websites', 'update', %s)", (json.dumps({"pad": "x" * size}),))
            return c.lastrowid

    def let_go(self):
        self.slow.commit()
        self.slow.close()


# ---- those who do not read ----


@pytest.mark.parametrize("limits", [1, 120], ids=["one-interest", "many-interests"])
def test_who_waits_beyond_the_tail_and_does_not_read(own_stack, limits):
    """120 requests that wait for what is beyond the tail, and then five large events: what is sent
    for one of them may not end the walk over the others."""
    stack = own_stack()
    poller, p = stack.pid("poller"), wire.Process(poller_socket(stack))
    events = Held(stack, 5, 900_000)
    waits(p, 120, events.first, limits)
    wait_until(lambda: stack.status()["waiters"] == 120, 10, "all of them waiting")
    events.let_go()
    wait_until(lambda: stack.status()["tail"] >= events.last, 20, "the events released")
    p.close()
    wait_until(lambda: stack.status()["waiters"] == 0, 10, "the waiters gone")
    assert stack.pid("poller") == poller, "the poller has died"


def test_a_crowd_beyond_the_tail_gets_one_body(own_stack):
    """Those who ask the same in one moment are answered by one frame, not by a copy each."""
    stack = own_stack()
    p = wire.Process(poller_socket(stack))
    events = Held(stack, 5, 900_000)
    tickets = waits(p, 120, events.first)
    wait_until(lambda: stack.status()["waiters"] == 120, 10, "all of them waiting")
    events.let_go()
    kind, frame = p.frame(60)
    assert kind == wire.DELIVER
    n, = struct.unpack_from("<I", frame, 9)
    assert sorted(struct.unpack_from(f"<{n}Q", frame, 13)) == tickets
    assert len(json.loads(frame[13 + 8 * n + 4:])["events"]) == 4
    p.close()
