"""cmdbctl: what each command does, prints and exits with, and what it changes for live clients."""
import concurrent.futures
import getpass
import json
import os
import pathlib
import pty
import re
import socket
import subprocess
import threading
import time

import pytest

from conftest import ROOT, unique, wait_until
from test_ws_connections import Crowd

OK, FAILED, USAGE, UNREACHABLE, NOT_FOUND = range(5)
ME = "/api/v1/auth/me"


def fails(stack, status, text, *args, **more):
    """Runs cmdbctl, which must exit with that status and say that text on standard error only."""
    done = stack.ctl(*args, check=False, **more)
    assert (done.returncode, done.stdout) == (status, ""), (args, done)
    assert re.search(text, done.stderr), (args, done.stderr)
    assert done.stderr.startswith("cmdbctl: ") and done.stderr.endswith("\n"), done.stderr
    return done


def last_audit(db, action):
    with db.cursor() as c:
        c.execute("SELECT subject, target FROM audit_log WHERE action = %s "
                  "ORDER BY id DESC LIMIT 1", (action,))
        return c.fetchone()


def auth_events(db, after=0):
    with db.cursor() as c:
        c.execute("SELECT id, payload FROM ws_events WHERE topic = '_auth' AND id > %s ORDER BY id",
                  (after,))
        return [(i, json.loads(p)) for i, p in c.fetchall()]


def one(db, sql, *args):
    with db.cursor() as c:
        c.execute(sql, args)
        row = c.fetchone()
        return row[0] if row else None


# ---- the command line ----

@pytest.mark.parametrize("args, text", [
    ((), "no command given"),
    (("nope",), 'no command "nope"'),
    (("token",), "what about token"),
    (("token", "--json"), "what about token"),
    (("user", "--tenant", "x", "add"), "too many arguments: usage: cmdbctl user list"),
    (("user", "nope"), '"user" has no "nope"'),
    (("user", "add"), "an argument is missing: usage: cmdbctl user add NAME"),
    (("user", "add", "a", "b"), "too many arguments"),
    (("user", "list", "--nope"), "unknown option --nope; see cmdbctl user list --help"),
    (("user", "--nope"), "unknown option --nope; see cmdbctl user list --help"),
    (("token", "--nope"), "unknown option --nope; see cmdbctl token --help"),
    (("user", "list", "-tenant", "x"), "unknown option -tenant"),
    (("user", "list", "--tenant"), "--tenant wants a value"),
    (("user", "add", "x", "--password-stdin=1"), "takes no value"),
    (("events", "prune", "--days", "0"), "--days wants a number from 1"),
    (("events", "prune", "--days", "1x"), "--days wants a number"),
    (("events", "prune", "--rows", "99999999999999999999"), "--rows wants a number"),
])
def test_wrong_usage_exits_2(stack, args, text):
    fails(stack, USAGE, text, *args)


def test_help_and_version(stack):
    text = stack.ctl("--help").stdout
    for command in ("migrate", "tenant", "role", "user", "apikey", "token", "events", "logs", "devices", "broadcast", "websites",
                    "status", "config", "doctor", "completion"):
        assert f"\n{command}: " in text
    text = stack.ctl("user", "--help").stdout
    assert text.startswith("usage: cmdbctl user [VERB]") and "user add NAME" in text
    assert "--password-stdin" in stack.ctl("user", "add", "--help").stdout
    assert re.fullmatch(r"cmdbctl \d+\.\d+\.\d+\n", stack.ctl("--version").stdout)


def test_a_command_alone_means_its_list(stack):
    assert stack.ctl("tenant").stdout == stack.ctl("tenant", "list").stdout
    users = stack.ctl("user", "--tenant", "default", "--json")
    assert users == stack.ctl("user", "list", "--json", "--tenant", "default")
    assert "user add NAME" in stack.ctl("user", "--help").stdout


def test_options_may_stand_anywhere_and_end_with_two_dashes(stack):
    assert stack.ctl("--json", "tenant", "list") == stack.ctl("tenant", "list", "--json")
    fails(stack, USAGE, "does not begin with -", "tenant", "add", "--", "-x")


def test_completion_knows_commands_verbs_and_options(stack, tmp_path):
    script = tmp_path / "completion"
    script.write_text(stack.ctl("completion", "bash").stdout)

    def complete(*words):
        done = subprocess.run(
            ["bash", "-c", f'. "{script}"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cmdbctl; '
             'printf "%s\\n" "${COMPREPLY[@]}"', "bash", "cmdbctl", *words],
            text=True, capture_output=True, check=True)
        return done.stdout.split()

    assert complete("tok") == ["token"]
    assert complete("user", "gr") == ["grant-role"]
    assert complete("user", "add", "x", "--pass") == ["--password-stdin"]
    assert complete("status", "--j") == ["--json"]
    # What is the value of an option is no command, and no command is a value.
    assert complete("--config", "/etc/x", "user", "gr") == ["grant-role"]
    assert complete("--set", "log.level", "=", "debug", "tok") == ["token"]
    assert complete("user", "add", "x", "--tenant", "t", "--pass") == ["--password-stdin"]
    assert complete("user", "--tenant", "t", "gr") == ["grant-role"]
    assert complete("user", "add", "x", "--role", "") == []
    assert complete("events", "tail", "-n", "3", "--top") == ["--topics"]


def test_the_completion_file_and_the_manual_keep_up_with_the_commands(stack):
    script = stack.ctl("completion", "bash").stdout
    assert (ROOT / "deploy/completions/cmdbctl.bash").read_text() == script, (
        "run: cmdbctl completion bash > deploy/completions/cmdbctl.bash")
    manual = (ROOT / "docs/cmdbctl.1").read_text()
    for command, verb, words in re.findall(r"^\t([\w-]+):(\S+)\) what='(.*)' ;;$", script, re.M):
        if verb != "*":
            assert re.search(rf"^\.It Cm {command} {verb}\b", manual, re.M), f"{command} {verb}"
        for option in re.findall(r"--(\S+)", words):
            assert re.search(rf"Fl Fl {option}\b", manual), f"{command} {verb} --{option}"


def manual_of(command):
    """The manual's section of a command: {verb: its line}, and all of it."""
    manual = (ROOT / "docs/cmdbctl.1").read_text()
    text = re.search(rf"^\.Ss {command}\n(.*?)(?=^\.Ss |^\.Sh )", manual, re.M | re.S).group(1)
    common = re.search(r"^\.Ss Options of commands that ask.*?(?=^\.Sh )", manual, re.M | re.S)
    lines = re.findall(rf"^\.It Cm {command}(?: (.*))?$", text, re.M)
    return lines, text, common.group(0)


def test_usage_help_and_manual_say_the_same(stack):
    """Verbs, arguments and options of each command: none missing, and none that is not there."""
    for leaf in leaves(stack):
        lines, text, common = manual_of(leaf[0])
        help_text = stack.ctl(*leaf, "--help").stdout
        usage = help_text.splitlines()[0]
        assert usage.startswith("usage: cmdbctl " + " ".join(leaf)), usage
        words = usage[len("usage: cmdbctl " + " ".join(leaf)):].replace(" [OPTION...]", "").split()
        line = next(li for li in lines if len(leaf) == 1 or re.match(rf"{leaf[1]}\b", li))
        # What is said in capitals there is an argument here; a field is an option.
        named = re.findall(r"[A-Z]+", " ".join(w for w in words if not w.startswith("--")))
        line = line.replace(" Ar field ...", "").replace(" field ...", "")
        shown = re.sub(r"Fl (Fl )?[\w-]+ Ar [\w,| ]+?(?= Oc|$)|Op .*|Oo Fl.*|Fl .*", "", line)
        assert [a.lower() for a in named] == re.findall(
            r"(?<=Ar )[a-z]+|(?<= )(?:name|permission|role|department|jti)(?= \.\.\.| name|$)",
            re.sub(r"Ar (\w+) (\w+) \.\.\.", r"Ar \1 Ar \2 ...", shown)), (leaf, usage, line)
        own = help_text.split("options:\n")[1].split("  --config FILE")[0]
        for option in re.findall(r"^  (--?[\w-]+)", own, re.M):
            name = option.lstrip("-")
            assert re.search(rf"Fl (Fl )?{name}\b", text + common), (leaf, option)
    for command in {leaf[0] for leaf in leaves(stack)}:
        _, text, _ = manual_of(command)
        offered = "".join(stack.ctl(*leaf, "--help").stdout for leaf in leaves(stack)
                          if leaf[0] == command)
        for name in re.findall(r"Fl Fl ([\w-]+)", text):
            assert f"--{name}" in offered, (command, name)


