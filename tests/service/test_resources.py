"""The inventory: each resource's five routes, what refers to what, and the events that tell of it."""
import concurrent.futures
import itertools
import json
import re

import pymysql
import pytest

from conftest import unique, wait_until

RESOURCES = ["websites", "line-groups", "origin-groups", "origin-sets", "cache-rules", "domains", "nodes"]
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


@pytest.fixture(scope="module")
def crew(stack):
    """An editor of a tenant that only this module uses."""
    client = stack.user(stack.tenant(), roles=("editor",))
    yield client
    client.close()


@pytest.fixture(scope="module")
def others(stack):
    """An editor of another tenant."""
    client = stack.user(stack.tenant(), roles=("editor",))
    yield client
    client.close()


@pytest.fixture(scope="module")
def now(stack, crew):
    """now(): the cursor after everything that was committed before the call."""
    connection = stack.connect()

    def cursor():
        with connection.cursor() as c:
            c.execute("SELECT COALESCE(MAX(id), 0) FROM ws_events")
            last = c.fetchone()[0]
        wait_until(lambda: crew.tail() >= last, what=f"event {last}")
        return last

    yield cursor
    connection.close()


def do(client, resource, verb, **body):
    return client.post(f"/api/v1/{resource}/{verb}", body)


def create(client, resource, **fields):
    reply = do(client, resource, "create", **fields)
    assert reply.status == 201, reply
    return reply.data


def update(client, resource, **fields):
    reply = do(client, resource, "update", **fields)
    assert reply.status == 200, reply
    return reply.data


def delete(client, resource, *ids):
    reply = do(client, resource, "delete", ids=list(ids))
    assert reply.status == 200, reply
    return reply.data


def get(client, resource, row_id):
    return client.get(f"/api/v1/{resource}/{row_id}").data


def listed(client, resource, query=""):
    return client.get(f"/api/v1/{resource}?{query}").data


def problems(reply, status=422, code="validation_failed"):
    """The details of a failure, by field."""
    assert (reply.status, reply.error["code"]) == (status, code), reply
    return {d["field"]: d["problem"] for d in reply.error["details"]}


def host():
    return f"{unique('h')}.example"


def website(client, **fields):
    return create(client, "websites", **{"domains": [host()], "origin_mode": "redirect",
                                         "redirect_url": "https://www.example/", **fields})


def least(client, resource):
    """The least that makes a row, and a change to it with what must come of it."""
    if resource == "websites":
        return ({"domains": [host()], "origin_mode": "redirect", "redirect_url": "http://a.test/"},
                {"status": "inactive"})
    if resource == "domains":
        return {"name": host(), "website_id": website(client)["id"]}, {"name": host()}
    fields = {"name": unique("n")}
    if resource == "cache-rules":
        return {**fields, "path_pattern": "/a/*", "ttl_seconds": 60}, {"ttl_seconds": 0}
    if resource == "nodes":
        return {**fields, "address": "192.0.2.1"}, {"status": "maintenance"}
    return fields, {"description": "Lines,\nand quotes \" and ümlauts"}


def changes(client, since, topics, n):
    """The next n events of the topics: (topic, type, data)."""
    events = client.read_events(since, lambda got: len(got) >= n, topics=topics)
    return [(e["topic"], e["type"], e["data"]) for e in events]


# ---- the routes ----


@pytest.mark.parametrize("resource", RESOURCES)
def test_life_of_a_row(crew, now, resource):
    fields, change = least(crew, resource)
    since = now()

    made = create(crew, resource, **fields)
    assert made.items() >= fields.items()
    assert made["version"] == 1 and "tenant_id" not in made
    assert TIME.match(made["created_at"]) and made["created_at"] == made["updated_at"]
    assert get(crew, resource, made["id"]) == made
    assert listed(crew, resource, "sort=-id&page_size=1")["items"] == [made]

    changed = update(crew, resource, id=made["id"], version=1, **change)
    assert changed == {**made, **change, "version": 2, "updated_at": changed["updated_at"]}
    assert get(crew, resource, made["id"]) == changed

    if resource == "domains":  # its website has to keep one
        create(crew, "domains", name=host(), website_id=made["website_id"])
    assert delete(crew, resource, made["id"]) == {"deleted": 1, "ids": [made["id"]]}
    assert crew.get(f"/api/v1/{resource}/{made['id']}").status == 404

    own = [c for c in changes(crew, since, resource, 4 if resource == "domains" else 3)
           if c[2]["id"] == made["id"]]
    assert own == [(resource, "add", made), (resource, "update", changed),
                   (resource, "delete", {"id": made["id"]})]


@pytest.mark.parametrize("resource", RESOURCES)
def test_life_of_a_row_at_its_own_address(crew, now, resource):
    fields, change = least(crew, resource)
    made = create(crew, resource, **fields)
    path = f"/api/v1/{resource}/{made['id']}"
    since = now()

    key = {"Idempotency-Key": unique("k")}
    reply = crew.request("PUT", path, {"version": 1, **change}, headers=key)
    changed = reply.json["data"]
    assert reply.status == 200
    assert changed == {**made, **change, "version": 2, "updated_at": changed["updated_at"]}
    again = crew.request("PUT", path, {"version": 1, **change}, headers=key)
    assert again.json == reply.json and again.headers["Idempotency-Replayed"] == "true"
    assert crew.request("PUT", path, {"id": made["id"], **change}).json["data"] == changed
    assert problems(crew.request("PUT", path, {"id": made["id"] + 1, **change})) == {
        "id": "is not the one of the address"}
    assert problems(crew.request("PUT", path, {})) == {"body": "gives nothing to change"}
    problems(crew.request("PUT", path, {"version": 1, **fields}), 409, "stale_version")

    if resource == "domains":  # its website has to keep one
        create(crew, "domains", name=host(), website_id=made["website_id"])
    reply = crew.request("DELETE", path)
    assert (reply.status, reply.json["data"]) == (200, {"deleted": 1, "ids": [made["id"]]})
    for method, body in (("GET", None), ("PUT", change), ("DELETE", None)):
        assert crew.request(method, path, body).status == 404
    own = [c for c in changes(crew, since, resource, 3 if resource == "domains" else 2)
           if c[2]["id"] == made["id"]]
    assert own == [(resource, "update", changed), (resource, "delete", {"id": made["id"]})]


