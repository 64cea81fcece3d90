"""Sessions in the poller, seen from where cmdb-fcgi sits: what is sent again and what is not, whoever
dies in between. Nothing is missed; what arrived is not told twice."""
import json
import os
import signal
import time

import pytest

import wire
from conftest import unique, wait_until
from wire import BAD, FORBIDDEN, LIMIT, OK, STALE, UNKNOWN, Done, Process, emit

PING = "socketio.ping_interval_ms=600000"  # no ping comes between what a test looks at


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    from conftest import Stack, stack_home
    made = Stack(stack_home(), ["socketio.max_per_user=3", "socketio.queue_bytes=4096", PING])
    made.up()
    yield made
    made.discard()


@pytest.fixture
def poller(quiet):
    process = Process(quiet.env["CMDB_POLLER_SOCKET"])
    yield process
    process.close()


def again(stack, old=None):
    if old:
        old.close()
    return Process(stack.env["CMDB_POLLER_SOCKET"], 30)


def publish(stack, n, topic="websites", room="", tenant=1, name=""):
    with stack.connect() as db, db.cursor() as c:
        c.execute("INSERT INTO ws_events (topic, event_type, payload, room, tenant_id, name) "
                  "VALUES (%s, 'update', JSON_OBJECT('n', %s), %s, %s, %s)",
                  (topic, n, room, tenant, name))
        return c.lastrowid


def sid():
    return unique("sid")


def numbers(packets):
    """The n of each event among packets."""
    found = []
    for p in packets:
        if p.startswith("42["):
            args = json.loads(p[2:])
            data = args[1]["data"] if args[0].endswith(":update") else args[1]
            if "n" in data:
                found.append(data["n"])
    return found


def joined(poller, user=1, **more):
    """A session in "/" whose CONNECT has been fetched."""
    s = sid()
    assert poller.open(s).what == OK
    more.setdefault("pid", unique("pid"))
    assert poller.apply(s, wire.connect(who=wire.caller(user), **more)).what == OK
    first = poller.poll(s, tag=1)
    assert json.loads(first[0][2:])["pid"] == more["pid"]
    return s


def drop(poller, s):
    assert poller.apply(s, wire.CLOSE).what == OK


def test_what_is_held_gets_the_event_with_its_offset(quiet, poller):
    s = joined(poller, 10)
    held = poller.hold(s, tag=2)
    event = publish(quiet, 1)
    packet, = poller.answer(held)
    assert packet == '42["websites:update",{"eventId":%d,"type":"update","data":{"n": 1}},"%s:%d"]' % (
        event, quiet.status()["epoch"], event)
    drop(poller, s)


def test_a_named_event_is_its_payload(quiet, poller):
    s = joined(poller, 11)
    held = poller.hold(s, tag=2)
    publish(quiet, 2, name="custom")
    assert poller.answer(held)[0].startswith('42["custom",{"n": 2},"')
    drop(poller, s)


def test_only_what_it_may_have_reaches_it(quiet, poller):
    s = joined(poller, 12)
    held = poller.hold(s, tag=2)
    publish(quiet, 1, tenant=2)
    publish(quiet, 2, topic="line-groups")
    publish(quiet, 3, room="user:13")
    publish(quiet, 4, topic="_auth")
    publish(quiet, 5, topic="anything", room="user:12")
    assert numbers(poller.answer(held)) == [5]
    drop(poller, s)


def test_the_same_get_again_gets_the_same_answer(quiet, poller):
    s = joined(poller, 14)
    held = poller.hold(s, tag=2)
    publish(quiet, 1)
    first = poller.answer(held)
    event = publish(quiet, 2)
    wait_until(lambda: quiet.status()["tail"] >= event)
    assert poller.apply(s, emit('"reply",{}')).what == OK
    assert numbers(poller.poll(s, tag=2, again=True))[:1] == numbers(first)
    later = poller.poll(s, tag=2, again=True)  # with what has come since
    assert numbers(later) == [1, 2] and '"reply"' in "".join(later)
    held = poller.hold(s, tag=3)
    publish(quiet, 3)
    assert numbers(poller.answer(held)) == [3]
    drop(poller, s)


def test_a_get_without_a_tag_is_told_again_only_when_its_process_is_gone(quiet, poller):
    s = joined(poller, 15)
    other = Process(quiet.env["CMDB_POLLER_SOCKET"])
    held = other.hold(s)
    publish(quiet, 1)
    assert numbers(other.answer(held)) == [1]
    held = other.hold(s)
    publish(quiet, 2)
    assert numbers(other.answer(held)) == [2]
    other.close()
    processes = quiet.status()["connections"]
    wait_until(lambda: quiet.status()["connections"] <= processes)
    assert numbers(poller.poll(s)) == [2]
    held = poller.hold(s)
    publish(quiet, 3)
    assert numbers(poller.answer(held)) == [3]
    drop(poller, s)