@pytest.mark.parametrize("program", ["cmdb-fcgi", "cmdb-poller"])
def test_daemons_say_the_same_as_their_manuals(stack, program, tmp_path):
    path = pathlib.Path(stack.env["CMDB_CTL"]).parents[1] / "sbin" / program
    manual = (ROOT / f"docs/{program}.8").read_text()

    def run(*args):
        env = {k: v for k, v in os.environ.items() if k != "CMDB_CONFIG"}
        return subprocess.run([path, *args], text=True, capture_output=True, env=env)

    offered = set(re.findall(r"--([a-z]+)", run("--help").stdout))
    # In the synopsis and in the list of options alike; the manual may name cmdbctl's as well.
    synopsis = re.search(r"^\.Sh SYNOPSIS\n(.*?)^\.Sh ", manual, re.M | re.S).group(1)
    assert set(re.findall(r"Fl Fl ([a-z]+)", synopsis)) == offered
    assert set(re.findall(r"^\.It Fl Fl ([a-z]+)", manual, re.M)) == offered - {"help", "version"}
    said = re.search(r"^\.Sh EXIT STATUS\n(.*?)^\.Sh ", manual, re.M | re.S).group(1)
    statuses = {0: ["--version"], 64: ["--nope"], 78: ["--config", str(tmp_path / "none")]}
    for status, args in statuses.items():
        assert run(*args).returncode == status and re.search(rf"\b{status}\b", said), args
    assert run("word").returncode == 64


def test_exit_statuses_are_documented(stack):
    manual = (ROOT / "docs/cmdbctl.1").read_text()
    section = re.search(r"^\.Sh EXIT STATUS\n(.*?)^\.Sh ", manual, re.M | re.S).group(1)
    numbers = re.findall(r"^\.It (\d)$", section, re.M)
    assert numbers == list("01234")
    said = re.search(r"exit status: (.*)", stack.ctl("--help").stdout).group(1)
    assert re.findall(r"\b(\d) ", said) == numbers


def test_a_reader_that_has_gone_is_a_failure_not_a_crash(stack):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([stack.env["CMDB_CTL"], "config", "default"], stdout=write)
    os.close(write)
    assert done.returncode == FAILED


# ---- tenants ----

def test_tenant_add_list_disable_enable(stack, db):
    name = unique("tenant")
    made = stack.ctl("tenant", "add", name, "--json")
    assert made["name"] == name
    row = next(t for t in stack.ctl("tenant", "list", "--json") if t["name"] == name)
    assert (row["id"], row["status"], row["users"]) == (made["id"], "active", 0)
    assert name in stack.ctl("tenant", "list").stdout
    stack.ctl("tenant", "disable", name)
    assert one(db, "SELECT status FROM tenants WHERE name = %s", name) == "disabled"
    stack.ctl("tenant", "enable", name)
    assert one(db, "SELECT status FROM tenants WHERE name = %s", name) == "active"
    subject, target = last_audit(db, "tenant.enable")
    assert subject.startswith("cmdbctl:") and target == name


def test_tenant_errors(stack):
    fails(stack, NOT_FOUND, "there is a tenant named \"default\" already", "tenant", "add",
          "default")
    fails(stack, NOT_FOUND, "no tenant named \"nope\"; see cmdbctl tenant list", "tenant",
          "disable", "nope")
    for bad in ("", "a b", "a:b", "a,b", "x" * 65, "tab\there", "-x"):
        fails(stack, USAGE, "the name of a tenant", "tenant", "add", "--", bad)


def test_disabling_a_tenant_shuts_its_people_and_keys_out(stack):
    tenant = stack.tenant()
    user, key = stack.user(tenant, ("viewer",)), stack.key("websites:read", tenant=tenant)
    assert user.get(ME).status == 200 and key.get("/api/v1/websites").status == 200
    stack.ctl("tenant", "disable", tenant)
    wait_until(lambda: user.get(ME).status == 401, 2, "the user is out")
    wait_until(lambda: key.get("/api/v1/websites").status == 401, 2, "the key is out")
    stack.ctl("tenant", "enable", tenant)
    wait_until(lambda: key.get("/api/v1/websites").status == 200, 2, "the key is in again")


# ---- roles ----

def test_role_add_grant_revoke_show_delete(stack, db):
    name = unique("role")
    stack.ctl("role", "add", name, "websites:read", "--description", "reads websites")
    stack.ctl("role", "grant", name, "websites:write", "logs:*")
    shown = stack.ctl("role", "show", name, "--json")
    assert shown["permissions"] == ["logs:*", "websites:read", "websites:write"]
    assert (shown["description"], shown["users"]) == ("reads websites", 0)
    stack.ctl("role", "revoke", name, "websites:write")
    assert last_audit(db, "role.revoke")[1] == f"{name} websites:write"
    assert stack.ctl("role", "show", name, "--json")["permissions"] == ["logs:*", "websites:read"]
    assert "logs:*,websites:read" in stack.ctl("role", "list").stdout
    stack.ctl("role", "delete", name)
    fails(stack, NOT_FOUND, f'no role named "{name}"; see cmdbctl role list', "role", "show", name)


def test_role_errors(stack):
    fails(stack, USAGE, '"websites" is no permission', "role", "add", unique("role"), "websites")
    fails(stack, USAGE, "is no permission", "role", "grant", "viewer", "Websites:read")
    fails(stack, USAGE, "--description wants", "role", "add", unique("role"), "--description",
          "a\nb")
    fails(stack, NOT_FOUND, "has none of these", "role", "revoke", "viewer", "nope:read")
    fails(stack, NOT_FOUND, "users have the role admin", "role", "delete", "admin")
    fails(stack, NOT_FOUND, "a role named \"admin\" already", "role", "add", "admin")


def test_a_permission_taken_from_a_role_ends_blocked_requests(stack):
    role = unique("role")
    stack.ctl("role", "add", role, "websites:read", "logs:read")
    user = stack.user(roles=(role,))
    assert user.get("/api/v1/websites").status == 200
    with concurrent.futures.ThreadPoolExecutor() as pool:
        since = user.tail()
        before = stack.status()["waiters"]
        blocked = pool.submit(user.clone().get, f"/events?since={since}&timeout=20&topics=websites")
        wait_until(lambda: stack.status()["waiters"] > before, 5, "a blocked request")
        stack.ctl("role", "revoke", role, "websites:read")
        started = time.monotonic()
        blocked.result(15)
        assert time.monotonic() - started < 3
    wait_until(lambda: user.get("/api/v1/websites").status == 403, 2, "the permission is gone")


# ---- users ----