@pytest.mark.parametrize("resource", RESOURCES)
def test_update_of_nothing_and_of_the_past(crew, now, resource):
    fields, change = least(crew, resource)
    made = create(crew, resource, **fields)
    since = now()
    assert update(crew, resource, id=made["id"], version=1, **fields) == made
    changed = update(crew, resource, id=made["id"], **change)
    assert changed["version"] == 2

    stale = problems(do(crew, resource, "update", id=made["id"], version=1, **fields), 409,
                     "stale_version")
    assert stale == {"version": "the current version is 2"}
    assert problems(do(crew, resource, "update", id=made["id"])) == {"body": "gives nothing to change"}
    assert problems(do(crew, resource, "update", **change)) == {"id": "is required"}
    assert get(crew, resource, made["id"]) == changed
    # Neither what changed nothing nor what failed has an event.
    assert changes(crew, since, resource, 1) == [(resource, "update", changed)]


@pytest.mark.parametrize("resource", RESOURCES)
def test_rows_that_are_not_there(crew, now, resource):
    fields, change = least(crew, resource)
    made = create(crew, resource, **fields)
    since = now()
    reply = do(crew, resource, "delete", ids=[made["id"], 2**62, 2**62 + 1])
    assert (reply.status, reply.error["code"]) == (404, "not_found")
    assert [re.search(r"\d+", d["problem"]).group() for d in reply.error["details"]] == \
        [str(2**62), str(2**62 + 1)]
    assert get(crew, resource, made["id"]) == made
    assert do(crew, resource, "update", id=2**62, **change).status == 404
    assert crew.get(f"/api/v1/{resource}/{2**62}").status == 404
    now()
    assert crew.poll(since, timeout=0, topics=RESOURCES)["events"] == []


@pytest.mark.parametrize("resource", RESOURCES)
def test_bad_bodies_change_nothing(crew, resource):
    fields = least(crew, resource)[0]
    total = listed(crew, resource)["total"]
    required = set(problems(do(crew, resource, "create")))
    assert required <= fields.keys() and required
    wrong = problems(do(crew, resource, "create", **{k: {"a": []} for k in fields}, nosuch=1, id=1,
                        created_at="x"))
    assert wrong["nosuch"] == "unknown field" and wrong["id"] == wrong["created_at"] == "is read-only"
    assert wrong.keys() >= fields.keys()
    for ids in ({}, {"ids": []}, {"ids": 1}, {"ids": ["1"]}, {"ids": [0]}, {"ids": [1.5]},
                {"ids": list(range(1, 502))}, {"ids": [1], "all": True}):
        assert do(crew, resource, "delete", **ids).status == 422, ids
    for row_id in (0, -1, "1", 1.5, None, True, 2**64):
        assert do(crew, resource, "update", id=row_id, **fields).status in (400, 422), row_id
    assert crew.get(f"/api/v1/{resource}/create").status == 405
    assert listed(crew, resource)["total"] == total


@pytest.mark.parametrize("resource", ["line-groups", "origin-groups", "origin-sets", "cache-rules", "nodes"])
def test_names_are_unique(crew, others, resource):
    fields = least(crew, resource)[0]
    made = create(crew, resource, **fields)
    again = do(crew, resource, "create", **{**fields, "name": fields["name"].upper()})
    noun = resource.replace("-", " ")[:-1]
    assert problems(again, 409, "duplicate") == {"name": f"{noun} {made['id']} has this name already"}
    second = create(crew, resource, **{**fields, "name": unique("n")})
    assert do(crew, resource, "update", id=second["id"], name=fields["name"]).status == 409
    assert update(crew, resource, id=made["id"], name=fields["name"].upper())["version"] == 2
    create(others, resource, **fields)  # another tenant's names are its own


def test_many_deleted_at_once(crew, now):
    made = [create(crew, "line-groups", name=unique("n"))["id"] for _ in range(5)]
    since = now()
    assert delete(crew, "line-groups", *reversed(made), made[0])["ids"] == made
    assert changes(crew, since, "line-groups", 5) == \
        [("line-groups", "delete", {"id": i}) for i in made]


# ---- values ----


