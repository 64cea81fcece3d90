"""Who is asking: logins, tokens, API keys, roles, tenants."""
import base64
import hashlib
import hmac
import json
import threading
import time

import pytest

from conftest import SLOWER, unique, wait_until

LOGIN, REFRESH, LOGOUT, ME = (f"/api/v1/auth/{x}" for x in ("login", "refresh", "logout", "me"))
PASSWORD = "correct horse 7"


def refused(reply, code, status=401):
    assert reply.status == status, reply
    assert reply.error["code"] == code, reply
    if status == 401:
        assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    return reply


def login(api, username, password):
    return api.post(LOGIN, {"username": username, "password": password})


# ---- login and me ----

def test_login_answers_as_documented(stack, api):
    data = login(api, "admin", stack.env["CMDB_ADMIN_PASSWORD"]).data
    assert set(data) == {"access_token", "refresh_token", "token_type", "expires_in", "user"}
    assert data["token_type"] == "Bearer" and data["expires_in"] == 7200
    assert data["user"]["username"] == "admin" and data["user"]["roles"] == ["admin"]
    claims = json.loads(b64decode(data["access_token"].split(".")[1]))
    assert set(claims) >= {"sub", "name", "tenant", "roles", "departments", "jti", "iat", "nbf",
                           "exp", "iss", "aud"}
    assert claims["exp"] - claims["iat"] == 7200


def test_me_says_who_asks(stack):
    user = stack.user(roles=["editor", "viewer"])
    me = user.get(ME).data
    assert me["username"] == user.user["username"]
    assert set(me["roles"]) == {"editor", "viewer"}
    assert me["tenant"] == "default" or me["tenant"]["name"] == "default"
    assert "password" not in json.dumps(me)


def test_wrong_password_and_unknown_user_are_told_the_same(stack, api):
    user = stack.user()
    wrong = refused(login(api, user.user["username"], "wrong"), "bad_credentials")
    unknown = refused(login(api, unique("nobody"), "wrong"), "bad_credentials")
    assert wrong.body == unknown.body


@pytest.mark.parametrize("body, fields", [
    ({}, {"username", "password"}),
    ({"username": "admin"}, {"password"}),
    ({"username": 7, "password": ["x"]}, {"username", "password"}),
    ({"username": "admin", "password": None}, {"password"}),
    ({"username": "a" * 65, "password": "x"}, {"username"}),
    ({"username": "admin", "password": "x" * 1025}, {"password"}),
    ({"username": "admin", "password": "x", "otp": "1"}, {"otp"}),
])
def test_login_with_bad_fields_is_422(api, body, fields):
    reply = refused(api.post(LOGIN, body), "validation_failed", 422)
    assert {d["field"] for d in reply.error["details"]} == fields


def test_token_in_the_query_counts_too(stack, admin):
    assert stack.api().get(f"{ME}?token={admin.token}").data["username"] == "admin"
    refused(stack.api().get(f"{ME}?token=x"), "token_invalid")


# ---- refresh ----

def refresh(api, token):
    return api.post(REFRESH, {"refresh_token": token})


def test_refresh_rotates(stack, api):
    user = stack.user()
    data = refresh(api, user.refresh_token).data
    assert data["refresh_token"] != user.refresh_token
    assert data["access_token"] != user.token
    assert stack.api(data["access_token"]).get(ME).data["username"] == user.user["username"]
    refresh(api, data["refresh_token"]).data


def test_reuse_of_a_refresh_token_ends_its_family(stack, api):
    user = stack.user()
    other = stack.api().login(user.user["username"], PASSWORD)
    second = refresh(api, user.refresh_token).data
    refused(refresh(api, user.refresh_token), "bad_credentials")
    # Thief and owner are both out: the family's tokens are worth nothing any more.
    refused(refresh(api, second["refresh_token"]), "bad_credentials")
    wait_until(lambda: stack.api(second["access_token"]).get(ME).status == 401, 1)
    wait_until(lambda: user.get(ME).status == 401, 1)
    # Another login of the same user is another family.
    assert other.get(ME).status == 200
    assert refresh(api, other.refresh_token).status == 200