def test_user_add_with_a_generated_password_can_log_in(stack, db):
    name = unique("user")
    made = stack.ctl("user", "add", name, "--role", "viewer", "--role", "editor", "--department",
                     "tech", "--display-name", "Ünal 张", "--json")
    assert made["username"] == name and len(made["password"]) >= 16
    shown = stack.ctl("user", "show", name, "--json")
    assert shown["roles"] == ["editor", "viewer"] and shown["departments"] == ["tech"]
    assert (shown["tenant"], shown["display_name"]) == ("default", "Ünal 张")
    assert "Ünal 张" in stack.ctl("user", "show", name).stdout
    assert stack.api().login(name, made["password"]).get(ME).status == 200
    assert last_audit(db, "user.add")[1] == name
    text = stack.ctl("user", "add", unique("user")).stdout
    assert re.search(r"added; password: \S{16,}\n$", text)


def test_user_list_by_tenant(stack):
    tenant, name = stack.tenant(), unique("user")
    stack.ctl("user", "add", name, "--tenant", tenant)
    assert [u["username"] for u in stack.ctl("user", "list", "--tenant", tenant,
                                             "--json")] == [name]
    assert stack.ctl("user", "list", "--tenant", "nope", "--json") == []


@pytest.mark.parametrize("password, text", [
    ("", "no password"),
    ("short\n", "fewer than 8 bytes"),
    ("x" * 2000 + "\n", "longer than"),
])
def test_bad_passwords_are_refused(stack, db, password, text):
    name = unique("user")
    fails(stack, USAGE, text, "user", "add", name, "--password-stdin", input=password)
    assert one(db, "SELECT COUNT(*) FROM users WHERE username = %s", name) == 0


def test_user_errors_change_nothing(stack, db):
    name = unique("user")
    fails(stack, NOT_FOUND, 'no role named "nope"', "user", "add", name, "--role", "viewer",
          "--role", "nope")
    fails(stack, NOT_FOUND, 'no tenant named "nope"', "user", "add", name, "--tenant", "nope")
    assert one(db, "SELECT COUNT(*) FROM users WHERE username = %s", name) == 0
    fails(stack, NOT_FOUND, 'a user named "admin" already', "user", "add", "admin")
    fails(stack, NOT_FOUND, 'no user named "nope"; see cmdbctl user list', "user", "disable",
          "nope")
    fails(stack, NOT_FOUND, "does not have the role editor", "user", "revoke-role", "viewer",
          "editor")
    fails(stack, NOT_FOUND, "not in the department nope", "user", "remove-department", "viewer",
          "nope")
    fails(stack, USAGE, "--display-name wants", "user", "add", name, "--display-name", "a\x1b[31mb")


def test_a_new_password_logs_the_user_out(stack):
    user = stack.user(roles=("viewer",))
    name = user.user["username"]
    stack.ctl("user", "passwd", name, "--password-stdin", input="another horse 8\n")
    wait_until(lambda: user.get(ME).status == 401, 2, "the old access token is refused")
    assert stack.api().post("/api/v1/auth/refresh",
                            {"refresh_token": user.refresh_token}).status == 401
    assert stack.api().post("/api/v1/auth/login", {"username": name, "password":
                                                   "correct horse 7"}).status == 401
    stack.api().login(name, "another horse 8")
    made = stack.ctl("user", "passwd", name, "--json")
    stack.api().login(name, made["password"])


def test_roles_and_departments_of_a_user(stack, db):
    user = stack.user(roles=("viewer",))
    name = user.user["username"]
    stack.ctl("user", "grant-role", name, "editor", "viewer")
    stack.ctl("user", "add-department", name, "tech", "sales")
    shown = stack.ctl("user", "show", name, "--json")
    assert (shown["roles"], shown["departments"]) == (["editor", "viewer"], ["sales", "tech"])
    assert last_audit(db, "user.add-department")[1] == f"{name} tech, sales"
    stack.ctl("user", "revoke-role", name, "editor")
    stack.ctl("user", "remove-department", name, "sales")
    shown = stack.ctl("user", "show", name, "--json")
    assert (shown["roles"], shown["departments"]) == (["viewer"], ["tech"])


def test_user_delete(stack, db):
    user = stack.user(roles=("viewer",))
    name = user.user["username"]
    before = one(db, "SELECT COALESCE(MAX(id), 0) FROM ws_events")
    stack.ctl("user", "delete", name)
    assert ({"revoke": "user", "user_id": user.user["id"]} in
            [p for _, p in auth_events(db, before)])
    wait_until(lambda: user.get(ME).status == 401, 2, "it is out")
    fails(stack, NOT_FOUND, "no user named", "user", "show", name)


def test_the_last_admin_stays(own_stack):
    stack = own_stack()
    left = "nobody would be left"
    with stack.connect() as db:
        before = one(db, "SELECT COUNT(*) FROM audit_log")
        for args in (("user", "disable", "admin"), ("user", "delete", "admin"),
                     ("user", "revoke-role", "admin", "admin"), ("role", "revoke", "admin", "*"),
                     ("tenant", "disable", "default")):
            fails(stack, NOT_FOUND, left, *args)
        assert one(db, "SELECT COUNT(*) FROM audit_log") == before
        assert stack.admin().get(ME).status == 200
        # Two admins, each taken away at the same time: one of the two commands is refused.
        stack.ctl("user", "add", "second", "--role", "admin")
        for _ in range(5):
            with concurrent.futures.ThreadPoolExecutor() as pool:
                done = list(pool.map(lambda who: stack.ctl("user", "disable", who, check=False),
                                     ("admin", "second")))
            assert sorted(d.returncode for d in done) == [OK, NOT_FOUND], done
            assert one(db, "SELECT COUNT(*) FROM users WHERE status = 'active' AND username IN "
                           "('admin', 'second')") == 1
            stack.ctl("user", "enable", "admin")
            stack.ctl("user", "enable", "second")


# ---- API keys ----

def test_apikey_life(stack, db):
    name = unique("key")
    made = stack.ctl("apikey", "add", name, "--scope", "websites:read", "--scope", "nodes:read",
                     "--expires-days", "30", "--json")
    row = next(k for k in stack.ctl("apikey", "list", "--json") if k["name"] == name)
    assert row["scopes"] == ["nodes:read", "websites:read"] and row["status"] == "active"
    assert made["key"].startswith(row["prefix"])
    assert row["expires_at"] and row["tenant"] == "default"
    assert made["key"] not in stack.ctl("apikey", "list").stdout
    client = stack.api(key=made["key"])
    assert client.get("/api/v1/websites").status == 200
    assert client.get("/api/v1/line-groups").status == 403
    stack.ctl("apikey", "revoke", name)
    assert last_audit(db, "apikey.revoke")[1] == name
    wait_until(lambda: client.get("/api/v1/websites").status == 401, 2, "the key is refused")
    # The name is free again; the old key stays dead.
    again = stack.ctl("apikey", "add", name, "--scope", "*", "--json")
    assert stack.api(key=again["key"]).get("/api/v1/websites").status == 200
    assert client.get("/api/v1/websites").status == 401


def test_an_expired_key_shows_as_expired(stack, db):
    name = unique("key")
    stack.ctl("apikey", "add", name, "--scope", "*", "--expires-days", "1")
    with db.cursor() as c:
        c.execute("UPDATE api_keys SET expires_at = NOW(3) - INTERVAL 1 SECOND WHERE name = %s",
                  (name,))
    row = next(k for k in stack.ctl("apikey", "list", "--json") if k["name"] == name)
    assert row["status"] == "expired"


