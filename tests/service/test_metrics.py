"""/metrics tells of this process and of the host's poller."""
import re

from conftest import wait_until
from sio import Client


def read(api):
    reply = api.get("/metrics")
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return reply.body.decode()


def value(text, name):
    return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.M).group(1))


def test_every_metric_is_announced_once(api):
    text = read(api)
    announced = re.findall(r"^# TYPE (\S+) (counter|gauge|summary)$", text, re.M)
    names = [name for name, _ in announced]
    assert len(names) == len(set(names))
    for line in text.splitlines():
        if not line.startswith("#"):
            name = re.match(r"[a-z_]+", line).group(0)
            assert name in names or re.sub("_(sum|count)$", "", name) in names, line
            float(line.rsplit(" ", 1)[1])


def test_the_poller_counts_what_it_releases(api, admin, db):
    before = value(read(api), "cmdb_poller_events_released_total")
    with db.cursor() as c:
        c.execute("INSERT INTO ws_events (topic, event_type, payload) VALUES ('websites', 'add', '1')")
    wait_until(lambda: value(read(api), "cmdb_poller_events_released_total") > before)


def test_resets_are_counted_by_reason(api, admin):
    name = 'cmdb_poller_resets_total{reason="epoch"}'
    before = value(read(api), name)
    assert "reset" in admin.get("/events?since=0&epoch=other").json
    wait_until(lambda: value(read(api), name) == before + 1)


def test_sessions_are_counted_by_state_and_what_is_kept_of_them(stack, api, admin):
    joined = lambda: value(read(api), 'websocket_sessions{state="joined"}')
    before = joined()
    Client(stack.url).connect({"token": admin.token})
    wait_until(lambda: joined() == before + 1)
    text = read(api)
    for state in ("open", "closing", "recoverable"):
        value(text, f'websocket_sessions{{state="{state}"}}')
    value(text, "websocket_held_bytes")
    assert value(text, "cmdb_poller_journal_bytes") > 0
    wait_until(lambda: value(read(api), 'cmdb_poller_session_rows_total{how="saved"}') > 0)
    assert value(read(api), 'cmdb_poller_session_rows_total{how="dropped"}') == 0
    assert value(text, "cmdb_poller_journal_set_aside") == 0


def test_status_and_metrics_say_the_same(stack, api):
    """One table feeds both."""
    same = {"released": "cmdb_poller_events_released_total",
            "sessions.opened": "websocket_connections_total",
            "sessions.queue_overflows": "websocket_queue_overflows_total",
            "sessions.ended.ping_timeout": "websocket_ping_timeouts_total"}

    def agree():
        status, text = stack.status(), read(api)
        for path, name in same.items():
            v = status
            for key in path.split("."):
                v = v[key]
            if v != value(text, name):
                return False
        return True
    wait_until(agree)