@pytest.mark.parametrize("resource, fields, bad", [
    ("line-groups", {"name": ""}, "name"),
    ("line-groups", {"name": "x" * 65}, "name"),
    ("line-groups", {"name": " x"}, "name"),
    ("line-groups", {"name": "a\tb"}, "name"),
    ("line-groups", {"name": None}, "name"),
    ("line-groups", {"name": "x", "description": "x" * 501}, "description"),
    ("origin-groups", {"name": "x", "load_balance": "random"}, "load_balance"),
    ("origin-groups", {"name": "x", "addresses": {}}, "addresses"),
    ("origin-groups", {"name": "x", "addresses": [{}]}, "addresses[0].address"),
    ("origin-groups", {"name": "x", "addresses": [{"address": "a b"}]}, "addresses[0].address"),
    ("origin-groups", {"name": "x", "addresses": [{"address": "1.2.3"}]}, "addresses[0].address"),
    ("origin-groups", {"name": "x", "addresses": [{"address": "::1", "port": 65536}]},
     "addresses[0].port"),
    ("origin-groups", {"name": "x", "addresses": [{"address": "::1", "weight": 0}]},
     "addresses[0].weight"),
    ("origin-groups", {"name": "x", "addresses": [{"address": "::1"}, {"address": "0::1"}]},
     "addresses[1]"),
    ("origin-groups", {"name": "x", "addresses": [{"address": f"h{i}.test"} for i in range(101)]},
     "addresses"),
    ("origin-sets", {"name": "x", "protocol": "ftp"}, "protocol"),
    ("origin-sets", {"name": "x", "host_header": "*.example"}, "host_header"),
    ("origin-sets", {"name": "x", "origin_group_ids": [2**60]}, "origin_group_ids[0]"),
    ("origin-sets", {"name": "x", "origin_group_ids": [None]}, "origin_group_ids[0]"),
    ("cache-rules", {"name": "x", "path_pattern": "static", "ttl_seconds": 1}, "path_pattern"),
    ("cache-rules", {"name": "x", "path_pattern": "/*", "ttl_seconds": -1}, "ttl_seconds"),
    ("cache-rules", {"name": "x", "path_pattern": "/*", "ttl_seconds": 1, "priority": 1001},
     "priority"),
    ("cache-rules", {"name": "x", "path_pattern": "/*", "ttl_seconds": 1, "ignore_query": 1},
     "ignore_query"),
    ("domains", {"name": "shop.example", "website_id": 2**60}, "website_id"),
    ("domains", {"name": "under_score.example", "website_id": 1}, "name"),
    ("nodes", {"name": "x", "address": "node.example"}, "address"),
    ("nodes", {"name": "x", "address": "192.0.2.1", "status": "up"}, "status"),
    ("nodes", {"name": "x", "address": "192.0.2.1", "line_group_id": 2**60}, "line_group_id"),
])
def test_values_refused(crew, resource, fields, bad):
    assert bad in problems(do(crew, resource, "create", **fields))


def test_values_are_canonical(crew):
    group = create(crew, "origin-groups", name=unique("n"), addresses=[
        {"address": "2001:DB8:0::1"}, {"address": "Origin.EXAMPLE.", "port": 8080, "weight": 5,
                                       "is_backup": True}])
    assert group["addresses"] == [
        {"address": "2001:db8::1", "port": 80, "weight": 1, "is_backup": False},
        {"address": "origin.example", "port": 8080, "weight": 5, "is_backup": True}]
    assert update(crew, "origin-groups", id=group["id"], addresses=[])["addresses"] == []
    node = create(crew, "nodes", name=unique("n"), address="2001:DB8:0::1")
    assert (node["address"], node["port"], node["status"]) == ("2001:db8::1", 80, "offline")
    assert (node["line_group_id"], node["line_group_name"], node["region"]) == (None, None, "")
    rule = create(crew, "cache-rules", name=unique("n"), path_pattern="*.webp", ttl_seconds=0)
    assert (rule["ignore_query"], rule["priority"], rule["status"]) == (False, 100, "active")


def test_order_of_a_set_is_kept(crew):
    groups = [create(crew, "origin-groups", name=unique("n"))["id"] for _ in range(3)]
    made = create(crew, "origin-sets", name=unique("n"), host_header="Bücher.example",
                  origin_group_ids=groups[::-1])
    assert made["origin_group_ids"] == groups[::-1]
    assert made["host_header"] == "xn--bcher-kva.example"
    turned = update(crew, "origin-sets", id=made["id"], origin_group_ids=groups, host_header=None)
    assert (turned["origin_group_ids"], turned["host_header"], turned["version"]) == (groups, None, 2)
    twice = do(crew, "origin-sets", "update", id=made["id"], origin_group_ids=[groups[0]] * 2)
    assert "origin_group_ids[1]" in problems(twice)


# ---- websites and their domains ----


def test_fields_of_a_website(crew):
    row = website(crew)
    assert list(row) == [
        "id", "domains", "line_group_id", "line_group_name", "cache_rule_id", "cache_rule_name",
        "origin_mode", "origin_group_id", "origin_group_name", "origin_set_id", "origin_set_name",
        "redirect_url", "redirect_status_code", "status", "https_enabled", "version", "created_at",
        "updated_at"]
    assert (row["redirect_status_code"], row["status"], row["https_enabled"]) == (302, "active", False)