def test_apikey_errors(stack):
    name = unique("key")
    fails(stack, USAGE, "say what the key may do", "apikey", "add", name)
    fails(stack, USAGE, "is no permission", "apikey", "add", name, "--scope", "x y")
    fails(stack, NOT_FOUND, "no tenant named", "apikey", "add", name, "--scope", "*", "--tenant",
          "nope")
    stack.ctl("apikey", "add", name, "--scope", "*")
    fails(stack, NOT_FOUND, "an API key named .* already", "apikey", "add", name, "--scope", "*")
    fails(stack, NOT_FOUND, "no active API key", "apikey", "revoke", name, "--tenant",
          stack.tenant())


# ---- tokens ----

def test_token_issue_check_revoke(stack, db):
    name = stack.user(roles=("viewer",)).user["username"]
    made = stack.ctl("token", "issue", name, "--ttl", "600", "--json")
    client = stack.api(token=made["access_token"])
    assert client.get(ME).data["username"] == name
    good = stack.ctl("token", "check", "-", "--json", input=made["access_token"] + "\n")
    assert good["valid"] and good["jti"] == made["jti"] and good["username"] == name
    before = one(db, "SELECT COALESCE(MAX(id), 0) FROM ws_events")
    stack.ctl("token", "revoke", made["access_token"])
    assert {"revoke": "jti", "jti": made["jti"]} in [p for _, p in auth_events(db, before)]
    wait_until(lambda: client.get(ME).status == 401, 2, "the token is refused")
    bad = stack.ctl("token", "check", made["access_token"], "--json", check=False)
    assert bad.returncode == FAILED and json.loads(bad.stdout)["reason"] == "it was revoked"
    assert last_audit(db, "token.revoke")[1] == made["jti"]


def test_a_token_is_revoked_by_its_jti_too(stack):
    made = stack.ctl("token", "issue", "viewer", "--json")
    client = stack.api(token=made["access_token"])
    assert client.get(ME).status == 200
    stack.ctl("token", "revoke", made["jti"])
    wait_until(lambda: client.get(ME).status == 401, 2, "the token is refused")


def test_token_errors(stack):
    fails(stack, NOT_FOUND, "no user named", "token", "issue", "nope")
    fails(stack, USAGE, "neither a token of this installation nor a jti", "token", "revoke", "xyz")
    done = stack.ctl("token", "check", "a.b.c", check=False)
    assert done.returncode == FAILED and "valid: no" in done.stdout
    name = stack.user(roles=("viewer",)).user["username"]
    made = stack.ctl("token", "issue", name, "--json")
    stack.ctl("user", "disable", name)
    done = stack.ctl("token", "check", made["access_token"], check=False)
    assert done.returncode == FAILED and "its user or tenant is disabled" in done.stdout
    fails(stack, NOT_FOUND, "is disabled", "token", "issue", name)
    fails(stack, FAILED, "nope", "token", "issue", "viewer", "--set", "auth.key_file=/nope")


# ---- events ----

def test_publish_reaches_a_blocked_request_at_once(stack, admin):
    since = admin.tail()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        before = stack.status()["waiters"]
        blocked = pool.submit(admin.clone().poll, since, 20, topics="alerts")
        wait_until(lambda: stack.status()["waiters"] > before, 5, "a blocked request")
        event_id = stack.ctl("events", "publish", "alerts", "add", '{"n":1}', "--json")["id"]
        got = blocked.result(10)["events"]
    assert [(e["id"], e["topic"], e["type"], e["data"]) for e in got] == [
        (event_id, "alerts", "add", {"n": 1})]


def test_publish_reads_the_payload_from_stdin_for_a_room_of_a_tenant(stack, db):
    tenant = stack.tenant()
    made = stack.ctl("events", "publish", "alerts", "update", "-", "--room", "user:7,role:a", "--name",
                     "ping", "--tenant", tenant, input='{"text": "grüß"}\n')
    with db.cursor() as c:
        c.execute("SELECT e.event_type, e.room, e.name, t.name, JSON_VALUE(e.payload, '$.text') "
                  "FROM ws_events e JOIN tenants t ON t.id = e.tenant_id WHERE e.id = %s",
                  (int(made.stdout),))
        assert c.fetchone() == ("update", "user:7,role:a", "ping", tenant, "grüß")
    assert last_audit(db, "events.publish")[1] == "alerts update"


@pytest.mark.parametrize("args, status, text", [
    (("_auth", "add", "{}"), USAGE, "cmdb's own"),
    (("a b", "add", "{}"), USAGE, "the name of a topic"),
    (("alerts", "create", "{}"), USAGE, "add, update or delete"),
    (("alerts", "add", "{"), USAGE, "no JSON: .* at byte 1"),
    (("alerts", "add", '{"a":NaN}'), USAGE, "no JSON"),
    (("alerts", "add", ""), USAGE, "no JSON"),
    (("alerts", "add", "{}", "--tenant", "nope"), NOT_FOUND, "no tenant named"),
    (("alerts", "add", "{}", "--room", "x" * 129), USAGE, "--room wants names"),
    (("alerts", "add", "{}", "--room", "user:7,,role:a"), USAGE, "--room wants names"),
    (("alerts", "add", "{}", "--room", ",".join(["x" * 127] * 5)), USAGE, "--room wants at most 512"),
])
def test_publish_refuses(stack, db, args, status, text):
    before = one(db, "SELECT COALESCE(MAX(id), 0) FROM ws_events")
    fails(stack, status, text, "events", "publish", *args)
    assert one(db, "SELECT COUNT(*) FROM ws_events WHERE id > %s AND topic = 'alerts'", before) == 0


def test_tail_shows_what_came_after_an_event(stack):
    topic = unique("topic")
    ids = [stack.ctl("events", "publish", topic, "add", f'{{"n":{n}}}', "--json")["id"]
           for n in range(3)]
    wait_until(lambda: stack.status()["tail"] >= ids[-1], 5, "all are released")
    lines = stack.ctl("events", "tail", "--since", ids[0], "--topics", topic, "--json",
                      check=False).stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids[1:]
    text = stack.ctl("events", "tail", "--since", ids[1], "--topics", topic).stdout
    assert re.fullmatch(rf'{ids[2]} \S+Z {topic} add {{"n":2}}\n', text)
    for n, shown in ((["-n", 1000], 3), (["-n2"], 2), (["-n=1"], 1)):
        last = stack.ctl("events", "tail", *n, "--topics", f"{topic},other").stdout
        assert len(last.splitlines()) == shown


def test_tail_does_not_pass_on_what_steers_a_terminal(stack):
    topic = unique("topic")
    made = stack.ctl("events", "publish", topic, "add", json.dumps("\x9b31m", ensure_ascii=False),
                     "--json")["id"]
    wait_until(lambda: stack.status()["tail"] >= made, 5, "it is released")
    text = stack.ctl("events", "tail", "--since", made - 1, "--topics", topic).stdout
    assert "\x9b" not in text and "?31m" in text


def test_tail_errors(stack, tmp_path):
    fails(stack, USAGE, "cmdbctl: -n wants a number", "events", "tail", "-nx")
    fails(stack, USAGE, "cmdbctl: -f takes no value", "events", "tail", "-fn2")
    fails(stack, UNREACHABLE, "cannot be reached", "events", "tail", "--url", "http://127.0.0.1:1")
    fails(stack, FAILED, "401", "events", "tail", "--token", "nope")
    fails(stack, USAGE, "400 bad_request", "events", "tail", "--topics", "two words")
    fails(stack, FAILED, "wants to know who asks", "events", "tail", "--set", "cli.api_key_file=")
    key = tmp_path / "key"
    key.write_text(stack.env["CMDB_API_KEY"] + "\n")
    key.chmod(0o644)
    fails(stack, FAILED, str(key), "events", "tail", "--api-key-file", key)
    key.chmod(0o600)
    stack.ctl("events", "tail", "--api-key-file", key)


