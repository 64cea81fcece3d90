"""How sessions end and begin: what was disconnected on purpose is not recovered, wherever it is
remembered; the operations of one POST are judged one after the other; and a session of another
event log is none to go on from."""
import json
import os

import pytest

import wire
from conftest import unique, wait_until
from sio import Client, Refused
from test_socketio_sync import connect, insert, update
from wire import OK, STALE, UNKNOWN, Done, Process


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """A stack of which the poller is killed; no ping comes between what is looked at."""
    from conftest import Stack, stack_home, TEST_SETS
    made = Stack(stack_home(), [*TEST_SETS, "socketio.ping_interval_ms=600000"])
    made.up()
    yield made
    made.discard()


# ---- a disconnect on purpose ----

def rows(stack, socket_id):
    with stack.connect() as db, db.cursor() as c:
        c.execute("SELECT is_over, ended_at IS NOT NULL FROM ws_sessions WHERE socket_id = %s",
                  (socket_id,))
        return c.fetchall()


def start(stack, user):
    """A client with an offset to go on from, whose row has been written; and its socket's id."""
    c = Client(stack.url)
    kind, got = c.connect({"token": user.token})
    assert kind == "0"
    c.event("connected")
    c.ask("websites")
    wait_until(lambda: rows(stack, got["sid"]), 20, "the row is written")
    return c, got["sid"]


def by_client(stack, user, c):
    c.post("41")


def by_client_and_close(stack, user, c):
    c.post("41", "1")


def by_logout(stack, user, c):
    user.post("/api/v1/auth/logout", {})
    name = user.user["username"]
    user.login(name, "correct horse 7")


def by_revocation(stack, user, c):
    stack.ctl("token", "revoke", user.token)
    user.login(user.user["username"], "correct horse 7")


def by_admin_ui(stack, user, c):
    watcher = Client(stack.url)
    assert watcher.connect({"token": stack.admin().token}, "/admin")[0] == "0"
    watcher.post("42/admin," + json.dumps(["_disconnect", "/", False, c.socket_id]))
    watcher.close()


def by_admin_ui_with_connection(stack, user, c):
    watcher = Client(stack.url)
    assert watcher.connect({"token": stack.admin().token}, "/admin")[0] == "0"
    watcher.post("42/admin," + json.dumps(["_disconnect", "/", True, c.socket_id]))
    watcher.close()


WAYS = [by_client, by_client_and_close, by_logout, by_revocation, by_admin_ui,
        by_admin_ui_with_connection]


def nothing(stack):
    """It is in memory."""


def kill_poller(stack):
    stack.kill("poller")
    wait_until(stack.status, 20, "the poller answers")


def reboot(stack):
    """The journal is gone: sessions come out of the table."""
    journal = stack.env["CMDB_POLLER_SOCKET"] + ".sessions"
    if os.path.exists(journal):
        os.unlink(journal)
    kill_poller(stack)


def comes_back(stack, c, user):
    """Shows its pid and offset anew. Was it recovered?"""
    other, got, is_recovered = c.recover({"token": user.token})
    other.event("connected")
    one = insert_one(stack)
    assert update(other)["eventId"] == one
    other.close()
    return is_recovered or got["sid"] == c.socket_id


def insert_one(stack):
    with stack.connect() as db:
        return insert(db, n=1)