def test_origin_modes(crew):
    group = create(crew, "origin-groups", name=unique("group"))
    a_set = create(crew, "origin-sets", name=unique("set"))
    base = {"domains": [host()]}
    assert set(problems(do(crew, "websites", "create", **base))) == {"origin_mode"}
    for mode, field in ("group", "origin_group_id"), ("manual", "origin_set_id"), \
            ("redirect", "redirect_url"):
        found = problems(do(crew, "websites", "create", **base, origin_mode=mode))
        assert found == {field: f'is required with origin_mode "{mode}"'}
    found = problems(do(crew, "websites", "create", **base, origin_mode="group",
                        origin_group_id=group["id"], origin_set_id=a_set["id"],
                        redirect_url="http://a.test", redirect_status_code=301))
    assert set(found) == {"origin_set_id", "redirect_url", "redirect_status_code"}

    row = create(crew, "websites", **base, origin_mode="group", origin_group_id=group["id"],
                 origin_set_id=None, redirect_url=None)
    assert row["origin_group_name"] == group["name"]
    row = update(crew, "websites", id=row["id"], origin_mode="manual", origin_set_id=a_set["id"])
    assert (row["origin_group_id"], row["origin_group_name"]) == (None, None)
    assert row["origin_set_name"] == a_set["name"]
    found = problems(do(crew, "websites", "update", id=row["id"], redirect_url="http://a.test"))
    assert set(found) == {"redirect_url"}
    row = update(crew, "websites", id=row["id"], origin_mode="redirect",
                 redirect_url="HTTPS://WWW.Example/A?b=C")
    assert (row["origin_set_id"], row["redirect_url"], row["redirect_status_code"]) == \
        (None, "https://www.example/A?b=C", 302)
    for code in 301, 302, 307, 308:
        assert update(crew, "websites", id=row["id"], redirect_status_code=code)[
            "redirect_status_code"] == code
    for bad in ({"redirect_status_code": 303}, {"redirect_url": "ftp://a.test"},
                {"redirect_url": "javascript:alert(1)"}, {"redirect_url": None}):
        assert set(problems(do(crew, "websites", "update", id=row["id"], **bad))) == set(bad)


def test_names_of_a_website(crew):
    name = unique("shop")
    row = website(crew, domains=[f"{name}.EXAMPLE.", f"*.{name}.example", f"{name}.bücher.example"])
    assert row["domains"] == [f"{name}.example", f"*.{name}.example",
                              f"{name}.xn--bcher-kva.example"]
    for bad in ([], "a.example", [f"h{i}.example" for i in range(101)], [""], ["a..example"],
                ["-a.example"], ["a b.example"], ["192.0.2.1"], ["a.*.example"], ["xn--zzzzzz.example"],
                ["x" * 64 + ".example"], [".".join(["x" * 49] * 5) + ".example"], [1], [None]):
        assert do(crew, "websites", "update", id=row["id"], domains=bad).status == 422, bad
    twice = do(crew, "websites", "update", id=row["id"],
               domains=["bücher.example", "XN--BCHER-KVA.example."])
    assert problems(twice) == {"domains[1]": "is given twice, first as domains[0]"}
    many = [f"n{i}.{name}.example" for i in range(100)]
    assert update(crew, "websites", id=row["id"], domains=many)["domains"] == many


def test_a_name_belongs_to_one_website(crew, now, others):
    first = website(crew)
    name = first["domains"][0]
    since = now()
    taken = do(crew, "websites", "create", domains=[host(), name.upper()], origin_mode="redirect",
               redirect_url="http://a.test")
    assert problems(taken, 409, "duplicate") == \
        {"domains[1]": f"{name} belongs to website {first['id']} already"}
    second = website(crew)
    for reply in (do(crew, "websites", "update", id=second["id"], domains=[name]),
                  do(crew, "domains", "create", name=name, website_id=second["id"]),
                  do(crew, "domains", "update", name=name, id=listed(
                      crew, "domains", f"website_id={second['id']}")["items"][0]["id"])):
        assert f"website {first['id']} already" in "".join(
            problems(reply, 409, "duplicate").values())
    assert get(crew, "websites", second["id"]) == second
    assert changes(crew, since, "websites", 1) == [("websites", "add", second)]
    website(others, domains=[name])


def test_names_are_rows_of_their_own(crew, now):
    a, b, c = host(), host(), host()
    since = now()
    row = website(crew, domains=[a, b])
    rows = {d["name"]: d for d in listed(crew, "domains", f"website_id={row['id']}")["items"]}
    assert list(rows) == [a, b]
    assert rows[a] == {"id": rows[a]["id"], "name": a, "website_id": row["id"],
                       "website_status": "active", "website_https_enabled": False, "version": 1,
                       "created_at": rows[a]["created_at"], "updated_at": rows[a]["updated_at"]}
    # Those that stay keep their ids; what they show of the website is news of them, too.
    changed = update(crew, "websites", id=row["id"], domains=[c, b], status="inactive")
    after = {d["name"]: d for d in listed(crew, "domains", f"website_id={row['id']}")["items"]}
    assert after.keys() == {b, c}
    assert after[b] == {**rows[b], "website_status": "inactive"}
    # Another order is news of the website only.
    turned = update(crew, "websites", id=row["id"], domains=[b, c])
    delete(crew, "websites", row["id"])
    assert changes(crew, since, ["domains", "websites"], 11) == [
        ("websites", "add", row), ("domains", "add", rows[a]), ("domains", "add", rows[b]),
        ("websites", "update", changed), ("domains", "delete", {"id": rows[a]["id"]}),
        ("domains", "add", after[c]), ("domains", "update", after[b]),
        ("websites", "update", turned),
        ("websites", "delete", {"id": row["id"]}), ("domains", "delete", {"id": rows[b]["id"]}),
        ("domains", "delete", {"id": after[c]["id"]})]