class Follower:
    """cmdbctl events tail -f --json, its lines as they come."""

    def __init__(self, stack, *args):
        self.seen, self.done = [], subprocess.Popen(
            [stack.env["CMDB_CTL"], "events", "tail", "-f", "--json", *map(str, args)], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "CMDB_CONFIG": stack.env["CMDB_CONFIG"]})
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.done.stdout:
            self.seen.append(json.loads(line))

    def ids(self):
        return [e["id"] for e in self.seen if "id" in e]

    def stop(self):
        self.done.kill()
        self.done.wait()


def test_tail_follows_over_restarts_and_says_resets(own_stack):
    stack = own_stack()
    publish = lambda: stack.ctl("events", "publish", "alerts", "add", "{}", "--json")["id"]
    first = publish()
    follower = Follower(stack, "--since", first - 1)
    try:
        wait_until(lambda: follower.ids() == [first], 10, "the first event")
        for name in ("fcgi-1", "fcgi-2", "poller", "lighttpd"):
            stack.kill(name)
        ids = [first] + [publish() for _ in range(5)]
        wait_until(lambda: follower.ids() == ids, 30, "events from before and after the restart")
    finally:
        follower.stop()
    stack.ctl("events", "prune", "--rows", 1)
    follower = Follower(stack, "--since", 0)
    try:
        wait_until(lambda: follower.seen, 10, "the reset")
        assert follower.seen[0]["reset"]["reason"] == "expired"
        last = publish()
        wait_until(lambda: last in follower.ids(), 10, "what comes after the reset")
    finally:
        follower.stop()


def test_stats(stack, db):
    topic = unique("topic")
    made = stack.ctl("events", "publish", topic, "add", "1", "--json")["id"]
    wait_until(lambda: stack.ctl("events", "stats", "--json")["pollers"][0]["tail"] >= made, 10,
               "the poller has saved its tail")
    stats = stack.ctl("events", "stats", "--json")
    assert stats["epoch"] == one(db, "SELECT epoch FROM ws_log")
    assert stats["rows"] >= 1 and stats["last_id"] >= made
    row = next(t for t in stats["topics"] if t["topic"] == topic)
    assert row == {"topic": topic, "retention": "lasting", "rows": 1, "first_id": made,
                   "last_id": made}
    assert sum(h["rows"] for h in stats["hours"]) >= 1
    assert topic in stack.ctl("events", "stats").stdout


# ---- prune ----

def fill(db, n, age="0 SECOND"):
    with db.cursor() as c:
        c.execute("INSERT INTO ws_events (topic, event_type, payload, created_at) "
                  f"SELECT 'filler', 'add', '{{}}', NOW(3) - INTERVAL {age} FROM seq_1_to_{n}")


def saved_tail(stack, db):
    """Waits until the poller has released and recorded all there is."""
    newest = one(db, "SELECT MAX(id) FROM ws_events")
    wait_until(lambda: (one(db, "SELECT MIN(tail) FROM ws_pollers") or 0) >= newest, 15,
               "the poller has saved its tail")
    return newest


def test_prune_by_age_and_rows(own_stack):
    stack = own_stack()
    db = stack.connect()
    fill(db, 12000, "8 DAY")
    fill(db, 300, "6 DAY")
    saved_tail(stack, db)
    old = one(db, "SELECT MAX(id) FROM ws_events WHERE created_at < NOW() - INTERVAL 7 DAY")
    dry = stack.ctl("events", "prune", "--dry-run", "--json")
    assert (dry["dry_run"], dry["events"], dry["floor"]) == (True, 12000, old)
    assert one(db, "SELECT floor FROM ws_log") == 0
    done = stack.ctl("events", "prune", "--json")
    assert (done["events"], done["floor"]) == (12000, old)
    assert one(db, "SELECT floor FROM ws_log") == old == stack.status()["floor"]
    # Ids have gaps: the newest rows are counted, not ids.
    with db.cursor() as c:
        c.execute("DELETE FROM ws_events WHERE id %% 3 = 0" % ())
    left = one(db, "SELECT COUNT(*) FROM ws_events")
    assert stack.ctl("events", "prune", "--rows", left - 10, "--json")["events"] == 10
    assert one(db, "SELECT COUNT(*) FROM ws_events") == left - 10
    # The floor never comes down.
    floor = one(db, "SELECT floor FROM ws_log")
    assert stack.ctl("events", "prune", "--json")["floor"] == floor
    # An older cursor is told, a younger one is served.
    admin = stack.admin()
    assert admin.poll(old - 1, 0)["reset"]["reason"] == "expired"
    assert len(admin.poll(floor, 0)["events"]) > 0


def test_prune_keeps_young_events_behind_old_ones_and_ignores_wrong_dates(own_stack):
    stack = own_stack()
    db = stack.connect()
    fill(db, 5, "9 DAY")
    fill(db, 5)
    fill(db, 5, "9 DAY")
    saved_tail(stack, db)
    assert stack.ctl("events", "prune", "--json")["events"] == 5
    assert one(db, "SELECT COUNT(*) FROM ws_events") == 10
    with db.cursor() as c:
        c.execute("UPDATE ws_events SET created_at = '2099-01-01' "
                  "WHERE created_at > NOW() - INTERVAL 1 DAY")
    assert stack.ctl("events", "prune", "--json")["events"] == 10


def test_prune_never_passes_a_poller(own_stack):
    stack = own_stack()
    db = stack.connect()
    fill(db, 100, "8 DAY")
    newest = saved_tail(stack, db)
    with db.cursor() as c:
        c.execute("INSERT INTO ws_pollers (node_id, tail, seen_at) "
                  "VALUES (99, %s, NOW(3) - INTERVAL 1 HOUR)", (newest - 40,))
    assert stack.ctl("events", "prune", "--json")["floor"] == newest - 40
    with db.cursor() as c:
        c.execute("UPDATE ws_pollers SET seen_at = NOW(3) - INTERVAL 2 DAY WHERE node_id = 99")
    assert stack.ctl("events", "prune", "--json")["floor"] == newest


def test_prune_goes_on_where_a_run_died(own_stack):
    stack = own_stack()
    db = stack.connect()
    fill(db, 100)
    newest = saved_tail(stack, db)
    with db.cursor() as c:
        c.execute("UPDATE ws_log SET floor = %s", (newest - 10,))
    done = stack.ctl("events", "prune", "--json")
    assert (done["floor"], done["events"]) == (newest - 10, 90)


def test_prune_deletes_nothing_that_the_poller_was_not_told_of(own_stack, tmp_path):
    stack = own_stack()
    db = stack.connect()
    fill(db, 10, "8 DAY")
    newest = saved_tail(stack, db)
    # Something listens there that is no poller.
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        s.listen()
        threading.Thread(target=lambda: s.accept()[0].sendall(b"HTTP/1.1 400\r\n\r\n"),
                         daemon=True).start()
        fails(stack, UNREACHABLE, "nothing was deleted", "events", "prune", "--set",
              f"poller.socket={path}")
    assert one(db, "SELECT COUNT(*) FROM ws_events WHERE id <= %s", newest) == 10
    # Without a poller nobody has to be told.
    assert stack.ctl("events", "prune", "--json", "--set",
                     f"poller.socket={tmp_path}/none")["events"] == 10