def test_of_many_refreshes_at_once_one_is_good(stack):
    user = stack.user()
    replies = []
    threads = [threading.Thread(target=lambda: replies.append(
        refresh(stack.api(), user.refresh_token).status)) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(replies) == [200] + [401] * 7


@pytest.mark.parametrize("token", ["", "x", "cmdbr_" + "A" * 43, "x" * 5000, "\u00e4" * 40])
def test_unknown_refresh_tokens_are_refused(api, token):
    assert refresh(api, token).status in (401, 422)


def test_access_token_is_no_refresh_token_nor_the_other_way_round(stack):
    user = stack.user()
    assert refresh(stack.api(), user.token).status in (401, 422)
    refused(stack.api(user.refresh_token).get(ME), "token_invalid")


# ---- logout ----

def test_logout_ends_token_and_family(stack, api):
    user = stack.user()
    assert user.post(LOGOUT).status == 200
    # At once where it was said, within a second everywhere.
    wait_until(lambda: user.get(ME).status == 401, 1)
    refused(user.get(ME), "token_revoked")
    refused(refresh(api, user.refresh_token), "bad_credentials")


# ---- tokens that are none ----

def b64(data):
    if isinstance(data, (dict, list)):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Forge:
    """Makes tokens that differ from a good one of `user` in just what a test says."""

    def __init__(self, stack, user):
        self.key = (stack.dir / "secrets/jwt.key").read_bytes()
        self.claims = json.loads(b64decode(user.token.split(".")[1]))

    def __call__(self, head=None, key=None, hash=hashlib.sha256, sign=True, drop=(), **changes):
        claims = {k: v for k, v in {**self.claims, **changes}.items() if k not in drop}
        text = b64({"typ": "JWT", "alg": "HS256"} if head is None else head) + "." + b64(claims)
        mac = hmac.new(self.key if key is None else key, text.encode(), hash).digest()
        return text + "." + (b64(mac) if sign else "")


@pytest.fixture
def forge(stack, viewer):
    return Forge(stack, viewer)


def test_forge_makes_good_tokens(stack, forge):
    """Else the refusals below would prove nothing."""
    assert stack.api(forge()).get(ME).data["username"] == "viewer"
    assert stack.api(forge(aud=["other", "cmdb"])).get(ME).status == 200


NOW = int(time.time())
ALG_NONE = {"typ": "JWT", "alg": "none"}
FORGED = {
    "alg none, no signature": dict(head=ALG_NONE, sign=False),
    "alg none, signed": dict(head=ALG_NONE),
    "alg None": dict(head={"typ": "JWT", "alg": "None"}, sign=False),
    "alg in lower case": dict(head={"typ": "JWT", "alg": "hs256"}),
    "alg missing": dict(head={"typ": "JWT"}),
    "alg a number": dict(head={"typ": "JWT", "alg": 256}),
    "HS512, signed as such": dict(head={"typ": "JWT", "alg": "HS512"}, hash=hashlib.sha512),
    "HS384, signed as such": dict(head={"typ": "JWT", "alg": "HS384"}, hash=hashlib.sha384),
    "RS256 in the head": dict(head={"typ": "JWT", "alg": "RS256"}),
    "crit": dict(head={"typ": "JWT", "alg": "HS256", "crit": ["x"], "x": 1}),
    "typ is another": dict(head={"typ": "JWE", "alg": "HS256"}),
    "wrong key": dict(key=b"k" * 64),
    "empty key": dict(key=b""),
    "not signed": dict(sign=False),
    "not yet valid": dict(nbf=NOW + 3600),
    "issued in the future": dict(iat=NOW + 3600),
    "other audience": dict(aud="other"),
    "other audiences": dict(aud=["other", "another"]),
    "audience missing": dict(drop=["aud"]),
    "audience a number": dict(aud=1),
    "other issuer": dict(iss="other"),
    "issuer missing": dict(drop=["iss"]),
    "exp missing": dict(drop=["exp"]),
    "exp a text": dict(exp="9999999999"),
    "exp a float": dict(exp=9999999999.5),
    "jti missing": dict(drop=["jti"]),
    "jti not ours": dict(jti="x"),
    "sub missing": dict(drop=["sub"]),
    "sub a number": dict(sub=1),
    "sub with SQL": dict(sub="1 OR 1=1"),
    "sub negative": dict(sub="-1"),
}


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED.keys())
def test_forged_tokens_are_refused(stack, forge, change):
    refused(stack.api(forge(**change)).get(ME), "token_invalid")


def test_expired_token_is_told_so(stack, forge):
    refused(stack.api(forge(iat=NOW - 7200, nbf=NOW - 7200, exp=NOW - 3600)).get(ME),
            "token_expired")


def test_claims_give_no_rights_the_database_does_not(stack, forge):
    """A role in a token is what was true once; what counts is what is true now."""
    client = stack.api(forge(roles=["admin"]))
    assert client.post("/api/v1/line-groups/create", {"name": "x"}).status == 403
    assert stack.api(forge(tenant=4242)).get(ME).status == 401
    assert stack.api(forge(sub="4242424242")).get(ME).status == 401