def test_a_name_changes_its_website(crew, now):
    first, second = website(crew), website(crew)
    name = host()
    since = now()

    made = create(crew, "domains", name=name, website_id=first["id"])
    first_1 = get(crew, "websites", first["id"])
    assert first_1["domains"] == [*first["domains"], name] and first_1["version"] == 2
    renamed = update(crew, "domains", id=made["id"], name=host(), version=1)
    first_2 = get(crew, "websites", first["id"])
    assert first_2["domains"] == [*first["domains"], renamed["name"]] and first_2["version"] == 3
    moved = update(crew, "domains", id=made["id"], website_id=second["id"])
    first_3, second_1 = (get(crew, "websites", w["id"]) for w in (first, second))
    assert first_3["domains"] == first["domains"] and first_3["version"] == 4
    assert second_1["domains"] == [*second["domains"], moved["name"]] and second_1["version"] == 2
    delete(crew, "domains", made["id"])
    second_2 = get(crew, "websites", second["id"])
    assert second_2["domains"] == second["domains"] and second_2["version"] == 3
    assert changes(crew, since, ["domains", "websites"], 9) == [
        ("domains", "add", made), ("websites", "update", first_1),
        ("domains", "update", renamed), ("websites", "update", first_2),
        ("domains", "update", moved), ("websites", "update", first_3),
        ("websites", "update", second_1),
        ("domains", "delete", {"id": made["id"]}), ("websites", "update", second_2)]


def test_a_website_keeps_one_to_a_hundred_names(crew):
    full = website(crew, domains=[host() for _ in range(100)])
    spare = website(crew)
    last = listed(crew, "domains", f"website_id={spare['id']}")["items"][0]
    want = {"website_id": f"website {full['id']} must have 1 to 100 domains"}
    assert problems(do(crew, "domains", "create", name=host(), website_id=full["id"]), 409,
                    "conflict") == want
    for reply in (do(crew, "domains", "delete", ids=[last["id"]]),
                  do(crew, "domains", "update", id=last["id"], website_id=full["id"])):
        assert problems(reply, 409, "conflict")
    assert get(crew, "domains", last["id"]) == last
    some = [d["id"] for d in listed(crew, "domains", f"website_id={full['id']}&page_size=60")["items"]]
    delete(crew, "domains", *some)
    row = get(crew, "websites", full["id"])
    assert row["domains"] == full["domains"][60:] and row["version"] == 2


# ---- references ----


@pytest.fixture(scope="module")
def web(crew):
    """Rows that refer to each other."""
    rows = {"line-groups": create(crew, "line-groups", name=unique("line")),
            "cache-rules": create(crew, "cache-rules", name=unique("rule"), path_pattern="/",
                                  ttl_seconds=1),
            "origin-groups": create(crew, "origin-groups", name=unique("group"))}
    rows["origin-sets"] = create(crew, "origin-sets", name=unique("set"),
                                 origin_group_ids=[rows["origin-groups"]["id"]])
    shared = {"line_group_id": rows["line-groups"]["id"], "cache_rule_id": rows["cache-rules"]["id"]}
    rows["by group"] = create(crew, "websites", domains=[host()], origin_mode="group", **shared,
                              origin_group_id=rows["origin-groups"]["id"])
    rows["by set"] = create(crew, "websites", domains=[host()], origin_mode="manual", **shared,
                            origin_set_id=rows["origin-sets"]["id"])
    rows["node"] = create(crew, "nodes", name=unique("node"), address="192.0.2.1",
                          line_group_id=shared["line_group_id"])
    return rows


@pytest.mark.parametrize("resource, users", [
    ("line-groups", ["by group", "by set", "node"]),
    ("cache-rules", ["by group", "by set"]),
    ("origin-groups", ["by group", "origin-sets"]),
    ("origin-sets", ["by set"]),
])
def test_what_is_in_use_stays(crew, now, web, resource, users):
    since = now()
    free = create(crew, resource, **least(crew, resource)[0])
    reply = do(crew, resource, "delete", ids=[web[resource]["id"], free["id"]])
    assert (reply.status, reply.error["code"]) == (409, "in_use"), reply
    told = " ".join(d["problem"] for d in reply.error["details"])
    for user in users:
        row = web[user]
        label = row["domains"][0] if "domains" in row else row["name"]
        assert f"{row['id']} ({label})" in told
    assert len(reply.error["details"]) == len(users)
    assert get(crew, resource, free["id"]) == free
    assert changes(crew, since, resource, 1) == [(resource, "add", free)]


@pytest.mark.parametrize("resource, shown_as, users", [
    ("line-groups", "line_group_name", ["by group", "by set", "node"]),
    ("cache-rules", "cache_rule_name", ["by group", "by set"]),
    ("origin-groups", "origin_group_name", ["by group"]),
    ("origin-sets", "origin_set_name", ["by set"]),
])
def test_a_new_name_shows_where_it_is_shown(crew, now, web, resource, shown_as, users):
    since = now()
    name = unique("renamed")
    renamed = update(crew, resource, id=web[resource]["id"], name=name)
    want = [(resource, "update", renamed)]
    for user in users:
        kind = "nodes" if user == "node" else "websites"
        row = get(crew, kind, web[user]["id"])
        assert row[shown_as] == name
        # Nothing of its own has changed.
        assert (row["version"], row["updated_at"]) == (web[user]["version"], web[user]["updated_at"])
        want.append((kind, "update", row))
    assert changes(crew, since, RESOURCES, len(want)) == want
    # What is not shown elsewhere concerns nobody else.
    since = now()
    extra = {"priority": 7} if resource == "cache-rules" else {"description": unique("d")}
    changed = update(crew, resource, id=web[resource]["id"], **extra)
    mark = create(crew, "line-groups", name=unique("mark"))
    assert changes(crew, since, RESOURCES, 2) == [(resource, "update", changed),
                                                  ("line-groups", "add", mark)]


