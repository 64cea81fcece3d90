"""Deadlines of sessions go on where they were when the poller is killed, restarted or held up: a
stock client waits for the next ping from when it got the last one, whatever happened here."""
import os
import signal
import threading
import time

import pytest

import wire
from conftest import SLOWER, unique, wait_until
from sio import Client, Refused
from wire import OK, UNKNOWN, Done, Process

INTERVAL_S, TIMEOUT_S = 4, 4
PINGS = [f"socketio.ping_interval_ms={INTERVAL_S * 1000}",
         f"socketio.ping_timeout_ms={TIMEOUT_S * 1000}"]


class Clock(threading.Thread):
    """A client that minds its time as engine.io-client does: pingInterval + pingTimeout after the
    last ping, or the handshake, it is gone."""

    def __init__(self, stack, token):
        super().__init__(daemon=True)
        self.client, self.trouble, self.gaps, self.is_over = Client(stack.url), None, [], False
        self.last = time.monotonic()
        self.client.post("40" + '{"token":"%s"}' % token)

    def run(self):
        try:
            while not self.is_over:
                if "2" in self.client.request("GET", {}).split("\x1e"):
                    now = time.monotonic()
                    self.gaps.append(now - self.last)
                    self.last = now
                    self.client.post("3")
        except (Refused, OSError) as e:
            self.trouble = repr(e)


@pytest.fixture
def crowd(own_stack):
    """Clients whose handshakes are spread over one ping interval, after which each has been pinged
    at least once."""
    stack = own_stack(*PINGS)
    token, clients = stack.admin().token, []
    for i in range(12):
        clients.append(Clock(stack, token))
        clients[-1].start()
        time.sleep(INTERVAL_S / 12)  # what the test is about: they come one after the other
    wait_until(lambda: all(c.gaps for c in clients), 3 * INTERVAL_S, "all have been pinged")
    yield stack, clients
    for c in clients:
        c.is_over = True


def outlive(clients):
    """All are pinged twice more."""
    had = [len(c.gaps) for c in clients]
    wait_until(lambda: all(c.trouble or len(c.gaps) >= n + 2 for c, n in zip(clients, had)),
               4 * INTERVAL_S, "all are pinged again")
    assert [c.trouble for c in clients if c.trouble] == []
    late = [c.gaps for c in clients if max(c.gaps) > INTERVAL_S + TIMEOUT_S]
    assert not late, f"a stock client would have given up: {late}"


@pytest.mark.slow
@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM])
def test_the_ping_clock_goes_on_over_a_restart(crowd, sig):
    stack, clients = crowd
    stack.kill("poller", sig)
    outlive(clients)


@pytest.mark.slow
def test_the_ping_clock_goes_on_over_many_restarts(crowd):
    stack, clients = crowd
    for _ in range(3):
        stack.kill("poller")
        wait_until(stack.status, 20, "the poller answers")
    outlive(clients)


@pytest.mark.slow
def test_the_ping_clock_goes_on_over_a_stall(crowd):
    stack, clients = crowd
    poller = stack.pid("poller")
    os.kill(poller, signal.SIGSTOP)
    time.sleep(TIMEOUT_S - 1)  # how long it is held up
    os.kill(poller, signal.SIGCONT)
    outlive(clients)


# ---- the others ----

def again(stack, poller):
    poller.close()
    stack.kill("poller")
    return Process(stack.env["CMDB_POLLER_SOCKET"], 30)


def joined(poller, **more):
    s = unique("sid")
    assert poller.open(s).what == OK
    assert poller.apply(s, wire.connect(pid=unique("pid"), **more)).what == OK
    poller.poll(s, tag=1)
    return s


def test_a_handshake_without_connect_ends_in_its_time(own_stack):
    """However often there is a restart before."""
    stack = own_stack("socketio.connect_timeout_ms=8000", "socketio.ping_interval_ms=600000")
    poller, s = Process(stack.env["CMDB_POLLER_SOCKET"]), unique("sid")
    started = time.monotonic()
    poller.open(s)
    while time.monotonic() - started < 7:
        poller = again(stack, poller)
    # It may be heard for 5 s more.
    assert poller.answer(poller.hold(s, tag=1), 30 * SLOWER) == ["1"]
    assert time.monotonic() - started < 8 + 5 + 4 * SLOWER
    poller.close()


def test_a_client_that_is_silent_ends_whatever_is_restarted(own_stack):
    stack = own_stack("socketio.ping_interval_ms=1000", "socketio.ping_timeout_ms=20000")
    poller = Process(stack.env["CMDB_POLLER_SOCKET"])
    s = joined(poller)
    assert poller.poll(s, tag=2) == ["2"]
    pinged, ended = time.monotonic(), None
    while not ended and time.monotonic() - pinged < 18:
        poller = again(stack, poller)
        time.sleep(1)  # from one restart to the next
    wait_until(lambda: stack.status()["sessions"]["ended"]["ping_timeout"] == 1, 20)
    assert time.monotonic() - pinged < 20 + 5 + 4 * SLOWER
    assert poller.poll(s, tag=3) == Done(UNKNOWN, "")
    poller.close()


def test_a_tokens_end_is_announced_once(own_stack):
    stack = own_stack("socketio.ping_interval_ms=600000")
    poller = Process(stack.env["CMDB_POLLER_SOCKET"])
    s = joined(poller, who=wire.caller(expires=int(time.time()) + 50))
    assert '"token_expiring"' in poller.poll(s, tag=2)[0]
    poller = again(stack, poller)
    held = poller.hold(s, tag=3)
    poller.apply(s, wire.send("4mark"))
    assert poller.answer(held) == ["4mark"]
    poller.close()


def test_who_may_come_back_may_do_so_for_no_longer(own_stack):
    stack = own_stack("socketio.recovery_ms=6000", "socketio.ping_interval_ms=600000")
    poller = Process(stack.env["CMDB_POLLER_SOCKET"])
    s, started = joined(poller), time.monotonic()
    poller.cancel(poller.hold(s, tag=2))
    wait_until(lambda: stack.status()["sessions"]["recoverable"] == 1)
    while time.monotonic() - started < 5:
        poller = again(stack, poller)
    wait_until(lambda: stack.status()["sessions"]["recoverable"] == 0, 10)
    assert time.monotonic() - started < 6 + 3 * SLOWER
    poller.close()