def test_a_get_whose_process_died_is_taken_over(quiet, poller):
    s = joined(poller, 16)
    other = Process(quiet.env["CMDB_POLLER_SOCKET"])
    first = other.held(s, tag=7)
    second = poller.hold(s, tag=7, again=True)
    assert other.answer(first) == ["6"]
    publish(quiet, 1)
    assert numbers(poller.answer(second)) == [1]
    other.close()
    drop(poller, s)


def test_two_gets_at_once_end_the_session(quiet, poller):
    s = joined(poller, 17)
    first = poller.hold(s, tag=2)
    assert poller.poll(s, tag=3) == Done(BAD, "")
    assert poller.answer(first) == ["1"]
    assert poller.poll(s, tag=4) == Done(UNKNOWN, "")


def test_released_get_gets_what_there_is_or_a_noop(quiet, poller):
    s = joined(poller, 18)
    held = poller.hold(s, tag=2)
    poller.release(held)
    assert poller.answer(held) == ["6"]
    drop(poller, s)


def test_hang_up_ends_it_and_its_client_may_come_back(quiet, poller):
    pid = unique("pid")
    s = joined(poller, 19, pid=pid)
    poller.cancel(poller.hold(s, tag=2))
    assert poller.poll(s, tag=3) == Done(UNKNOWN, "")
    event = publish(quiet, 1)
    t = sid()
    poller.open(t)
    assert poller.lookup(t, pid=pid).has_before
    assert poller.apply(t, wire.connect(pid=pid, who=wire.caller(19), at=event - 1,
                                        flags=wire.OFFSETS | wire.RESUMES)).what == OK
    wait_until(lambda: quiet.status()["tail"] >= event)
    got = poller.poll(t, tag=1)
    assert got[0].startswith("40{") and numbers(got) == [1]
    drop(poller, t)


def test_nobody_elses_pid(quiet, poller):
    pid = unique("pid")
    s = joined(poller, 20, pid=pid)
    t = sid()
    poller.open(t)
    assert poller.apply(t, wire.connect(pid=pid, who=wire.caller(21))).what == STALE
    assert poller.apply(t, wire.connect(pid=pid, who=wire.caller(20, tenant=2))).what == STALE
    held = poller.hold(s, tag=2)
    publish(quiet, 1)
    assert numbers(poller.answer(held)) == [1]
    assert poller.poll(s, tag=3, user=21) == Done(FORBIDDEN, "")
    drop(poller, s)
    drop(poller, t)


def test_a_seemingly_living_session_is_taken_over_by_its_client(quiet, poller):
    """It never closed: half-open. What was queued for it and not fetched comes along."""
    pid = unique("pid")
    s = joined(poller, 22, pid=pid)
    assert poller.apply(s, emit('"reply",{"n":77}')).what == OK
    t = sid()
    poller.open(t)
    cursor = quiet.status()["tail"]
    for _ in range(2):
        assert poller.apply(t, wire.connect(pid=pid, who=wire.caller(22), at=cursor,
                                            flags=wire.OFFSETS | wire.RESUMES)).what == OK
        got = poller.poll(t, tag=1)
        assert numbers(got) == [77]
        assert poller.poll(s, tag=9) == Done(UNKNOWN, "")
        s, t = t, sid()
        poller.open(t)
    drop(poller, s)
    drop(poller, t)


def test_a_snapshot_and_the_stream_meet_exactly(quiet, poller):
    s = joined(poller, 23)
    held = poller.hold(s, tag=2)
    before = publish(quiet, 1)
    assert numbers(poller.answer(held)) == [1]
    held = poller.hold(s, tag=3)
    event = publish(quiet, 2)
    assert numbers(poller.answer(held)) == [2]
    # A snapshot that does not show event 2, which the client has had: told again behind it.
    assert poller.apply(s, emit('"websites:initial",{"n":0}', flags=wire.SYNC, topic="websites",
                                at=before)).what == OK
    assert numbers(poller.poll(s, tag=4)) == [0, 2]
    # One that shows events 3 and 4, which the client has not had yet: they are left out, what is
    # of other topics is not.
    publish(quiet, 3)
    at = publish(quiet, 4)
    publish(quiet, 5, room="user:24")
    wait_until(lambda: quiet.status()["tail"] > at)
    assert poller.apply(s, emit('"websites:initial",{"n":9}', flags=wire.SYNC, topic="websites",
                                at=at)).what == OK
    assert numbers(poller.poll(s, tag=5)) == [9]
    held = poller.hold(s, tag=6)
    publish(quiet, 6)
    assert numbers(poller.answer(held)) == [6]
    assert event > before
    drop(poller, s)


