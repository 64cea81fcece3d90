"""What comes to /socket.io/ from clients that are broken or mean no good: each gets the answer that
is written down, nobody else notices, and no program goes down over it."""
import base64
import itertools
import json
import os
import random
import re
import socket
import sys
import threading
import time
import urllib.parse

import pytest

from conftest import ROOT, SLOWER, TEST_SETS, Stack, stack_home, unique

sys.path.append(str(ROOT / "tests/clients"))
from session import OPEN, SEP, Session, error, is_gone  # noqa: E402

PROGRAMS = ["poller", "fcgi-1", "fcgi-2"]
MAX_PENDING = 500
EVENTS_PER_S = 100  # and twice as many at once
HANDSHAKE = "/socket.io/?" + urllib.parse.urlencode(OPEN)


@pytest.fixture(scope="module")
def stack():
    """No ping comes between what a test looks at. AddressSanitizer is not to keep what was freed:
    memory is looked at."""
    s = Stack(stack_home(), [*TEST_SETS, "socketio.ping_interval_ms=600000",
                             f"socketio.max_pending={MAX_PENDING}"])
    with pytest.MonkeyPatch.context() as patch:
        given = os.environ.get("ASAN_OPTIONS", "")
        patch.setenv("ASAN_OPTIONS", f"{given}:quarantine_size_mb=1".lstrip(":"))
        s.up()
    yield s
    s.discard()


@pytest.fixture(scope="module")
def users(stack):
    """Two of one tenant, logged in."""
    tenant = stack.tenant()
    return [stack.user(tenant) for _ in range(2)]


class Control:
    """A client like any other, which has to be served whatever happens to the rest."""

    def __init__(self, stack, user):
        self.session, self.user = Session(stack.api()), user.clone()
        self.session.connect(user.token)

    def is_served(self):
        """An event reaches it, and what it emits is answered as if nobody else were there."""
        row = self.user.post("/api/v1/line-groups/create", {"name": unique("group")}).data
        assert self.session.post('421["no:such"]').body == b"ok"
        got = []
        while len(got) < 2:
            got += [p for p in self.session.get() if p.startswith(("42", "43"))]
        event, ack = sorted(got)
        name, update, _ = json.loads(event[2:])
        assert (name, update["data"]) == ("line-groups:update", row)
        assert ack[:3] == "431" and json.loads(ack[3:])[0]["error"]["code"] == "unknown_event"
        return True

    def close(self):
        assert self.session.post("41", "1").body == b"ok"
        self.session.api.close()
        self.user.close()


@pytest.fixture(autouse=True)
def control(stack, users):
    """Each test ends with the processes it began with, and with this client still served."""
    before = [stack.pid(name) for name in PROGRAMS]
    client = Control(stack, users[0])
    yield client
    assert client.is_served()
    assert [stack.pid(name) for name in PROGRAMS] == before
    client.close()


@pytest.fixture
def choose():
    seed = random.SystemRandom().randrange(10 ** 6)
    print(f"seed {seed}")
    return random.Random(seed)


def joined(api, user):
    s = Session(api)
    s.connect(user.token)
    return s