def test_prune_removes_what_has_run_out(own_stack):
    stack = own_stack()
    db = stack.connect()
    with db.cursor() as c:
        user = one(db, "SELECT id FROM users LIMIT 1")
        for age, tag in ((1, "a"), (-1, "b")):
            c.execute("INSERT INTO revoked_tokens (jti, expires_at) VALUES (REPEAT(%s, 32), "
                      "NOW(3) - INTERVAL %s HOUR)", (tag, age))
            c.execute("INSERT INTO refresh_tokens (hash, family, user_id, access_jti, "
                      "access_expires_at, expires_at) VALUES "
                      "(REPEAT(%s, 32), REPEAT('f', 16), %s, REPEAT('f', 32), "
                      "NOW(3) - INTERVAL 1 HOUR, NOW(3) - INTERVAL %s HOUR)",
                      (tag, user, age))
            c.execute("INSERT INTO auth_failures (kind, subject, window_ends, failures) VALUES "
                      "('account', %s, NOW(3) - INTERVAL %s HOUR, 1)", (tag, age))
            c.execute("INSERT INTO idempotency_keys (tenant_id, subject, idem_key, request_hash, "
                      "created_at) VALUES (1, 'u:1', %s, REPEAT('h', 32), "
                      "NOW(3) - INTERVAL %s HOUR)", (tag, 36 + 24 * age))
            c.execute("INSERT INTO ws_sessions (id, node_id, tenant_id, user_id, api_key_id, "
                      "username, cursor_id, connected_at, seen_at, record) VALUES "
                      "(REPEAT(%s, 16), 99, 1, 1, 0, 'x', 0, NOW(3) - INTERVAL 9 DAY, "
                      "NOW(3) - INTERVAL %s HOUR, '')", (tag, 24 + age))
    dry = stack.ctl("events", "prune", "--dry-run", "--json")
    done = stack.ctl("events", "prune", "--json")
    for table in ("revoked_tokens", "refresh_tokens", "auth_failures", "idempotency_keys",
                  "ws_sessions"):
        assert dry[table] == done[table] == 1, table
    assert one(db, "SELECT LEFT(jti, 1) FROM revoked_tokens") == "b"
    assert one(db, "SELECT COUNT(*) FROM refresh_tokens WHERE hash = REPEAT('a', 32)") == 0
    assert one(db, "SELECT COUNT(*) FROM auth_failures WHERE subject = 'b'") == 1
    assert one(db, "SELECT COUNT(*) FROM idempotency_keys WHERE idem_key = 'b'") == 1
    assert one(db, "SELECT COUNT(*) FROM ws_sessions WHERE id = REPEAT('b', 16)") == 1


def test_prune_under_readers_never_gives_a_partial_replay(own_stack):
    """While pruning runs, a reader with an old cursor gets everything after it or a reset."""
    stack = own_stack()
    db = stack.connect()
    fill(db, 20000, "8 DAY")
    newest = saved_tail(stack, db)
    stop, wrong, resets = threading.Event(), [], [0]
    admin = stack.admin()

    def read(worker):
        client, cursor = admin.clone(), worker * 37
        while not stop.is_set():
            got = client.poll(cursor, 0, limit=200)
            if "reset" in got:
                resets[0] += 1
            elif cursor < newest:
                ids = [e["id"] for e in got["events"]]
                if ids != list(range(cursor + 1, cursor + 1 + len(ids))) or not ids:
                    wrong.append((cursor, ids[:3]))
            cursor = (cursor + 997) % newest

    readers = [threading.Thread(target=read, args=(n,)) for n in range(3)]
    for r in readers:
        r.start()
    try:
        for rows in range(18000, 0, -3000):
            stack.ctl("events", "prune", "--days", 3650, "--rows", rows)
    finally:
        stop.set()
        for r in readers:
            r.join()
    assert not wrong, wrong[:5]
    assert resets[0] > 0


def test_prune_shows_progress_only_on_a_terminal(own_stack):
    stack = own_stack()
    db = stack.connect()
    fill(db, 6000, "8 DAY")
    saved_tail(stack, db)
    master, slave = pty.openpty()
    done = subprocess.run([stack.env["CMDB_CTL"], "events", "prune", "--json"],
                          stdout=subprocess.PIPE,
                          stderr=slave, env={**os.environ, "CMDB_CONFIG": stack.env["CMDB_CONFIG"]})
    os.close(slave)
    assert b"%" in os.read(master, 65536)
    os.close(master)
    assert json.loads(done.stdout)["events"] == 6000
    assert stack.ctl("events", "prune").stderr == ""


# ---- websites ----

def test_websites_life(stack, db):
    domain = unique("site") + ".example.com"
    group = one(db, "SELECT name FROM line_groups WHERE tenant_id = 1 LIMIT 1")
    made = stack.ctl("websites", "create", "--domain", domain, "--domain", f"www.{domain}",
                     "--origin-mode", "redirect", "--redirect-url", "https://example.org/",
                     "--redirect-status-code", 308, "--line-group", group, "--https", "on",
                     "--json")
    assert made["domains"] == [domain, f"www.{domain}"] and made["line_group_name"] == group
    assert (made["redirect_status_code"], made["https_enabled"]) == (308, True)
    assert stack.ctl("websites", "show", made["id"], "--json") == made
    assert f"domains: {domain},www.{domain}\n" in stack.ctl("websites", "show", made["id"]).stdout
    listed = stack.ctl("websites", "list", "--domain", domain, "--json")
    assert [w["id"] for w in listed] == [made["id"]]
    assert domain in stack.ctl("websites", "list", "--search", domain).stdout
    changed = stack.ctl("websites", "update", made["id"], "--status", "inactive", "--line-group",
                        "none", "--if-version", made["version"], "--json")
    assert (changed["status"], changed["line_group_id"]) == ("inactive", None)
    fails(stack, NOT_FOUND, "409 stale_version", "websites", "update", made["id"], "--status",
          "active", "--if-version", made["version"])
    stack.ctl("websites", "delete", made["id"])
    fails(stack, NOT_FOUND, "404 not_found", "websites", "show", made["id"])


def test_websites_list_takes_all_pages(stack, db):
    listed = stack.ctl("websites", "list", "--json")
    assert len(listed) == one(db, "SELECT COUNT(*) FROM websites WHERE tenant_id = 1") > 100


def test_websites_errors(stack, viewer, tmp_path):
    done = fails(stack, USAGE, "422 validation_failed", "websites", "create", "--domain", "-bad-",
                 "--origin-mode", "nope")
    assert re.search(r"\n  domains\S*: ", done.stderr) and "\n  origin_mode: " in done.stderr
    fails(stack, USAGE, '"x" is not the id', "websites", "delete", "1", "x")
    fails(stack, USAGE, "--https is on or off", "websites", "create", "--https", "maybe")
    fails(stack, NOT_FOUND, 'no "nope" among the line-groups', "websites", "create",
          "--line-group", "nope")
    fails(stack, USAGE, "400 bad_request", "websites", "list", "--status", "nope")
    fails(stack, FAILED, "403 forbidden", "websites", "delete", "1", "--token", viewer.token)
    fails(stack, UNREACHABLE, "cannot be reached", "websites", "list", "--url",
          "http://127.0.0.1:1")
    fails(stack, FAILED, "not cmdb", "websites", "list", "--url", stack.url + "/nothing-here")


# ---- status, config ----

def test_status(stack):
    status = stack.ctl("status", "--json")
    assert (status["poller"]["state"], status["database"]["state"], status["web"]["state"]) == (
        "up", "up", "up")
    assert status["database"]["schema_version"] >= 2 and status["poller"]["node_id"] == 1
    text = stack.ctl("status").stdout
    assert re.search(r"^poller\.tail: \d+$", text, re.M)
    assert re.search(r"^poller\.sources\.binlog\.state: ", text, re.M)