def test_more_users_than_are_named(crew):
    line = create(crew, "line-groups", name=unique("n"))["id"]
    for _ in range(7):
        create(crew, "nodes", name=unique("n"), address="192.0.2.1", line_group_id=line)
    reply = do(crew, "line-groups", "delete", ids=[line])
    assert reply.status == 409 and len(reply.error["details"]) == 6
    assert reply.error["details"][5]["problem"] == "and by more nodes"


# ---- who may, and whose ----


@pytest.mark.parametrize("resource", RESOURCES)
def test_tenants_do_not_meet(crew, now, others, resource):
    fields, change = least(others, resource)
    theirs = create(others, resource, **fields)
    since = now()
    assert crew.get(f"/api/v1/{resource}/{theirs['id']}").status == 404
    for verb, body in (("update", {"id": theirs["id"], **change}),
                       ("delete", {"ids": [theirs["id"]]})):
        assert do(crew, resource, verb, **body).status == 404
    assert theirs["id"] not in [r["id"] for r in
                                listed(crew, resource, "sort=-id&page_size=200")["items"]]
    assert get(others, resource, theirs["id"]) == theirs
    update(others, resource, id=theirs["id"], **change)
    now()
    assert crew.poll(since, timeout=0, topics=RESOURCES)["events"] == []


def test_references_do_not_leave_the_tenant(crew, others, db):
    theirs = {r: create(others, r, **least(others, r)[0])["id"]
              for r in ("line-groups", "cache-rules", "origin-groups", "origin-sets", "websites")}
    own = website(crew)
    for resource, fields in (
            ("websites", {"id": own["id"], "line_group_id": theirs["line-groups"]}),
            ("websites", {"id": own["id"], "cache_rule_id": theirs["cache-rules"]}),
            ("websites", {"id": own["id"], "origin_mode": "group",
                          "origin_group_id": theirs["origin-groups"]}),
            ("websites", {"id": own["id"], "origin_mode": "manual",
                          "origin_set_id": theirs["origin-sets"]}),
            ("domains", {"id": listed(crew, "domains", f"website_id={own['id']}")["items"][0]["id"],
                         "website_id": theirs["websites"]})):
        found = problems(do(crew, resource, "update", **fields))
        assert len(found) == 1 and "does not exist" in "".join(found.values())
    found = problems(do(crew, "origin-sets", "create", name=unique("n"),
                        origin_group_ids=[theirs["origin-groups"]]))
    assert "does not exist" in found["origin_group_ids[0]"]
    # Nor when a program writes to the tables itself.
    with db.cursor() as cursor, pytest.raises(pymysql.err.IntegrityError):
        cursor.execute("UPDATE websites SET line_group_id = %s WHERE id = %s",
                       (theirs["line-groups"], own["id"]))


@pytest.mark.parametrize("resource", RESOURCES)
def test_permissions(stack, crew, viewer, api, resource):
    fields = least(crew, resource)[0]
    assert viewer.get(f"/api/v1/{resource}").status == 200
    for client, status in ((viewer, 403), (api, 401)):
        for verb, body in (("create", fields), ("update", {"id": 1, **fields}), ("delete", {"ids": [1]})):
            assert do(client, resource, verb, **body).status == status
        for method, body in (("PUT", fields), ("DELETE", None)):
            assert client.request(method, f"/api/v1/{resource}/1", body).status == status
    assert api.get(f"/api/v1/{resource}").status == api.get(f"/api/v1/{resource}/1").status == 401
    other = "nodes" if resource != "nodes" else "websites"
    narrow = stack.key(f"{other}:read", f"{other}:write")
    assert narrow.get(f"/api/v1/{resource}").status == narrow.get(f"/api/v1/{resource}/1").status == 403
    assert do(narrow, resource, "create", **fields).status == 403
    assert narrow.get(f"/api/v1/{other}").status == 200


# ---- lists ----


@pytest.fixture(scope="module")
def shelf(stack):
    """A tenant with known rows, for lists. Nothing is added to it later."""
    client = stack.user(stack.tenant(), roles=("editor",))
    lines = [create(client, "line-groups", name=f"Line {n}")["id"] for n in "ABC"]
    rule = create(client, "cache-rules", name="Rule", path_pattern="/r/*", ttl_seconds=5,
                  ignore_query=True, priority=3)["id"]
    groups = [create(client, "origin-groups", name=f"Group_{n}", load_balance="ip_hash",
                     description="100% Grün")["id"] for n in "AB"]
    sets = create(client, "origin-sets", name="Set", protocol="http", host_header="h.example",
                  origin_group_ids=groups)["id"]
    for n in range(9):
        create(client, "websites", domains=[f"w{n}.shelf.example", f"*.w{n}.shelf.example"],
               line_group_id=lines[n % 3], cache_rule_id=rule if n < 4 else None,
               https_enabled=n % 2 == 0, status="inactive" if n == 8 else "active",
               **({"origin_mode": "group", "origin_group_id": groups[n % 2]} if n < 4 else
                  {"origin_mode": "manual", "origin_set_id": sets} if n < 7 else
                  {"origin_mode": "redirect", "redirect_url": "http://x.test/"}))
    for n in range(5):
        create(client, "nodes", name=f"node-{n}", address=f"2001:db8::{n}", port=8000 + n,
               line_group_id=lines[0], region="eu", status="online" if n else "offline")
    yield client, {"line": lines, "rule": rule, "group": groups, "set": sets}
    client.close()