def at_once(n, work):
    """What work(0), ... work(n - 1) return, each done by a thread of its own."""
    results = [None] * n

    def run(i):
        results[i] = work(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def raw(stack, method, query, body=b"", length=None):
    """A connection on which a request was sent, byte by byte as it is given here."""
    s = socket.create_connection(("127.0.0.1", stack.port), timeout=30 * SLOWER)
    s.sendall(b"%s /socket.io/?%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
              b"Content-Length: %d\r\n\r\n%s" % (method, query, length or len(body), body))
    return s


def answer(s):
    """Status and body of what comes."""
    got = b""
    with s:
        while more := s.recv(65536):
            got += more
    head, _, body = got.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def accepted_or_ended(s, reply):
    """A body was taken, and the session goes on; or refused, and the session is gone."""
    if reply.status == 200:
        assert reply.body == b"ok" and s.post("3").body == b"ok"
        return True
    error(reply, 400, 3, "Bad request")
    return not is_gone(s)


# ---- nonsense ----

def test_random_bodies(api, choose):
    begin = ["", "4", "42", "40", "451-", "b", "43", "6", '42["a",', "40{", "3" + SEP]
    for _ in range(150):
        body = choose.choice(begin).encode() + choose.randbytes(choose.choice([1, 2, 9, 99, 3000]))
        s = Session(api)
        reply = s.request("POST", body)
        if not body.startswith(b"1"):  # a close, whatever follows
            accepted_or_ended(s, reply)


@pytest.mark.parametrize("whole", [
    '42["request:line-groups",{"lastEventId":0}]', '4212["auth:refresh",{"token":"\u00e9\u6f22"}]',
    '451-3["x",{"_placeholder":true,"num":0}]', '40/admin,{"token":"x"}', '430[{"ok":true}]',
], ids=lambda whole: whole[:6])
def test_packets_cut_off_anywhere(api, users, whole):
    data, s = whole.encode(), None
    for n in range(len(data)):
        s = s or joined(api, users[1])
        if not accepted_or_ended(s, s.request("POST", data[:n])):
            s = None


@pytest.mark.parametrize("body", [
    "4" * 999999, SEP * 999999, "42" + "[" * 900000, '42["a",' + '{"a":' * 100000,
    "42" + "9" * 900000, "40/" + "x" * 900000 + ",{}", '42["' + "x" * 900000 + '"]',
    '42["a"' + ",0" * 400000 + "]", "40" + '{"a":1,' + '"b":1,' * 100000 + '"c":1}',
    '4510-["a"]' + SEP + "b" + "A" * 900000, "b" + "A" * 900000, ("3" + SEP) * 400000 + "3",
], ids=lambda body: repr(body[:10]))
def test_bodies_as_large_as_may_be(api, users, body):
    s = joined(api, users[1])
    accepted_or_ended(s, s.request("POST", body))


def test_packets_with_more_attachments_than_are_kept(stack, api, users):
    """What is kept of a packet that is not whole yet is bounded; past it, it is no good."""
    s = joined(api, users[1])
    size = rss(stack.pid("poller"))
    assert s.post('4510-3["x",' + ",".join('{"_placeholder":true,"num":%d}' % i
                                           for i in range(10)) + "]").body == b"ok"
    for _ in range(10):
        assert s.request("POST", "b" + "A" * 980000).body == b"ok"
    assert acks(s.get()) == [(3, "bad_arguments")]
    # All of it would be 7 MB.
    assert rss(stack.pid("poller")) - size < 5 << 20


def test_random_queries(stack, choose):
    keys = ["EIO", "transport", "sid", "t", "token", "%00", ""]
    for _ in range(300):
        pairs = []
        for key in ["EIO", "transport", *choose.choices(keys, k=choose.randrange(4))]:
            value = choose.choice([b"4", b"polling", choose.randbytes(choose.choice([1, 24, 900]))])
            if choose.random() < 0.8:
                value = urllib.parse.quote_from_bytes(value).encode()
            pairs.append(key.encode() + b"=" + value)
        query = b"&".join(pairs).translate(None, b" \r\n#")
        status, body = answer(raw(stack, choose.choice([b"GET", b"POST", b"DELETE"]), query))
        if status == 200:
            assert body.startswith(b'0{"sid":"'), (query, body)
        else:
            assert 400 <= status < 500, (query, status, body)


def test_requests_that_break_off(stack):
    query = urllib.parse.urlencode(OPEN).encode()
    for _ in range(50):
        raw(stack, b"POST", query + b"&sid=x", b"4" * 10, 1000).close()
        raw(stack, b"GET", query).close()


# ---- sids ----

def test_sids_are_not_to_be_guessed(stack):
    def some(_):
        api = stack.api()
        sids = [json.loads(api.get(HANDSHAKE).body[1:])["sid"] for _ in range(500)]
        api.close()
        return sids

    sids = sum(at_once(4, some), [])
    assert all(re.fullmatch("[A-Za-z0-9_-]{24}", sid) for sid in sids)
    bytes_ = [base64.urlsafe_b64decode(sid) for sid in sids]
    assert len({b[:2] for b in bytes_}) == 1  # the host
    # Half of the random bytes would do to tell them apart, and each of them takes all values.
    assert len({b[2:10] for b in bytes_}) == len({b[10:] for b in bytes_}) == len(sids) == 2000
    assert all(len({b[i] for b in bytes_}) > 240 for i in range(2, 18))


def test_wrong_sids(api, users, control):
    s = joined(api, users[0])
    reply, sid = s.held(), s.sid
    wrong = [sid[:-1], sid + "A", sid[1:], sid.swapcase(), sid + " ", " " + sid, sid + sid,
             sid + "=", sid + "'--", "../" + sid, "A" * 24, "A" * 8000, "\xff" * 24, "*", sid[::-1]]
    for i in range(len(sid)):
        wrong.append(sid[:i] + ("A" if sid[i] != "A" else "B") + sid[i + 1:])
    for one in wrong:
        error(s.request("GET", sid=one), 400, 1, "Session ID unknown")
        error(s.request("POST", "1", sid=one), 400, 1, "Session ID unknown")
    assert s.request("GET", sid=sid + "\0").status == 400
    control.is_served()
    assert reply().body.startswith(b'42["line-groups:update"')


def test_anothers_sid(api, users, control):
    """With a token of one's own it is no good, and its owner does not notice."""
    s = joined(api, users[0])
    reply, other = s.held(), api.clone(token=users[1].token)
    for _ in range(20):
        error(s.request("GET", api=other, t="2"), 403, 4, "Forbidden")
        for body in ("1", "41", '42["no:such"]', "40", "nonsense"):
            error(s.request("POST", body, api=other), 403, 4, "Forbidden")
    other.close()
    control.is_served()
    assert reply().body.startswith(b'42["line-groups:update"')


# ---- too much ----

def rss(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+) kB", f.read())[1]) * 1024


def test_handshakes_and_nothing_more(stack, users, control):
    """6,000 of them: the oldest go, memory does not grow, and clients come in all the while."""
    def some(n):
        api = stack.api()
        sids = [json.loads(api.get(HANDSHAKE, headers={"User-Agent": "x" * 3000}).body[1:])["sid"]
                for _ in range(n)]
        api.close()
        return sids

    before = stack.status()["sessions"]["evicted"]
    oldest = some(1)[0]
    at_once(3, lambda _: some(333))
    size, is_over = rss(stack.pid("poller")), threading.Event()
    made = []

    def flood():
        made.extend(sum(at_once(4, lambda _: some(1250)), []))
        is_over.set()

    stranger = stack.user(stack.tenant())
    flooding = threading.Thread(target=flood)
    flooding.start()
    while not is_over.is_set():
        assert control.is_served()
        newcomer = Control(stack, stranger)
        assert newcomer.is_served()
        newcomer.close()
    flooding.join()
    # Each shows about 3 KB: 15 MB, were they kept.
    assert rss(stack.pid("poller")) - size < 5 << 20
    sessions = stack.status()["sessions"]
    assert sessions["open"] <= MAX_PENDING
    assert sessions["evicted"] - before >= 6000 - MAX_PENDING
    api = stack.api()
    for sid, is_there in ((oldest, False), (made[-1], True)):
        reply = api.request("POST", f"{HANDSHAKE}&sid={sid}", "3")
        assert (reply.status == 200) == is_there, reply
    api.close()


def acks(packets):
    """{id: error code} of the acknowledgements among packets."""
    found = [re.fullmatch(r'43(\d+)\[\{"error":\{"code":"(\w+)".*', p) for p in packets]
    return [(int(m[1]), m[2]) for m in found if m]


def test_more_events_than_allowed(stack, api, users, control):
    s, n = joined(api, users[1]), 3000
    assert s.post(*(f'42{i}["no:such"]' for i in range(n))).body == b"ok"
    got = []
    while len(got) < n:
        got += acks(s.get())
    assert sorted(i for i, _ in got) == list(range(n))
    served = [i for i, code in got if code == "unknown_event"]
    assert len(served) in range(EVENTS_PER_S, 2 * EVENTS_PER_S + 1)
    assert served == sorted(served) and {code for i, code in got if i not in served} == {
        "rate_limited"}
    # Who asks for no acknowledgement is told once a POST.
    assert s.post(*['42["no:such"]'] * n).body == b"ok"
    told = [json.loads(p[2:]) for p in s.get()]
    assert [(name, about["code"]) for name, about, _ in told] == [("error", "rate_limited")]


def test_a_storm_of_posts(stack, api, users, control):
    s, threads, posts, events = joined(api, users[1]), 4, 25, 20
    began, n = time.monotonic(), threads * posts * events
    got, serial = [], itertools.count()

    def post(_):
        client = stack.api()
        for _ in range(posts):
            body = SEP.join(f'42{next(serial)}["no:such"]' for _ in range(events))
            assert s.request("POST", body, api=client).body == b"ok"
        client.close()
        return True

    def fetch():
        client = stack.api()
        while len(got) < n:
            got.extend(acks(s.request("GET", api=client).body.decode().split(SEP)))
        client.close()

    fetching = threading.Thread(target=fetch)
    fetching.start()
    results = []
    storm = threading.Thread(target=lambda: results.extend(at_once(threads, post)))
    storm.start()
    while storm.is_alive():
        assert control.is_served()
    storm.join()
    fetching.join(60 * SLOWER)
    assert results == [True] * threads and sorted(i for i, _ in got) == list(range(n))
    served = sum(code == "unknown_event" for _, code in got)
    assert served <= 2 * EVENTS_PER_S + EVENTS_PER_S * (time.monotonic() - began) + 1
    assert {code for _, code in got} == {"unknown_event", "rate_limited"}


def test_many_gets_at_once(stack, api, users):
    s, n = joined(api, users[1]), 20
    gets = [f"{urllib.parse.urlencode(s.query)}&t={i}".encode() for i in range(n)]
    got = at_once(n, lambda i: answer(raw(stack, b"GET", gets[i])))
    assert [g for g in got if g[0] == 200] == [(200, b"1")]
    codes = sorted(json.loads(body)["code"] for status, body in got if status == 400)
    assert codes == [1] * (n - 2) + [3]
    is_gone(s)


def test_a_client_that_never_fetches(stack, api, users, control):
    s, n = joined(api, users[1]), 0
    before = stack.status()["sessions"]["queue_overflows"]
    while stack.status()["sessions"]["queue_overflows"] == before:
        assert n < 40, "its queue has no bound"
        assert s.post(*(f'42{n}{i:03}["no:such"]' for i in range(1000))).body == b"ok"
        n += 1
    # Not before there was 1 MiB.
    answer = (f'43{n}999[{{"error":{{"code":"rate_limited","message":'
              '"Too many events; send fewer a second.","retry_after":1}}]')
    assert n * 1000 * len(SEP + answer) > 1 << 20
    packets = s.get()
    assert [json.loads(p[2:])[:2] for p in packets] == [["resync", {"reason": "too_slow"}]]
    assert s.get() == ["6", "1"]
    is_gone(s)