def test_an_apply_done_already_is_not_done_again(quiet, poller):
    s = joined(poller, 24)
    for again in (False, True):
        assert poller.apply(s, wire.send("4one"), tag=99, again=again).what == OK
    assert poller.poll(s, tag=2) == ["4one"]
    drop(poller, s)


def test_a_lost_pong_is_a_pong_and_more_ends_the_session(quiet, poller):
    s = joined(poller, 25)
    assert poller.apply(s, wire.lost(1)).what == OK
    held = poller.hold(s, tag=2)
    assert poller.apply(s, wire.lost(20)).what == BAD
    assert poller.answer(held) == ["1"]


def test_who_does_not_fetch_is_told_to_start_anew(quiet, poller):
    pid = unique("pid")
    s = joined(poller, 26, pid=pid)
    for n in range(10):
        if poller.apply(s, emit('"big",{"text":"%s"}' % ("x" * 1000))).what != OK:
            break
    assert '"resync"' in poller.poll(s, tag=2)[-1]
    assert poller.poll(s, tag=3) == ["6", "1"]
    assert poller.poll(s, tag=4) == Done(UNKNOWN, "")
    t = sid()
    poller.open(t)
    state = poller.lookup(t, pid=pid)
    assert state.has_before and b"\xff" * 8 in state.rest  # from there nobody goes on
    drop(poller, t)


def test_a_list_may_be_larger_than_the_queue(quiet, poller):
    s = joined(poller, 35)
    rows = '"%s:initial",{"text":"%s"}'
    for topic in ("websites", "nodes"):
        body = rows % (topic, "x" * 6000)
        ops = (emit('"before",{}'), wire.rows(body, topic, quiet.status()["tail"]),
               emit('"after",{}'))
        assert poller.apply(s, *ops).what == wire.LACKS
        poller.send(wire.BODY, wire.blob(body))
        assert poller.apply(s, *ops).what == OK
        assert poller.apply(s, emit('"later",{}')).what == OK
    got = poller.poll(s, tag=2)
    assert [json.loads(p[2:])[0] for p in got if p.startswith("42")] == [
        "before", "websites:initial", "after", "later",
        "before", "nodes:initial", "after", "later"]
    drop(poller, s)


def test_closed_with_no_get_held_the_next_is_told(quiet, poller):
    s = joined(poller, 27)
    assert poller.apply(s, b"\x0a" + wire.text("/") + wire.text("kicked") + wire.text("")).what == OK
    got = poller.poll(s, tag=2)
    # Alone: a stock client would take a close before what came with it.
    assert '"kicked"' in got[0] and got[1:] == ["41"]
    assert poller.poll(s, tag=2, again=True) == got
    assert poller.poll(s, tag=3) == ["6", "1"]
    assert poller.poll(s, tag=4) == Done(UNKNOWN, "")


def test_after_nonsense_the_session_is_not_there_any_more(quiet, poller):
    for is_held in (True, False):
        s = joined(poller, 32)
        held = poller.hold(s, tag=2) if is_held else None
        assert poller.apply(s, b"\x04" + wire.text("nonsense") + wire.text("")).what == OK
        if held:
            assert poller.answer(held) == ["1"]
        assert poller.poll(s, tag=3) == Done(UNKNOWN, "")


def test_a_get_that_comes_behind_its_clients_close(quiet, poller):
    """Both were under way at once, through different processes."""
    s = joined(poller, 33)
    drop(poller, s)
    assert poller.poll(s, tag=2) == ["6"]
    assert poller.poll(s, tag=3) == Done(UNKNOWN, "")


def test_limit_per_user(quiet, poller):
    made = [joined(poller, 28) for _ in range(3)]
    s = sid()
    poller.open(s)
    assert poller.apply(s, wire.connect(who=wire.caller(28), pid=unique("pid"))).what == OK
    assert poller.poll(s, tag=1) == [
        '44{"message":"Connection limit reached","data":{"code":429,"retry_after":10}}']
    drop(poller, made.pop())
    assert poller.apply(s, wire.connect(who=wire.caller(28), pid=unique("pid"))).what == OK
    for one in [*made, s]:
        drop(poller, one)


def test_events_above_the_rate_are_not_allowed(quiet, poller):
    s = joined(poller, 29)
    allowed = [poller.lookup(s, events=150).allowed for _ in range(3)]
    assert allowed[0] == 150 and 50 <= allowed[1] < 150 and allowed[2] < 50
    drop(poller, s)


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM])
def test_a_new_poller_goes_on_to_the_packet(quiet, poller, sig):
    s = joined(poller, 30)
    held = poller.hold(s, tag=2)
    publish(quiet, 1)
    assert numbers(poller.answer(held)) == [1]  # may have arrived, or not
    assert poller.apply(s, emit('"reply",{"n":70}'), tag=50).what == OK
    quiet.kill("poller", sig)
    poller = again(quiet, poller)
    assert poller.apply(s, emit('"reply",{"n":70}'), tag=50).what == OK  # the same POST again
    publish(quiet, 2)
    wait_until(lambda: (quiet.status() or {}).get("tail", 0) >= 2)
    # It did not arrive: the same GET.
    assert numbers(poller.poll(s, tag=2)) in ([1, 70], [70, 1], [1, 70, 2], [70, 1, 2])
    # It did: the next GET has what follows.
    publish(quiet, 3)
    got, tag = [], 3
    while 3 not in got:
        got += numbers(poller.poll(s, tag=tag))
        tag += 1
    assert got in ([2, 3], [3])
    drop(poller, s)
    poller.close()