def test_pages(shelf):
    client, _ = shelf
    everything = listed(client, "websites", "page_size=200")
    assert (everything["total"], everything["page"], everything["page_size"]) == (9, 1, 200)
    rows = everything["items"]
    assert [r["id"] for r in rows] == sorted(r["id"] for r in rows)
    assert rows == [get(client, "websites", r["id"]) for r in rows]
    assert listed(client, "websites")["page_size"] == 20
    for page in range(1, 6):
        got = listed(client, "websites", f"page={page}&page_size=3")
        assert got == {"items": rows[3 * page - 3:3 * page], "total": 9, "page": page, "page_size": 3}
    assert listed(client, "websites", "page=1000000&page_size=200") == \
        {"items": [], "total": 9, "page": 1000000, "page_size": 200}


@pytest.mark.parametrize("resource", RESOURCES)
def test_every_order(shelf, resource):
    client, _ = shelf
    told = problems(client.get(f"/api/v1/{resource}?sort=nosuch"), 400, "bad_request")["sort"]
    fields = re.search(r"one of (.*), each", told).group(1).split(", ")
    assert set(fields) >= {"id", "created_at", "updated_at", "version"}
    rows = listed(client, resource, "page_size=200")["items"]

    def key(field):  # ENUM columns sort by their place in the type: compare what is told only
        return lambda r: ((r[field] is not None, r[field] or 0), r["id"])

    for field in fields:
        up = listed(client, resource, f"sort={field}&page_size=200")["items"]
        down = listed(client, resource, f"sort=-{field}&page_size=200")["items"]
        assert down == up[::-1]
        assert sorted(map(json.dumps, up)) == sorted(map(json.dumps, rows))
        assert len([*itertools.groupby(up, lambda r: r[field])]) == len({r[field] for r in up})
        if not isinstance(up[0][field], str):
            assert up == sorted(rows, key=key(field))
        # With a filter that is true of all there are other statements.
        assert listed(client, resource, f"sort=-{field}&page_size=200&q=")["items"] == down


def test_filters(shelf):
    client, ids = shelf
    for resource, query, n in (
            ("websites", f"line_group_id={ids['line'][0]}", 3),
            ("websites", f"line_group_id={ids['line'][0]}&status=inactive", 0),
            ("websites", f"cache_rule_id={ids['rule']}", 4),
            ("websites", f"origin_group_id={ids['group'][1]}", 2),
            ("websites", f"origin_set_id={ids['set']}", 3),
            ("websites", "origin_mode=redirect", 2),
            ("websites", "redirect_status_code=302", 2),
            ("websites", "redirect_status_code=301", 0),
            ("websites", "status=inactive", 1),
            ("websites", "https_enabled=true", 5),
            ("websites", "https_enabled=false", 4),
            ("websites", "domain=*.W3.shelf.example.", 1),
            ("websites", "domain=none.example", 0),
            ("websites", "q=W3.Shelf", 1),
            ("websites", "q=.shelf.", 9),
            ("websites", "q=%25", 0),
            ("websites", "q=_", 0),
            ("websites", "q=%5C", 0),
            ("websites", "q=w%C3%BC", 0),
            ("domains", "q=w1.", 2),
            ("domains", "name=w1.SHELF.example", 1),
            ("origin-groups", "name=group_a", 1),
            ("origin-groups", "q=_A", 1),
            ("origin-groups", "q=100%25%20gr%C3%BCN", 2),
            ("origin-groups", "q=gr_n", 0),
            ("origin-groups", "load_balance=ip_hash", 2),
            ("origin-sets", f"origin_group_id={ids['group'][0]}", 1),
            ("origin-sets", "protocol=http&host_header=H.example", 1),
            ("cache-rules", "ttl_seconds=5&ignore_query=true&priority=3&status=active", 1),
            ("cache-rules", "q=/R/", 1),
            ("nodes", "address=2001:DB8:0::1", 1),
            ("nodes", "region=EU&status=online", 4),
            ("nodes", f"port=8003&line_group_id={ids['line'][0]}", 1),
            ("nodes", "q=2001:DB8", 5),
            ("line-groups", "name=Line+B", 1)):
        got = listed(client, resource, query)
        assert (got["total"], len(got["items"])) == (n, n), (resource, query, got)
    # The last of several wins; filters hold for totals and pages too.
    got = listed(client, "websites", "status=inactive&status=active&page_size=3&page=2")
    assert (got["total"], len(got["items"])) == (8, 3)


@pytest.mark.parametrize("query, field", [
    ("page=0", "page"), ("page=-1", "page"), ("page=x", "page"), ("page=", "page"),
    ("page=1000001", "page"), ("page_size=0", "page_size"), ("page_size=201", "page_size"),
    ("page_size=99999999999999999999", "page_size"), ("sort=", "sort"), ("sort=--id", "sort"),
    ("sort=tenant_id", "sort"), ("sort=id;drop", "sort"), ("nosuch=1", "nosuch"),
    ("tenant_id=1", "tenant_id"), ("status=ACTIVE", "status"), ("https_enabled=1", "https_enabled"),
    ("line_group_id=x", "line_group_id"), ("line_group_id=", "line_group_id"),
    ("line_group_id=1%20OR%201=1", "line_group_id"), ("domain=a..b", "domain"),
    ("q=" + "x" * 257, "q"), ("redirect_status_code=200", "redirect_status_code"),
])
def test_bad_parameters(shelf, query, field):
    reply = shelf[0].get("/api/v1/websites?" + query)
    assert set(problems(reply, 400, "bad_request")) == {field}