def test_status_says_what_is_down(stack, tmp_path):
    done = stack.ctl("status", "--json", "--set", f"poller.socket={tmp_path}/none", check=False)
    assert done.returncode == UNREACHABLE
    assert json.loads(done.stdout)["poller"]["state"] == "down"
    for part, setting in (("database", f"database.socket={tmp_path}/none"),
                          ("web", "cli.url=http://127.0.0.1:1"),
                          ("poller", f"poller.socket={tmp_path}/none")):
        done = stack.ctl("status", "--json", "--set", setting, check=False)
        assert done.returncode == UNREACHABLE
        said = json.loads(done.stdout)
        assert {p: said[p]["state"] for p in ("poller", "database", "web")} == {
            p: "down" if p == part else "up" for p in ("poller", "database", "web")}
        assert said[part]["error"]


def test_status_of_a_database_that_takes_no_writes(own_stack):
    stack = own_stack()
    assert stack.ctl("status", "--json")["web"]["writes"] == "ok"
    with stack.connect() as db, db.cursor() as c:
        c.execute("SET GLOBAL read_only = 1")
    wait_until(lambda: stack.ctl("status", check=False).returncode == FAILED, 10)
    done = stack.ctl("status", "--json", check=False)
    web = json.loads(done.stdout)["web"]
    assert (done.returncode, web["healthy"], web["writes"]) == (FAILED, False, "failing")


def test_database_that_is_not_there_or_denies(stack, tmp_path):
    fails(stack, UNREACHABLE, "cannot open the database.*is MariaDB running", "user", "list",
          "--set", f"database.socket={tmp_path}/none")
    fails(stack, FAILED, "cannot open the database", "user", "list", "--set", "cli.db_user=nope")


def test_config(stack):
    shown = stack.ctl("config", "show", "--json")
    assert shown["poller"]["socket"] == stack.env["CMDB_POLLER_SOCKET"]
    secret = re.search(r"^db_password = (\w+)$",
                       stack.ctl("config", "show", "--with-secrets").stdout, re.M).group(1)
    assert secret not in stack.ctl("config", "show").stdout
    assert secret not in json.dumps(shown)
    assert "#socket = /run/mysqld/mysqld.sock" in stack.ctl("config", "default").stdout
    assert "right" in stack.ctl("config", "check").stdout
    assert stack.ctl("config", "check", "--json")["valid"] is True
    bad = stack.ctl("config", "check", "--set", "fcgi.workers=0", "--set", "a.b=c", check=False)
    assert bad.returncode == FAILED and bad.stdout == ""
    assert "fcgi.workers" in bad.stderr and "a.b" in bad.stderr
    fails(stack, FAILED, "the configuration is wrong:\n.*a.b", "status", "--set", "a.b=c")


# ---- doctor ----

def verdicts(stack, *args):
    done = stack.ctl("doctor", "--json", *args, check=False)
    found = {f["check"]: f for f in json.loads(done.stdout)}
    is_bad = any(f["verdict"] == "fail" for f in found.values())
    assert done.returncode == (FAILED if is_bad else OK)
    for f in found.values():
        assert bool(f["cure"]) == (f["verdict"] in ("warn", "fail")), f
    return found


def test_doctor_finds_nothing_wrong_with_a_healthy_stack(stack):
    found = verdicts(stack, "--deep")
    # The disk is the machine's own affair.
    assert {n: f for n, f in found.items() if f["verdict"] in ("warn",
                                                               "fail") and n != "disk"} == {}
    assert found["hang-ups"]["verdict"] == "ok" and found["schema"]["verdict"] == "ok"
    text = stack.ctl("doctor", check=False).stdout
    assert re.search(r"^OK    poller: version ", text, re.M) and re.search(r"\d+ ok, ", text)


@pytest.mark.parametrize("check, verdict, sets", [
    ("configuration", "fail", ["a.b=c"]),
    ("token key", "fail", ["auth.key_file=/nope"]),
    ("database", "fail", ["database.socket=/nope"]),
    ("database as cmdb-fcgi", "fail", ["fcgi.db_password=wrong"]),
    ("database as cmdb-poller", "fail", ["poller.db_password=wrong"]),
    ("schema", "fail", ["database.name=nope"]),
    ("poller", "fail", ["poller.socket=/nope"]),
    ("web server", "fail", ["cli.url=http://127.0.0.1:1"]),
    ("API key", "fail", ["cli.api_key_file=/nope"]),
    ("API key", "skip", ["cli.api_key_file="]),
    ("open files", "warn", ["fcgi.max_parked=1000000"]),
    ("connections", "warn", ["fcgi.workers=64"]),
    ("binlog rights", "skip", ["poller.binlog=off"]),
])
def test_doctor_names_what_is_broken(stack, check, verdict, sets):
    found = verdicts(stack, *[a for s in sets for a in ("--set", s)])
    if check == "schema":  # no such database: it is not reached at all
        assert found["database"]["verdict"] == "fail"
    else:
        assert found[check]["verdict"] == verdict, found[check]


def test_doctor_on_a_stack_that_needs_care(own_stack, tmp_path):
    stack = own_stack()
    db = stack.connect()
    fill(db, 1, "9 DAY")
    config = tmp_path / "cmdb.conf"
    config.write_text(open(stack.env["CMDB_CONFIG"]).read())
    config.chmod(0o644)
    with db.cursor() as c:
        c.execute("SET GLOBAL wait_timeout = 5")
        c.execute("INSERT INTO schema_migrations (version, name, checksum, state, started_at) "
                  "VALUES (9999, 'half', REPEAT('0', 64), 'started', NOW(3))")
    # An open transaction holds the events after its own.
    blocker = stack.connect(autocommit=False)
    with blocker.cursor() as c:
        c.execute("INSERT INTO ws_events (topic, event_type, payload) "
                  "VALUES ('alerts', 'add', '{}')")
        fill(db, 1)
        found = verdicts(stack, "--config", str(config))
    blocker.close()
    for check, verdict in (("configuration file", "fail"), ("schema", "fail"), ("retention",
                                                                                "warn"),
                           ("wait_timeout", "warn"), ("event lag", "warn")):
        assert found[check]["verdict"] == verdict, found[check]
    assert "transaction" in found["event lag"]["cure"]


def test_audit_names_the_system_user_of_each_change(stack, db):
    stack.tenant()
    assert last_audit(db, "tenant.add")[0] == f"cmdbctl:{getpass.getuser()}"


# ---- what is printed ----

STEERS = "\x9b31m\u202egpj.exe\u2066\x7f\U000e0041"


def leaves(stack):
    """Every command and verb, out of the completion file."""
    script = stack.ctl("completion", "bash").stdout
    found = re.findall(r"^\t([\w-]+):(\S+)\) what=", script, re.M)
    verbs = {c for c, v in found if v != "*"}
    return [(c,) if v == "*" and c not in verbs else (c, v) for c, v in found
            if v != "*" or c not in verbs]


def test_output_that_cannot_be_written_is_said(stack):
    stack.ctl("events", "publish", unique("topic"), "add", "{}")
    for args in (("config", "default"), ("tenant", "list"), ("--help",), ("user", "list", "--json"),
                 ("--version",), ("status",), ("doctor",), ("events", "stats"),
                 ("events", "tail", "-n", "1")):
        with open("/dev/full", "w") as full:
            done = subprocess.run([stack.env["CMDB_CTL"], *args], stdout=full, text=True,
                                  stderr=subprocess.PIPE,
                                  env={**os.environ, "CMDB_CONFIG": stack.env["CMDB_CONFIG"]})
        assert done.returncode == FAILED, (args, done)
        assert "cmdbctl: the output cannot be written: No space left" in done.stderr, args
    # A closed standard output is not the database's socket.
    done = subprocess.run(["sh", "-c", '"$0" tenant list >&-', stack.env["CMDB_CTL"]], text=True,
                          capture_output=True,
                          env={**os.environ, "CMDB_CONFIG": stack.env["CMDB_CONFIG"]})
    assert done.returncode == FAILED and "cannot be written: Bad file descriptor" in done.stderr
    # head(1) has what it wanted: no complaint.
    done = subprocess.run(["bash", "-c", '"$0" config default | true; echo ${PIPESTATUS[0]}',
                           stack.env["CMDB_CTL"]], text=True, capture_output=True)
    assert done.stderr == "" and done.stdout in ("0\n", "1\n")


