"""How many may be connected: of the host, a user, an API key, an address. Who comes past it is told,
counted by which limit it was, and changes nothing for those who are there."""
import threading

import pytest

from conftest import wait_until
from sio import Client, Refused
from test_metrics import read, value

REACHED = "Connection limit reached"


def refused(api, reason, name="websocket_connections_refused_total"):
    return value(read(api), f'{name}{{reason="{reason}"}}')


def join(stack, api, **more):
    c = Client(stack.url, **more)
    kind, got = c.connect({"token": api.token} if api.token else None)
    return c, kind, got


def still_served(clients):
    for c in clients:
        events, ack = c.ask("nodes")
        assert ack["ok"] and "nodes:initial" in dict(events)


def health(stack, path="/api/ws/health"):
    reply = stack.api().get(path)
    return reply.status, (reply.json or {}).get("data")


def test_the_host_is_full(own_stack):
    """The eleventh is refused by whichever process it comes to, and health says so from nine on."""
    stack = own_stack("socketio.max_sessions=10")
    admin = stack.admin()
    clients = []
    for n in range(8):
        clients.append(join(stack, admin)[0])
    for path in ("/api/ws/health", "/ws/health"):
        status, data = wait_until(lambda: (h := health(stack, path))[1]["connections"] == 8 and h, 5)
        assert (status, data["maxConnections"], data["healthy"]) == (200, 10, True)
    clients.append(join(stack, admin)[0])
    for _ in range(4):  # of either process
        status, data = wait_until(lambda: (h := health(stack))[1]["connections"] == 9 and h, 5)
        assert (status, data["healthy"]) == (503, False)
    clients.append(join(stack, admin)[0])
    for _ in range(2):
        with pytest.raises(Refused) as refusal:
            Client(stack.url)
        assert refusal.value.status == 403
        assert refusal.value.json == {"code": 4, "message": REACHED}
    wait_until(lambda: refused(admin, "host") == 2)
    still_served(clients)
    for c in clients[:3]:
        c.close()
    wait_until(lambda: health(stack)[0] == 200, 5, "there is room again")
    still_served([*clients[3:], join(stack, admin)[0]])
    assert refused(admin, "address") == refused(admin, "user") == 0


def test_who_has_shown_nothing_makes_room(own_stack):
    stack = own_stack("socketio.max_sessions=3")
    admin = stack.admin()
    clients = [join(stack, admin)[0] for _ in range(2)]
    Client(stack.url)
    clients.append(join(stack, admin)[0])
    still_served(clients)
    wait_until(lambda: value(read(admin), "websocket_connections_evicted_total") == 1)
    assert refused(admin, "host") == 0


def test_a_user_or_key_has_enough(own_stack):
    """It counts sockets, whichever session they are on, and nobody else's."""
    stack = own_stack("socketio.max_per_user=2")
    admin, viewer, key = stack.admin(), stack.viewer(), stack.key("nodes:read")
    mine = [join(stack, viewer) for _ in range(2)]
    assert [kind for _, kind, _ in mine] == ["0", "0"]
    past, kind, got = join(stack, viewer)
    assert (kind, got["message"], got["data"]["code"]) == ("4", REACHED, 429)
    wait_until(lambda: refused(admin, "user") == 1)
    keyed = [join(stack, key, headers={"X-API-Key": key.key}) for _ in range(3)]
    assert [kind for _, kind, _ in keyed] == ["0", "0", "4"]
    assert join(stack, admin)[1] == "0", "another user"
    still_served([c for c, _, _ in mine])
    mine[0][0].close()
    wait_until(lambda: join(stack, viewer)[1] == "0", 5, "a place of its own again")


def test_an_address_has_enough(own_stack):
    stack = own_stack("socketio.max_per_address=2", "events.max_per_address=1")
    admin = stack.admin()
    clients = [join(stack, admin)[0] for _ in range(2)]
    with pytest.raises(Refused) as refusal:
        Client(stack.url)
    assert (refusal.value.status, refusal.value.json["message"]) == (403, REACHED)
    wait_until(lambda: refused(admin, "address") == 1)
    still_served(clients)


@pytest.mark.parametrize("reason", ["address", "user"])
def test_requests_that_wait_are_counted_likewise(own_stack, reason):
    stack = own_stack(f"events.max_per_{reason}=1")
    admin, other = stack.admin(), stack.admin()
    first = threading.Thread(target=lambda: other.poll(other.tail(), timeout=50, topics="nodes"))
    first.start()
    wait_until(lambda: stack.status()["waiters"] == 1)
    past = admin.get(f"/events?since={admin.tail()}&timeout=50&topics=websites")
    assert (past.status, past.error["code"]) == (429, "too_many_held")
    wait_until(lambda: refused(admin, reason, "cmdb_poller_waits_refused_total") == 1)
    with stack.connect() as db, db.cursor() as c:
        c.execute("INSERT INTO ws_events (topic, event_type, payload) VALUES ('nodes', 'add', '1')")
    first.join()


def test_a_socket_says_too_much(own_stack):
    """Events past the rate are answered so, each, and counted; the socket goes on."""
    stack = own_stack("socketio.events_per_s=5")
    admin = stack.admin()
    c = join(stack, admin)[0]
    c.post(*(f'42{i}["ping"]' for i in range(15)))
    answers = [c.ack(i)[0] for i in range(15)]
    limited = [a for a in answers if a.get("error", {}).get("code") == "rate_limited"]
    assert 4 <= len(limited) <= 6
    wait_until(lambda: value(read(admin), "websocket_messages_limited_total") == len(limited))
    wait_until(lambda: c.ask("nodes")[1].get("ok"), 5, "it goes on")