def mangled(token):
    head, body, mac = token.split(".")
    other = "A" if mac[10] != "A" else "B"
    return {
        "empty": "", "one dot": head + "." + body, "no dots": head, "only dots": "..",
        "four parts": token + ".x", "empty body": head + ".." + mac,
        "signature changed": f"{head}.{body}.{mac[:10]}{other}{mac[11:]}",
        "signature cut": token[:-1], "signature longer": token + "A", "padding": token + "=",
        "blank inside": head + "." + body + ". " + mac, "no base64": head + ".!!!." + mac,
        "body of another": f"{head}.{b64({'sub': '1'})}.{mac}", "huge": "A" * 7000,
        "NUL in the head": b64(b'{"alg":"HS256\0"}') + "." + body + "." + mac,
        "invalid UTF-8": b64(b'{"alg":"\xff"}') + "." + body + "." + mac,
        "list": b64([]) + "." + b64([]) + "." + mac,
    }


@pytest.mark.parametrize("how", mangled("a.b." + "c" * 43))
def test_mangled_tokens_are_refused(stack, viewer, how):
    refused(stack.api(None).get(ME, headers={
        "Authorization": "Bearer " + mangled(viewer.token)[how]}), "token_invalid")


@pytest.mark.parametrize("value, code", [
    ("Basic YWRtaW46YWRtaW4=", "unauthenticated"), ("Bearer", "token_invalid"),
    ("Bearer x", "token_invalid"), ("bearer x", "token_invalid"), ("token x", "unauthenticated")])
def test_other_authorization_headers(api, value, code):
    refused(api.get(ME, headers={"Authorization": value}), code)


def test_one_token_expires_while_in_use(own_stack):
    stack = own_stack("auth.access_ttl_s=30")
    forge, now = Forge(stack, stack.viewer()), int(time.time())
    client = stack.api(forge(exp=now + 3))
    assert client.get(ME).status == 200
    # Not kept in a cache beyond its end.
    reply = wait_until(lambda: (r := client.get(ME)).status != 200 and r, 6)
    refused(reply, "token_expired")
    assert time.time() >= now + 3


# ---- throttling ----

def test_failed_logins_of_an_account_are_throttled(stack, api, db):
    user = stack.user()
    name = user.user["username"]
    for _ in range(5):
        refused(login(api, name, "wrong"), "bad_credentials")
    # Now the right one is not tried either; nor does another case of the name help.
    reply = refused(login(api, name, PASSWORD), "rate_limited", 429)
    assert 1 <= int(reply.headers["Retry-After"]) <= 300
    # Others log in, and who is in stays in.
    assert login(api, "viewer", stack.env["CMDB_VIEWER_PASSWORD"]).status == 200
    assert user.get(ME).status == 200
    with db.cursor() as c:
        c.execute("UPDATE auth_failures SET window_ends = NOW(3) WHERE subject = %s", name.lower())
    assert login(api, name, PASSWORD).status == 200


def test_a_good_login_forgives_the_failures_before(stack, api):
    name = stack.user().user["username"]
    for _ in range(3):
        for _ in range(4):
            refused(login(api, name, "wrong"), "bad_credentials")
        assert login(api, name, PASSWORD).status == 200


def test_guesses_of_an_address_are_throttled(own_stack):
    stack = own_stack("auth.address_failures=10")
    api, viewer = stack.api(), stack.viewer()
    for i in range(10):
        refused(stack.api(f"guess-{i}").get(ME), "token_invalid")
    refused(stack.api("guess").get(ME), "rate_limited", 429)
    assert int(refused(login(api, "nobody", "x"), "rate_limited", 429).headers["Retry-After"]) > 0
    # A good token from the same address is served.
    assert viewer.get(ME).status == 200


# ---- roles, users ----

def test_viewer_reads_and_changes_nothing(viewer):
    assert viewer.get("/api/v1/websites").status == 200
    for path in ("websites", "nodes", "origin-groups"):
        reply = viewer.post(f"/api/v1/{path}/delete", {"ids": [1]})
        refused(reply, "forbidden", 403)


def test_disabled_user_is_out_within_a_second(stack):
    user = stack.user()
    name = user.user["username"]
    assert user.get(ME).status == 200
    stack.ctl("user", "disable", name)
    wait_until(lambda: user.get(ME).status == 401, 1)
    refused(user.get(ME), "token_revoked")
    refused(login(stack.api(), name, PASSWORD), "bad_credentials")
    refused(refresh(stack.api(), user.refresh_token), "bad_credentials")
    stack.ctl("user", "enable", name)
    assert login(stack.api(), name, PASSWORD).status == 200


def test_disabling_by_sql_counts_within_a_second_too(stack, db):
    user = stack.user()
    assert user.get(ME).status == 200
    with db.cursor() as c:
        c.execute("UPDATE users SET status = 'disabled' WHERE username = %s",
                  user.user["username"])
    wait_until(lambda: user.get(ME).status == 401, 1.5)


