"""/metrics tells of this process and of the host's poller."""
import re

from conftest import wait_until


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