def test_nothing_steers_a_terminal(stack, db):
    name = stack.tenant()
    with db.cursor() as c:
        c.execute("INSERT INTO users (tenant_id, username, display_name, password_hash) SELECT id, "
                  "%s, %s, '-' FROM tenants WHERE name = %s", (unique("u"), STEERS, name))
    made = stack.ctl("events", "publish", unique("topic"), "add",
                     json.dumps({"text": STEERS}, ensure_ascii=False), "--json")["id"]
    wait_until(lambda: stack.status()["tail"] >= made, 5, "it is released")
    for args in (("user", "list", "--tenant", name), ("events", "tail", "--since", made - 1)):
        for how in ((), ("--json",)):
            done = subprocess.run([stack.env["CMDB_CTL"], *map(str, args), *how], text=True,
                                  capture_output=True,
                                  env={**os.environ, "CMDB_CONFIG": stack.env["CMDB_CONFIG"]})
            assert done.returncode == OK and not set(STEERS) - set("31mgpj.exe") & set(done.stdout)
            if how:
                shown = json.loads(done.stdout.splitlines()[0])
                text = shown[0]["display_name"] if args[0] == "user" else shown["data"]["text"]
                assert text == STEERS and "\\u009b31m\\u202egpj" in done.stdout
            else:
                assert "?31m?gpj.exe?" in done.stdout
    done = stack.ctl("user", "show", STEERS, check=False)
    assert done.returncode == NOT_FOUND and '"?31m?gpj.exe?' in done.stderr
    done = stack.ctl("config", "check", "--set", f"{STEERS}.x=1", check=False)
    assert not set(STEERS) - set("31mgpj.exe") & set(done.stderr)


def test_one_long_row_does_not_widen_the_others(stack, db):
    name = stack.tenant()
    with db.cursor() as c:
        for display in ("x" * 128, "\u4e2d" * 60, "short"):
            c.execute("INSERT INTO users (tenant_id, username, display_name, password_hash) SELECT "
                      "id, %s, %s, '-' FROM tenants WHERE name = %s", (unique("u"), display, name))
    lines = stack.ctl("user", "list", "--tenant", name).stdout.splitlines()
    assert len(lines) == 4
    short = next(line for line in lines if "short" in line)
    assert len(short) < 220 and "x" * 128 in "".join(lines) and "\u4e2d" * 60 in "".join(lines)


def test_json_is_one_document_or_one_a_line(stack):
    """Every command with --json, told to do something that it can."""
    device = unique("d")
    stack.ctl("logs", "send", "--device", device, input="a line\n")
    topic, tenant, user, role = unique("topic"), unique("t"), unique("u"), unique("r")
    schema = str(ROOT / "schema")
    args = {
        "migrate": ["--status", "--schema", schema], "tenant add": [tenant],
        "tenant disable": [tenant], "tenant enable": [tenant], "role add": [role, "websites:read"],
        "role show": [role], "role grant": [role, "nodes:read"],
        "role revoke": [role, "websites:read"], "user add": [user],
        "user show": [user], "user passwd": [user], "user disable": [user], "user enable": [user],
        "user grant-role": [user, "viewer"], "user revoke-role": [user, "viewer"],
        "user add-department": [user, "d"], "user remove-department": [user, "d"],
        "apikey add": [unique("k"), "--scope", "websites:read"],
        "token issue": [user], "events publish": [topic, "add", "{}"],
        "broadcast": ["--event", "news", "--data", "{}"],
        "logs send": ["--device", "d-1", "/dev/null"], "devices show": [device],
        "logs generate": ["--rate", "5", "--for", "1"],
        "events tail": ["-n", "3"], "events prune": ["--dry-run"],
        "websites create": ["--domain", unique("w") + ".example.com", "--origin-mode", "redirect",
                            "--redirect-url", "https://example.org/"],
        "websites show": [3], "websites update": [3, "--status", "active"],
    }
    crowd = Crowd(stack, 1, [topic] * 2)
    for verb, c in zip(("show", "kick"), stack.ctl("sessions", "list", "--user", topic, "--json")):
        args[f"sessions {verb}"] = [c["id"]]
    made = {}
    last = ["token check", "token revoke", "user delete", "role delete", "apikey revoke",
            "websites delete"]
    names = [" ".join(leaf) for leaf in leaves(stack)]
    assert set(args) | set(last) <= set(names)
    names.remove("logs tail")  # does not end; see test_cmdbctl_logs.py
    first = sorted(set(names) - set(last), key=lambda n: (
        not n.endswith((" add", " create")), not re.search(" (add|grant)", n),
        not n.endswith(" disable"), not n.endswith(" enable")))
    for name in first + last:
        if name == "user delete":
            given = [user]
        elif name == "role delete":
            given = [role]
        elif name == "apikey revoke":
            given = args["apikey add"][:1]
        elif name in ("token check", "token revoke"):
            given = [made["token issue"].get("token") or made["token issue"]["access_token"]]
        elif name == "websites delete":
            given = [made["websites create"]["id"]]
        else:
            given = args.get(name, [])
        done = stack.ctl(*name.split(), *given, "--json", check=False)
        assert done.returncode == OK or name == "doctor", (name, given, done)
        if name in ("events tail", "logs query"):
            assert done.stdout and [json.loads(line) for line in done.stdout.splitlines()]
            continue
        assert done.stdout.count("\n") == 1, (name, done.stdout)
        made[name] = json.loads(done.stdout)
    assert made["config default"]["poller"]["socket"] == "/run/cmdb/poller.sock"
    assert made["config show"].keys() == made["config default"].keys()
    crowd.leave()


def test_tail_counts_events_that_show(stack, own_stack):
    """Whatever other topics, tenants and gaps lie between; and at the end of the log."""
    topic = unique("topic")
    ids = [stack.ctl("events", "publish", topic, "add", "{}", "--json")["id"] for _ in range(4)]
    with stack.connect() as db:
        fill(db, 300)
        with db.cursor() as c:
            c.execute("SELECT MAX(id) FROM ws_events")
            end = c.fetchone()[0]
    wait_until(lambda: stack.status()["tail"] >= end, 10, "all are released")

    def tail(n, *args, of=stack):
        lines = of.ctl("events", "tail", "-n", n, "--json", "--topics", topic, *args, check=False)
        return [json.loads(line)["id"] for line in lines.stdout.splitlines()]

    assert tail(3) == ids[1:] and tail(1) == ids[3:] and tail(100) == ids and tail(0) == []
    own = own_stack()
    kept = [own.ctl("events", "publish", topic, "add", "{}", "--json")["id"] for _ in range(30)]
    wait_until(lambda: own.has_noted(kept[-1]), 20, "the poller has noted its tail")
    own.ctl("events", "prune", "--rows", 5)
    floor = wait_until(lambda: own.status()["floor"], 10, "the poller knows")
    left = [i for i in kept if i > floor]
    assert 3 <= len(left) < len(kept)
    assert tail(3, of=own) == kept[-3:] and tail(50, of=own) == left