def test_role_taken_away_counts_within_a_second(stack):
    user = stack.user(roles=["editor"])
    name, create = user.user["username"], "/api/v1/line-groups/create"
    made = user.post(create, {"name": unique("lg")})
    assert made.status == 201
    stack.ctl("user", "revoke-role", name, "editor")
    wait_until(lambda: user.post(create, {"name": ""}).status == 403, 1)
    stack.ctl("user", "grant-role", name, "viewer")
    wait_until(lambda: user.get("/api/v1/line-groups").status == 200, 1)


def test_held_poll_ends_when_its_user_is_disabled(stack):
    user = stack.user()
    since, got = user.tail(), []
    held = threading.Thread(target=lambda: got.append(
        user.clone().get(f"/events?since={since}&timeout=50", timeout=60)))
    held.start()
    wait_until(lambda: stack.status()["waiters"], 5, "a parked request")
    stack.ctl("user", "disable", user.user["username"])
    held.join(1 * SLOWER)
    # Held for more than a moment, it has its status already: it ends empty, and the next is told.
    assert got and (got[0].status == 401 or got[0].json["events"] == []), got
    assert user.get(f"/events?since={since}").status == 401


# ---- API keys ----

def test_api_key_has_its_scopes_and_no_more(stack):
    key = stack.key("line-groups:read", "line-groups:write")
    name = unique("lg")
    made = key.post("/api/v1/line-groups/create", {"name": name})
    assert made.status == 201, made
    assert key.get(f"/api/v1/line-groups/{made.data['id']}").data["name"] == name
    refused(key.get("/api/v1/websites"), "forbidden", 403)
    refused(key.post("/api/v1/nodes/delete", {"ids": [1]}), "forbidden", 403)


@pytest.mark.parametrize("key", ["x", "cmdb_" + "A" * 43, "\u00e4", "x" * 5000, "' OR ''='"])
def test_unknown_api_keys_are_refused(stack, key):
    reply = stack.api().get("/api/v1/websites", headers={"X-API-Key": key.encode("latin-1")})
    refused(reply, "token_invalid")


def test_revoked_api_key_is_out_within_a_second(stack):
    name = unique("key")
    made = stack.ctl("apikey", "add", name, "--tenant", "default", "--scope", "websites:read",
                     "--json")
    client = stack.api(key=made["key"])
    assert client.get("/api/v1/websites").status == 200
    stack.ctl("apikey", "revoke", name, "--tenant", "default")
    wait_until(lambda: client.get("/api/v1/websites").status == 401, 1)


def test_keys_and_passwords_are_stored_hashed_and_logged_nowhere(stack, db):
    password, user = PASSWORD + unique(), None
    user = stack.user(password=password)
    key = stack.key("websites:read")
    key.get("/api/v1/websites")
    with db.cursor() as c:
        c.execute("SELECT password_hash FROM users WHERE username = %s", user.user["username"])
        assert c.fetchone()[0].startswith("$argon2id$")
        c.execute("SELECT CAST(hash AS CHAR), prefix FROM api_keys")
        assert all(key.key not in str(row) for row in c.fetchall())
    for log in stack.dir.glob("log/*.log"):
        text = log.read_text(errors="replace")
        for secret in (password, key.key, user.token, user.refresh_token):
            assert secret not in text, log.name


# ---- tenants ----

def test_tenants_do_not_see_each_other(stack):
    mine, theirs = stack.user(stack.tenant()), stack.user(stack.tenant())
    since = theirs.tail()
    made = mine.post("/api/v1/line-groups/create", {"name": "ours"}).data
    assert mine.get(f"/api/v1/line-groups/{made['id']}").data["name"] == "ours"

    assert theirs.get(f"/api/v1/line-groups/{made['id']}").status == 404
    assert theirs.get("/api/v1/line-groups").data == {
        "items": [], "total": 0, "page": 1, "page_size": 20}
    update = {"id": made["id"], "name": "stolen"}
    assert theirs.post("/api/v1/line-groups/update", update).status == 404
    assert theirs.post("/api/v1/line-groups/delete", {"ids": [made["id"]]}).status == 404
    node = {"name": "n", "address": "192.0.2.1", "line_group_id": made["id"]}
    assert theirs.post("/api/v1/nodes/create", node).status == 422
    # The same name is free in another tenant.
    assert theirs.post("/api/v1/line-groups/create", {"name": "ours"}).status == 201

    events = theirs.read_events(since, lambda e: e)
    assert [e["data"]["id"] == made["id"] for e in events] == [False]
    assert mine.get(f"/api/v1/line-groups/{made['id']}").data["name"] == "ours"


def test_topics_need_their_permission(stack):
    key = stack.key("line-groups:read")
    assert key.get("/events?timeout=0&topics=line-groups").status == 200
    refused(key.get("/events?timeout=0&topics=websites"), "forbidden", 403)
    refused(key.get("/events?timeout=0&topics=_auth"), "forbidden", 403)
