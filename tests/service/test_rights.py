"""Rights that come and go: what a request is allowed and what arrives live are one thing, whichever
way the rights were changed."""
import json
import threading

import pytest

from conftest import unique, wait_until
from sio import is_event
from test_socketio_sync import connect, initial, insert


@pytest.fixture
def role(stack):
    name = unique("role")
    stack.ctl("role", "add", name, "websites:read")
    return name


def node_update(c):
    return c.event("nodes:update")[0]["eventId"]


def is_refused(c):
    events, ack = c.ask("nodes")
    return events == [] and ack == {"error": ack["error"]} and ack["error"]["code"] == "forbidden"


def test_a_granted_permission_is_followed_without_being_asked_for(stack, db, role):
    c = connect(stack, stack.user(roles=(role,)).token)
    assert is_refused(c)
    stack.ctl("role", "grant", role, "nodes:read")
    # The poller asks the database who it is, when it has been told.
    seen = []

    def follows():
        insert(db, "nodes", id=1)
        seen.extend(c.poll())
        return any(is_event(p, "nodes:update") for p in seen)
    wait_until(follows, 10, "the update of a node")
    c.close()


@pytest.mark.parametrize("how", ["role", "user"])
def test_what_was_granted_is_listed_and_followed(stack, db, role, how):
    user = stack.user(roles=(role,))
    c = connect(stack, user.token)
    if how == "role":
        stack.ctl("role", "grant", role, "nodes:read")
    else:
        stack.ctl("user", "grant-role", user.user["username"], "viewer")
    initial(c, "nodes")
    one = insert(db, "nodes", id=1)
    assert node_update(c) == one
    c.close()


def test_a_permission_given_by_sql_is_followed_from_the_next_request_on(stack, db, role):
    """Nobody was told: but what may be listed may be followed."""
    c = connect(stack, stack.user(roles=(role,)).token)
    assert is_refused(c)
    with db.cursor() as cursor:
        cursor.execute("INSERT INTO role_permissions (role_id, permission) "
                       "SELECT id, 'nodes:read' FROM roles WHERE name = %s", (role,))
    wait_until(lambda: not is_refused(c), 10, "the permission counts")
    one = insert(db, "nodes", id=1)
    assert node_update(c) == one
    c.close()


def test_a_permission_taken_away_is_not_followed_any_more(stack, db, role):
    c = connect(stack, stack.user(roles=(role,)).token)
    stack.ctl("role", "grant", role, "nodes:read")
    initial(c, "nodes")
    stack.ctl("role", "revoke", role, "nodes:read")
    wait_until(lambda: is_refused(c), 10, "the permission is gone")

    def is_deaf():
        insert(db, "nodes", id=1)
        mark = insert(db, id=2)
        got = []
        while not any(is_event(p, "websites:update") and f'"eventId":{mark},' in p for p in got):
            got += c.poll()
        return not any(is_event(p, "nodes:update") for p in got)
    wait_until(is_deaf, 10, "no update of nodes")
    c.close()


def test_a_grant_throws_no_request_out(stack, role):
    """A held long-poll comes again with what it may see now: that is no refusal."""
    user = stack.user(roles=(role,))
    since, before = user.tail(), stack.status()["waiters"]
    held = []
    api = user.clone()
    thread = threading.Thread(
        target=lambda: held.append(api.get(f"/events?since={since}&timeout=25")))
    thread.start()
    wait_until(lambda: stack.status()["waiters"] > before, 5, "a held request")
    stack.ctl("role", "grant", role, "nodes:read")
    thread.join(15)
    reply, = held
    assert reply.status == 200 and json.loads(reply.body)["events"] == []


def told(db, after):
    with db.cursor() as c:
        c.execute("SELECT payload FROM ws_events WHERE topic = '_auth' AND id > %s ORDER BY id",
                  (after,))
        return [json.loads(row[0]) for row in c.fetchall()]


@pytest.mark.parametrize("command, word", [
    (("role", "grant", "ROLE", "nodes:read"), "changed"),
    (("role", "revoke", "ROLE", "websites:read"), "revoke"),
    (("user", "grant-role", "USER", "viewer"), "changed"),
    (("user", "revoke-role", "USER", "ROLE"), "revoke"),
    (("user", "add-department", "USER", "tech"), "changed"),
    (("user", "disable", "USER"), "revoke"),
    (("user", "enable", "USER"), "changed"),
    (("user", "passwd", "USER"), "revoke"),
    (("tenant", "disable", "TENANT"), "revoke"),
    (("tenant", "enable", "TENANT"), "changed"),
    (("user", "delete", "USER"), "revoke"),
], ids=lambda v: " ".join(v[:2]) if isinstance(v, tuple) else None)
def test_whatever_changes_rights_tells(stack, db, role, command, word):
    tenant = stack.tenant()
    user = stack.user(tenant, roles=(role,))
    names = {"ROLE": role, "USER": user.user["username"], "TENANT": tenant}
    with db.cursor() as c:
        c.execute("SELECT MAX(id) FROM ws_events")
        after, = c.fetchone()
    stack.ctl(*(names.get(part, part) for part in command))
    assert {word: "user", "user_id": user.user["id"]} in told(db, after or 0)
