"""Each class of retention has its own floor: what is kept briefly costs nobody the history of what
lasts."""
from conftest import unique, wait_until
from sio import Client

FLOOD = 6000


def insert(db, topic, n=1):
    with db.cursor() as c:
        c.execute("INSERT INTO ws_events (topic, event_type, payload) "
                  f"SELECT %s, 'add', '{{}}' FROM seq_1_to_{n}", (topic,))
        c.execute("SELECT MAX(id) FROM ws_events")
        return c.fetchone()[0]


def rows(db, topic):
    with db.cursor() as c:
        c.execute("SELECT COUNT(*) FROM ws_events WHERE topic = %s", (topic,))
        return c.fetchone()[0]


def reader(stack, *perms):
    """Somebody who may read these topics and no others."""
    role = unique("role")
    stack.ctl("role", "add", role, *perms)
    return stack.user(roles=(role,))


def connect(stack, api):
    c = Client(stack.url)
    assert c.connect({"token": api.token})[0] == "0"
    c.event("connected")
    return c


def test_a_flood_of_logs_expires_cursors_of_logs_alone(own_stack):
    stack = own_stack()
    admin = stack.admin()
    db = stack.connect()
    insert(db, "websites")
    since = admin.tail()
    socket = connect(stack, admin)
    socket.ask("websites")
    before = insert(db, "websites", 3)
    insert(db, "devices", FLOOD // 2)
    insert(db, "logs", FLOOD - FLOOD // 2)
    last = insert(db, "websites", 2)
    wait_until(lambda: stack.has_noted(last), 20, "the poller has noted its tail")

    dry = stack.ctl("events", "prune", "--class", "brief", "--brief-rows", "0", "--dry-run",
                    "--json")
    assert (dry["events"], dry["brief_events"], dry["floor"]) == (FLOOD, FLOOD, 0)
    done = stack.ctl("events", "prune", "--class", "brief", "--brief-rows", "0", "--json")
    assert done == {**dry, "dry_run": False}
    assert before < done["brief_floor"] < last and rows(db, "logs") == 0
    assert rows(db, "websites") == 6
    assert (stack.status()["floor"], stack.status()["brief_floor"]) == (0, done["brief_floor"])
    stats = stack.ctl("events", "stats", "--json")
    assert (stats["floor"], stats["brief_floor"]) == (0, done["brief_floor"])

    # Out of the table, since the ring still has it all.
    stack.kill("poller")
    wait_until(lambda: (stack.status() or {}).get("ready"), 20, "the poller is back")
    websites = admin.poll(since, 0, topics="websites")
    assert "reset" not in websites and len(websites["events"]) == 5
    assert websites["lastEventId"] >= last
    for topics in ("logs", "stats", "devices", "websites,logs"):
        assert admin.poll(since, 0, topics=topics)["reset"]["reason"] == "expired", topics
    # Who may read all, and does not say what, asked for logs too.
    assert admin.poll(since, 0)["reset"]["reason"] == "expired"
    assert "reset" not in admin.poll(done["brief_floor"], 0)
    # A topic that has no row lasts.
    assert "reset" not in admin.poll(since, 0, topics="weather")

    # A client's copy, and a socket that was away meanwhile, go on event by event.
    other, got, is_recovered = socket.recover({"token": admin.token})
    assert is_recovered
    assert [other.event("websites:update")[0]["eventId"] for _ in range(5)][-1] == last
    events, _ = other.ask("websites", {"lastEventId": since})
    assert len(events) == 5 and events[0][0] == "websites:update"
    other.close()

    # What lasts has a floor of its own; what it takes along is gone for brief topics as well.
    insert(db, "logs", 10)
    wait_until(lambda: stack.has_noted(last + 10), 20)
    done = stack.ctl("events", "prune", "--class", "lasting", "--rows", "1", "--json")
    assert done["floor"] == last - 1 and rows(db, "logs") == 10
    assert admin.poll(since, 0, topics="websites")["reset"]["reason"] == "expired"
    db.close()


def test_brief_topics_are_cut_as_one_class(own_stack):
    stack = own_stack()
    db = stack.connect()
    with db.cursor() as c:
        c.execute("INSERT INTO ws_events (topic, event_type, payload, created_at) "
                  "SELECT 'logs', 'add', '{}', NOW(3) - INTERVAL 2 HOUR FROM seq_1_to_50")
    insert(db, "filler", 20)
    for _ in range(30):
        insert(db, "logs")
        last = insert(db, "stats")
    wait_until(lambda: stack.has_noted(last), 20, "the poller has noted its tail")
    done = stack.ctl("events", "prune", "--json")
    assert (done["events"], done["brief_events"]) == (50, 50)
    # The newest of all of them, whichever topic they are of.
    done = stack.ctl("events", "prune", "--brief-rows", "11", "--json")
    assert done["brief_events"] == 49
    assert (rows(db, "logs"), rows(db, "stats"), rows(db, "filler")) == (5, 6, 20)
    # With its own history untouched, all of it may go by age.
    done = stack.ctl("events", "prune", "--class", "brief", "--brief-seconds", "0", "--json")
    assert done["brief_events"] == 11 and rows(db, "filler") == 20
    db.close()


def test_who_may_not_read_logs_is_not_expired_by_them(own_stack):
    stack = own_stack()
    db = stack.connect()
    ann = reader(stack, "websites:read")
    bob = reader(stack, "websites:read", "logs:read")
    since = ann.tail()
    insert(db, "logs", 100)
    last = insert(db, "websites")
    wait_until(lambda: stack.has_noted(last), 20, "the poller has noted its tail")
    stack.ctl("events", "prune", "--class", "brief", "--brief-rows", "0")
    assert [e["topic"] for e in ann.poll(since, 0)["events"]] == ["websites"]
    assert bob.poll(since, 0)["reset"]["reason"] == "expired"
    assert [e["topic"] for e in bob.poll(since, 0, topics="websites")["events"]] == ["websites"]
    assert stack.ctl("events", "prune", "--class", "eternal", check=False).returncode == 2
    db.close()