def test_all_bad_parameters_at_once_and_bad_encoding(shelf):
    client, _ = shelf
    reply = client.get("/api/v1/websites?page=0&status=x&foo=1")
    assert set(problems(reply, 400, "bad_request")) == {"page", "status", "foo"}
    for query in ("q=%ff", "q=%c0%af", "q=a%00b", "%ff=1"):
        assert client.get("/api/v1/websites?" + query).status == 400, query


# ---- many at once ----


def test_one_name_many_takers(crew):
    name = host()
    clients = [crew.clone() for _ in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(
            lambda c: do(c, "websites", "create", domains=[host(), name], origin_mode="redirect",
                         redirect_url="http://a.test"), clients))
    won = [r.data for r in replies if r.status == 201]
    assert len(won) == 1
    for reply in replies:
        if reply.status != 201:
            assert f"website {won[0]['id']} already" in "".join(
                problems(reply, 409, "duplicate").values())


def test_the_last_event_is_the_row(stack, now):
    """Rows that show each other change at the same time: whatever the order, the last event of each
    is what GET says in the end, and versions count the changes."""
    client = stack.user(stack.tenant(), roles=("editor",))
    since = now()
    lines = [create(client, "line-groups", name=unique("n"))["id"] for _ in range(2)]
    sites = [website(client, line_group_id=lines[i % 2]) for i in range(4)]
    bad = []

    def check(reply, *allowed):
        if reply.status not in (200, 201, *allowed):
            bad.append(reply)

    def rename(c, n):
        check(do(c, "line-groups", "update", id=lines[n % 2], name=unique("n")))

    def move(c, n):
        check(do(c, "websites", "update", id=sites[n % 4]["id"], line_group_id=lines[(n // 4) % 2],
                 status=("active", "inactive")[(n // 3) % 2]))

    def name(c, n):
        row = sites[n % 4]
        check(do(c, "domains", "create", name=host(), website_id=row["id"]), 409)
        rows = listed(c, "domains", f"website_id={row['id']}&sort=-id")["items"]
        check(do(c, "domains", "update", id=rows[0]["id"], website_id=sites[(n + 1) % 4]["id"]),
              404, 409)

    def replace(c, n):
        check(do(c, "websites", "update", id=sites[(n + 2) % 4]["id"], domains=[host(), host()]))

    def drop(c, n):
        rows = listed(c, "domains", "sort=-id&page_size=3")["items"]
        check(do(c, "domains", "delete", ids=[r["id"] for r in rows]), 404, 409)

    def run(step):
        c = client.clone()
        for n in range(25):
            step(c, n)
        c.close()

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(run, [rename, rename, move, name, replace, drop]))
    assert not bad, bad

    mark = create(client, "nodes", name=unique("mark"), address="192.0.2.1")
    events = client.read_events(
        since, lambda got: any(e["topic"] == "nodes" and e["data"] == mark for e in got), timeout=30)
    last = {}
    for e in events:
        last[e["topic"], e["data"]["id"]] = e
    for resource in ("websites", "line-groups", "domains"):
        rows = {r["id"]: r for r in listed(client, resource, "page_size=200")["items"]}
        told = {i: e["data"] for (topic, i), e in last.items()
                if topic == resource and e["type"] != "delete"}
        assert told == rows
    for site in sites:
        own = [e["data"] for e in events if e["topic"] == "websites" and e["data"]["id"] == site["id"]]
        versions = [d["version"] for d in own]
        assert versions == sorted(versions)
        # Not a version without its event.
        assert set(versions) == set(range(1, versions[-1] + 1))


# ---- demo data ----


def test_demo_data(stack, admin):
    names = []
    for page in itertools.count(1):
        got = listed(admin, "domains", f"page={page}&page_size=200")["items"]
        names += [d["name"] for d in got]
        if len(got) < 200:
            break
    assert len(names) >= 200
    reserved = re.compile(r"\.(example|test)$|(^|\.)example\.(com|net|org)$")
    assert [n for n in names if not reserved.search(n)] == []
    assert listed(admin, "websites", "q=northwind")["total"] >= 4
    assert listed(admin, "origin-groups", "q=fra-")["items"][0]["addresses"]


# ---- much that comes at once ----


@pytest.mark.slow
def test_a_bulk_import_is_listed_at_once(own_stack):
    """Also while the database's statistics are those of the few rows of before."""
    stack = own_stack()
    name, n = stack.tenant(), 4000
    client = stack.user(name)
    with stack.connect() as db, db.cursor() as c:
        c.execute("SET GLOBAL innodb_stats_auto_recalc = OFF")
        c.execute("SELECT id FROM tenants WHERE name = %s", name)
        tenant, = c.fetchone()
        c.execute("INSERT INTO websites (tenant_id, origin_mode, redirect_url, redirect_status_code)"
                  f" SELECT %s, 'redirect', 'https://example.org/', 302 FROM seq_1_to_{n}", tenant)
        c.execute("INSERT INTO domains (tenant_id, website_id, position, name)"
                  " SELECT tenant_id, id, 0, CONCAT('s', id, '.example') FROM websites"
                  " WHERE tenant_id = %s", tenant)
        read = "SHOW GLOBAL STATUS LIKE 'Handler_read_next'"
        c.execute(read)
        before = int(c.fetchone()[1])
        assert len(listed(client, "websites", "page_size=200")["items"]) == 200
        c.execute(read)
        # Each of the rows of domains for each website would be 200 times as many.
        assert int(c.fetchone()[1]) - before < 20 * n