def test_sessions_of_before_a_reboot_come_out_of_the_table(quiet, poller):
    pid = unique("pid")
    s = joined(poller, 31, pid=pid)

    def is_saved():
        with quiet.connect() as db, db.cursor() as c:
            c.execute("SELECT COUNT(*) FROM ws_sessions WHERE user_id = 31 AND ended_at IS NULL")
            return c.fetchone()[0] == 1

    wait_until(is_saved)
    journal = quiet.env["CMDB_POLLER_SOCKET"] + ".sessions"
    assert os.path.exists(journal)
    os.unlink(journal)
    quiet.kill("poller")
    poller = again(quiet, poller)
    # When it was last pinged nobody knows.
    assert poller.poll(s, tag=2) == ["2"]
    held = poller.hold(s, tag=3)
    publish(quiet, 1)
    assert 1 in numbers(poller.answer(held))
    drop(poller, s)
    poller.close()


def test_a_tokens_end_is_announced_and_comes(quiet, poller):
    soon = int(time.time()) + 3
    s = sid()
    poller.open(s)
    poller.apply(s, wire.connect(pid=unique("pid"), who=wire.caller(34, expires=soon)))
    got = poller.poll(s, tag=1) + poller.poll(s, tag=2)
    assert got[0].startswith("40{") and got[1].startswith('420["token_expiring",{"expires_in":')
    before = quiet.status()["sessions"]["acknowledged"]
    assert poller.apply(s, wire.acked(0)).what == OK
    assert quiet.status()["sessions"]["acknowledged"] == before + 1
    got = poller.poll(s, tag=3)
    assert time.time() >= soon and '"token_expired"' in got[0] and got[1] == "41"
    assert poller.poll(s, tag=4) == ["6", "1"]


def test_a_poller_that_was_held_up_gives_its_clients_time(own_stack):
    stack = own_stack("socketio.ping_interval_ms=1000", "socketio.ping_timeout_ms=1000")
    poller = Process(stack.env["CMDB_POLLER_SOCKET"])
    s = joined(poller)
    assert poller.poll(s, tag=2) == ["2"]
    os.kill(stack.pid("poller"), signal.SIGSTOP)
    time.sleep(4)  # the time it is held up
    os.kill(stack.pid("poller"), signal.SIGCONT)
    assert poller.apply(s, wire.PONG).what == OK
    assert poller.poll(s, tag=3) == ["2"]
    assert poller.apply(s, wire.PONG).what == OK
    assert poller.poll(s, tag=4) == ["2"]
    wait_until(lambda: stack.status()["sessions"]["ended"]["ping_timeout"] == 1)
    assert poller.poll(s, tag=5) == Done(UNKNOWN, "")
    poller.close()


def test_the_oldest_of_too_many_handshakes_goes(own_stack):
    stack = own_stack("socketio.max_pending=5", "socketio.max_sessions=8", PING)
    poller = Process(stack.env["CMDB_POLLER_SOCKET"])
    s = joined(poller)
    flood = [sid() for _ in range(20)]
    for one in flood:
        assert poller.open(one).what == OK
    assert poller.poll(flood[0]) == Done(UNKNOWN, "")
    held = poller.hold(s, tag=2)
    publish(stack, 1)
    assert numbers(poller.answer(held)) == [1]
    for _ in range(2):
        joined(poller)
    assert stack.status()["sessions"]["joined"] == 3
    for _ in range(5):
        poller.open(sid())
    # All places are taken: those without a namespace make room, but for them there is none.
    for n in range(4, 9):
        joined(poller)
        assert stack.status()["sessions"]["joined"] == n
    assert stack.status()["sessions"]["open"] == 0
    assert poller.open(sid()) == Done(LIMIT, "Connection limit reached")
    poller.close()


def test_those_that_may_come_back_are_bounded(own_stack):
    stack = own_stack("socketio.max_sessions=5", PING)
    poller = Process(stack.env["CMDB_POLLER_SOCKET"])
    for _ in range(12):
        drop(poller, joined(poller))
    wait_until(lambda: stack.status()["sessions"]["closing"] == 0)
    assert stack.status()["sessions"]["recoverable"] == 5
    poller.close()
