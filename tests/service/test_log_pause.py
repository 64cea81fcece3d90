"""log:pause and log:resume: what came during the pause comes with its end, whatever died meanwhile;
of what cannot come, the client is told which lines it is."""
import json

from conftest import unique, wait_until
from sio import Client, arguments
from test_socketio_sync import connect



def name_of(packet):
    return (arguments(packet) or [None])[0]


def lines_of(packet):
    """The ids of the lines that a packet brings."""
    if name_of(packet) == "log:new":
        return [arguments(packet)[1]["id"]]
    return [line["id"] for line in arguments(packet)[1]["logs"]] if (
        name_of(packet) == "log:batch") else []


class Watcher:
    """A socket that is subscribed to the logs of one tenant, and who logs there."""

    def __init__(self, stack, filter=None):
        self.stack = stack
        self.tenant = stack.tenant()
        self.user = stack.user(self.tenant)
        self.key = stack.key("logs:ingest", tenant=self.tenant)
        self.client = connect(stack, self.user.token)
        self.told = []
        self.ask("log:subscribe", filter or {})

    def take(self, packet):
        self.told += lines_of(packet)
        if name_of(packet) == "log:dropped":
            self.told.append(arguments(packet)[1])

    def ask(self, name, *args):
        """The acknowledgement; what comes before it is noted."""
        number = next(Client._marks)
        self.client.emit(name, *args, ack=number)
        while not (packet := self.client.wait(lambda p: p[:2] in ("42", "43"))).startswith(
                f"43{number}["):
            self.take(packet)
        assert packet.endswith('[{"success":true}]'), packet

    def log(self, n, times=1):
        ids = []
        for _ in range(times):
            ids += self.key.post("/api/logs", [
                {"deviceId": "d", "level": "INFO", "message": unique("line")} for _ in range(n)]
            ).data["ids"]
        newest = self.newest_event()
        wait_until(lambda: (self.stack.status() or {"tail": 0})["tail"] >= newest, 20, "released")
        return ids

    def newest_event(self):
        with self.stack.connect() as db, db.cursor() as c:
            c.execute("SELECT MAX(id) FROM ws_events")
            return c.fetchone()[0]

    def until(self, n):
        while len(self.told) < n:
            self.take(self.client.wait(lambda p: p.startswith("42")))
        return self.told


def test_the_poller_dies_during_the_pause(own_stack):
    w = Watcher(own_stack())
    before = w.log(2)
    w.until(2)
    w.ask("log:pause")
    during = w.log(30)
    for name in ("poller", "fcgi-1", "fcgi-2"):
        w.stack.kill(name)
    wait_until(w.stack.status, 20, "the poller answers")
    during += w.log(40)
    w.ask("log:resume")
    after = w.log(1)
    assert w.until(73) == [*before, *during, *after]


def test_what_was_in_an_answer_that_is_lost(own_stack):
    """The process dies over an answer with lines; the client pauses, and asks for it again."""
    w = Watcher(own_stack())
    lost = w.client.hold(t="lost")
    ids = w.log(3)
    assert ids == [n for p in lost.result() for n in lines_of(p)]
    for name in ("fcgi-1", "fcgi-2"):
        w.stack.kill(name)
    w.client.emit("log:pause")
    again = w.client.hold(t="lost")
    names = [name_of(p) for p in again.result()]
    assert "log:paused" in names and not {"log:new", "log:batch"} & set(names)
    ids += w.log(3)
    w.ask("log:resume")
    assert w.until(6) == ids


def test_more_than_is_kept(own_stack):
    stack = own_stack()
    w = Watcher(stack)
    first = w.log(1)
    w.until(1)
    w.ask("log:pause")
    gone = w.log(5, times=20)
    wait_until(lambda: stack.has_noted(w.newest_event()), 20, "the poller has noted its tail")
    stack.ctl("events", "prune", "--class", "brief", "--brief-rows", "0")
    left = w.log(5, times=3)
    w.ask("log:resume")
    w.until(2)
    dropped = w.told[1]
    assert dropped["count"] is None and dropped["from"] == first[0] + 1
    # The newest event of what was there is kept.
    assert dropped["to"] in (gone[-1], gone[-6])
    kept = [n for n in gone if n > dropped["to"]]
    assert w.until(2 + len(kept) + 15)[2:] == kept + left
    everything = w.user.get("/api/logs?order=asc&limit=500&after=%d&before=%d"
                            % (dropped["from"] - 1, dropped["to"] + 1)).data["items"]
    assert [line["id"] for line in everything] == [n for n in gone if n <= dropped["to"]]


def test_more_than_a_resume_brings(own_stack):
    w = Watcher(own_stack("logs.replay=7"), {"keywords": ["LINE"]})
    w.ask("log:pause")
    ids = w.log(5, times=4)
    w.ask("log:resume")
    assert w.until(8) == [*ids[:7], {"count": 13, "from": ids[7], "to": ids[-1]}]
    after = w.log(1)
    assert w.until(9)[8:] == after