@pytest.mark.parametrize("way", WAYS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("then", [nothing, kill_poller, reboot], ids=lambda f: f.__name__)
def test_a_disconnect_on_purpose_is_not_recovered(calm, way, then):
    user = calm.user(roles=("viewer",))
    c, c.socket_id = start(calm, user)
    before = overs(calm)
    way(calm, user, c)
    wait_until(lambda: overs(calm) > before, 20, "it is known to be over")
    then(calm)
    assert not comes_back(calm, c, user)


def overs(stack):
    """The private ids that are over, as other hosts see them."""
    with stack.connect() as db, db.cursor() as cur:
        cur.execute("SELECT COUNT(*) FROM ws_sessions WHERE is_over = 1")
        return cur.fetchone()[0]


def test_at_once_it_is_not_recovered_either(calm):
    """Before anything was written."""
    user = calm.user(roles=("viewer",))
    c = connect(calm, user.token)
    c.ask("websites")
    c.post("41")
    assert c.recover({"token": user.token})[2] is False
    c.close()


@pytest.mark.parametrize("then", [nothing, kill_poller], ids=lambda f: f.__name__)
def test_a_lost_connection_is(calm, then):
    user = calm.user(roles=("viewer",))
    c, c.socket_id = start(calm, user)
    c.close()
    then(calm)
    assert comes_back(calm, c, user)


# ---- one POST, many operations ----

CONNECTED = '42["connected",{"ok":true}'


def talk(c, *packets):
    """Posts packets and returns what comes back until all is quiet."""
    c.post(*packets, '4299["nobody"]')
    got = []
    while not any(p.startswith("4399") for p in got):
        got += [p for p in c.poll() if p not in ("2", "6")]
    return got[:-1] if got[-1].startswith("4399") else got


def heads(packets):
    return [p[:2] + (p[2:].split(",")[0] if p[2:3] == "/" else "") for p in packets
            if not p.startswith("42")]


def auth(user, nsp="", **more):
    return f"40{nsp}" + json.dumps({"token": user.token, **more})


@pytest.fixture
def both(calm):
    """Joined in "/" and in "/admin"."""
    user = calm.admin()
    c = Client(calm.url)
    assert c.connect({"token": user.token})[0] == "0"
    c.event("connected")
    assert c.connect({"token": user.token}, "/admin")[0] == "0"
    yield c, user
    c.close()


def test_disconnect_and_connect_in_one_post(calm, both):
    c, user = both
    got = talk(c, "41", auth(user))
    assert any(p.startswith("40{") for p in got)
    one = insert_one(calm)
    assert update(c)["eventId"] == one


def test_disconnect_and_connect_with_its_own_pid_begins_anew(calm, both):
    c, user = both
    got = talk(c, "41", auth(user, pid=c.pid, offset=c.offset))
    answer, = (json.loads(p[2:]) for p in got if p.startswith("40{"))
    assert answer["pid"] != c.pid


def test_again_and_again_in_one_post(calm, both):
    c, user = both
    got = talk(c, "41", auth(user), "41", auth(user), "41", auth(user))
    assert len([p for p in got if p.startswith("40{")]) == 3


def test_several_namespaces_in_one_post(calm, both):
    c, user = both
    got = talk(c, "41/admin,", "41", auth(user, "/admin,"), auth(user))
    assert len([p for p in got if p.startswith("40")]) == 2


def test_what_comes_behind_its_sockets_disconnect_is_ignored(calm, both):
    c, user = both
    c.post("41", '42["request:websites"]', '430["ack"]', "41",
           "42/admin," + json.dumps(["nobody"]))
    got = talk(c, auth(user))
    assert any(p.startswith("40{") for p in got)
    assert not any("websites:initial" in p for p in got)


def test_recovery_behind_a_disconnect_in_one_post(calm, both):
    """The pid of another connection, which was lost."""
    c, user = both
    lost = connect(calm, user.token)
    lost.ask("websites")
    lost.close()
    got = talk(c, "41", auth(user, pid=lost.pid, offset=lost.offset))
    answer, = (json.loads(p[2:]) for p in got if p.startswith("40{"))
    assert answer["pid"] == lost.pid
    # Left on purpose then, it is over.
    got = talk(c, "41", auth(user, pid=lost.pid, offset=lost.offset))
    answer, = (json.loads(p[2:]) for p in got if p.startswith("40{"))
    assert answer["pid"] != lost.pid


def test_recovered_left_and_shown_again_in_one_post(calm):
    user = calm.admin()
    lost = connect(calm, user.token)
    lost.ask("websites")
    lost.close()
    c = Client(calm.url)
    show = auth(user, pid=lost.pid, offset=lost.offset)
    pids = [json.loads(p[2:])["pid"] for p in talk(c, show, "41", show) if p.startswith("40{")]
    assert pids[0] == lost.pid != pids[1]
    c.close()


@pytest.mark.parametrize("packets", [
    ["40", "40"],              # joined already
    ["41", "40", "40"],
    ["41/never,"],             # never joined
    ["42/never,[\"x\"]"],
], ids=" ".join)
def test_what_no_client_may_send_ends_the_session(calm, packets):
    user = calm.admin()
    c = connect(calm, user.token)
    with pytest.raises(Refused) as refused:
        c.post(*(auth(user) if p == "40" else p for p in packets))
    assert refused.value.status == 400


# ---- the same, of the poller ----

@pytest.fixture
def poller(calm):
    process = Process(calm.env["CMDB_POLLER_SOCKET"])
    yield process
    process.close()


def test_operations_are_checked_in_their_order(poller):
    s, pid = unique("sid"), unique("pid")
    poller.open(s)
    leave = b"\x06" + wire.text("/")
    assert poller.apply(s, wire.connect(pid=pid)).what == OK
    assert poller.apply(s, leave, wire.connect(pid=unique("pid"))).what == OK
    # What was decided before its pid was over has to be decided again.
    assert poller.apply(s, leave, wire.connect(pid=pid, at=0, flags=wire.OFFSETS | wire.RESUMES)
                        ).what == STALE
    assert poller.apply(s, leave, leave).what == OK
    assert poller.apply(s, wire.connect(), wire.connect()).what == wire.BAD
    assert poller.poll(s, tag=5)[-1] != Done(UNKNOWN, "")


# ---- another event log ----

def test_a_row_of_another_epoch_is_not_gone_on_from(calm):
    """A dump was restored, or the log made anew, while nobody was here."""
    user = calm.user(roles=("viewer",))
    c, socket_id = start(calm, user)
    with calm.connect() as db, db.cursor() as cur:
        cur.execute("UPDATE ws_sessions SET epoch = 'another' WHERE socket_id = %s", (socket_id,))
    reboot(calm)
    with pytest.raises(Refused) as refused:
        c.poll()
    assert refused.value.json["code"] == 1
    other, got, is_recovered = c.recover({"token": user.token})
    assert not is_recovered
    assert other.event("websites:initial", 20)[0]["items"] is not None
    other.close()


def test_a_session_out_of_the_table_is_pinged_at_once(calm):
    """Nobody knows when it was the last time, and its client does not wait for ever."""
    user = calm.user(roles=("viewer",))
    c, _ = start(calm, user)
    reboot(calm)
    seen = []
    while "2" not in seen:
        seen += c.poll(timeout=20)
    c.close()
