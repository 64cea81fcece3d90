"""deploy/up and deploy/down."""
import os
import pathlib
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile

import pytest

from conftest import ROOT, Stack, free_port, wait_until

PROGRAMS = ["mariadb", "poller", "fcgi-1", "fcgi-2", "lighttpd"]


def kept(stack):
    """Everything a second deploy/up must not change."""
    files = [stack.dir / "cmdb.conf", *(stack.dir / "secrets").iterdir()]
    return {f.name: f.read_bytes() for f in files}


def refused(*args):
    """The output of a deploy/up that must fail."""
    done = subprocess.run([ROOT / "deploy/up", *args], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    assert done.returncode == 1, done.stdout
    return done.stdout


def test_stack_env_says_how_to_reach_everything(stack, api):
    env = stack.env
    assert api.get("/healthz").status == 200
    stack.admin()
    assert stack.api(key=env["CMDB_API_KEY"]).get("/api/v1/websites").status == 200
    assert pathlib.Path(env["CMDB_POLLER_SOCKET"]).is_socket()
    assert all(pathlib.Path(f"/proc/{pid}").exists() for pid in env["CMDB_PIDS"].split())
    client = ["mariadb", "--no-defaults", "--socket", env["CMDB_DB_SOCKET"], env["CMDB_DB_NAME"]]
    grants = subprocess.run([*client, "-e", "SHOW GRANTS"], capture_output=True, text=True)
    assert "GRANT ALL PRIVILEGES ON *.*" in grants.stdout, grants


def test_demo_data_is_there(stack, admin, db):
    assert admin.get("/api/v1/websites?page_size=1").data["total"] >= 200
    with db.cursor() as c:
        c.execute("SELECT @@log_bin, @@binlog_format, @@skip_networking")
        assert c.fetchone() == (1, "ROW", 1)


def test_files_are_for_their_owner_alone(stack):
    assert stat.S_IMODE(stack.dir.stat().st_mode) == 0o700
    # What MariaDB makes has modes of its own, in that closed directory.
    ours = [p for p in stack.dir.rglob("*") if p.suffix not in (".sock", ".page") and
            not {"db", "prefix", "build"} & set(p.relative_to(stack.dir).parts)]
    assert len(ours) > 30
    assert [p for p in ours if p.lstat().st_mode & 0o077] == []


def test_secrets_are_in_no_command_line(stack):
    secrets = [(stack.dir / "secrets" / name).read_text()
               for name in ("admin.password", "db-fcgi.password", "api.key")]
    for pid in stack.pids():
        line = pathlib.Path(f"/proc/{pid}/cmdline").read_text()
        assert not [s for s in secrets if s in line]


@pytest.mark.slow
def test_up_again_brings_up_what_is_down_and_changes_nothing_else(own_stack):
    stack = own_stack()
    before, pids = kept(stack), {name: stack.pid(name) for name in PROGRAMS}

    stack.up()
    assert kept(stack) == before
    assert {name: stack.pid(name) for name in PROGRAMS} == pids

    # A killed supervisor leaves its program behind; a stopped one takes it along.
    os.kill(int((stack.dir / "run/poller.super").read_text()), signal.SIGKILL)
    os.kill(int((stack.dir / "run/lighttpd.super").read_text()), signal.SIGTERM)
    wait_until(lambda: not (stack.dir / "run/lighttpd.pid").exists(), 10)
    stack.up()
    assert kept(stack) == before
    changed = {name for name in PROGRAMS if stack.pid(name) != pids[name]}
    assert changed == {"poller", "lighttpd"}
    assert len(stack.pids()) == 2 * len(PROGRAMS)
    stack.admin()


@pytest.mark.slow
def test_data_and_login_outlive_down_and_up(own_stack):
    stack = own_stack()
    name = stack.tenant()
    before = kept(stack)

    stack.down()
    assert stack.pids() == []
    with socket.socket() as s:
        assert s.connect_ex(("127.0.0.1", stack.port)) != 0
    assert "Shutdown complete" in stack.log("mariadb")

    stack.up()
    assert kept(stack) == before
    stack.admin()
    with stack.connect() as db, db.cursor() as c:
        c.execute("SELECT COUNT(*) FROM tenants WHERE name = %s", name)
        assert c.fetchone() == (1,)


def test_stacks_live_side_by_side(stack, own_stack):
    other = own_stack()
    assert not set(stack.pids()) & set(other.pids())
    name = other.tenant()
    with stack.connect() as db, db.cursor() as c:
        c.execute("SELECT COUNT(*) FROM tenants WHERE name = %s", name)
        assert c.fetchone() == (0,)
    other.down()
    assert other.pids() == []
    assert stack.api().get("/healthz").status == 200


def test_every_program_comes_back_after_kill(own_stack):
    stack = own_stack()
    for name in PROGRAMS:
        stack.kill(name)
    # All at once, so each has to wait for what it depends on.
    wait_until(lambda: stack.api().get("/healthz").status == 200, 10)
    wait_until(stack.status, 10)
    stack.admin()


def test_down_stops_a_stack_whose_supervisors_were_killed(own_stack):
    stack = own_stack()
    for name in PROGRAMS:
        os.kill(int((stack.dir / f"run/{name}.super").read_text()), signal.SIGKILL)
    stack.down()
    assert stack.pids() == []


def test_wipe_takes_only_what_is_the_stacks(own_stack):
    stack = own_stack()
    theirs = stack.dir / "notes.txt"
    theirs.write_text("mine")
    stack.down("--wipe")
    assert [p.name for p in stack.dir.iterdir()] == ["notes.txt"]


def test_a_long_directory_has_its_sockets_elsewhere(own_stack):
    stack = own_stack(up=False)
    stack.dir = stack.dir / ("long-" * 20)
    stack.up()
    home = pathlib.Path(stack.env["CMDB_DB_SOCKET"]).parent
    assert len(str(home)) < 40 and home.stat().st_mode & 0o077 == 0
    stack.admin()
    stack.down()
    assert not home.exists() and stack.pids() == []


def test_port_that_is_taken_is_named_with_the_cure(stack, tmp_path):
    output = refused("--dir", tmp_path / "new", "--port", str(stack.port))
    assert f"port {stack.port} is taken" in output and "--port" in output


def test_a_web_server_that_runs_is_not_moved(stack):
    before = (stack.dir / "lighttpd.conf").read_bytes()
    for args in (["--port", str(free_port())], ["--port", str(stack.port), "--bind", "127.0.0.2"]):
        output = refused("--dir", stack.dir, *args)
        assert f"127.0.0.1:{stack.port}" in output and "deploy/down" in output
    assert (stack.dir / "lighttpd.conf").read_bytes() == before
    assert stack.api().get("/healthz").status == 200


def test_another_port_and_address_from_the_next_start(own_stack):
    """All that says where the web server is moves along: stack.env, and what cmdbctl asks."""
    stack = own_stack()
    stack.down()
    stack.port = free_port()
    stack.up()
    assert stack.url == f"http://127.0.0.1:{stack.port}"
    assert stack.ctl("status", "--json")["web"]["url"] == stack.url
    stack.down()
    stack.up("--bind", "127.0.0.2")
    assert stack.url == f"http://127.0.0.2:{stack.port}"
    assert stack.ctl("status", "--json")["web"]["state"] == "up"


@pytest.mark.parametrize("args, says", [
    (["--server", "nginx"], "only lighttpd"),
    (["--port", "80800000"], "not a port"),
    (["--port", "http"], "not a port"),
    (["--bind", "localhost"], "not an IPv4 address"),
    (["--dir", "/tmp/a b"], "letters, digits"),
    (["--dirr", "x"], "unknown argument"),
    (["--dir"], "value is missing"),
])
def test_wrong_arguments_are_refused(args, says):
    assert says in refused(*args)


def test_wrong_setting_is_refused_and_can_be_mended(own_stack, tmp_path):
    stack = own_stack("fcgi.workers=many", up=False)
    with pytest.raises(AssertionError, match="fcgi.workers"):
        stack.up()
    assert list(stack.dir.glob("cmdb.conf*")) == []
    stack.sets = [s for s in stack.sets if "many" not in s]
    stack.up()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_any_user_can_run_a_stack():
    """As an ordinary user, with the programs somewhere that user can read."""
    if "CMDB_TEST_PREFIX" not in os.environ:
        pytest.skip("needs installed programs")
    home = pathlib.Path(tempfile.mkdtemp(prefix="cmdb-nobody-", dir="/tmp"))
    try:
        shutil.copytree(ROOT / "deploy", home / "deploy")
        shutil.copytree(os.environ["CMDB_TEST_PREFIX"], home / "prefix")
        for path in [home, *home.rglob("*")]:
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
        (home / "stack").mkdir()
        shutil.chown(home / "stack", "nobody")
        stack = Stack(home / "stack")
        as_nobody = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "env",
                     "-u", "CMDB_WRAP", "ASAN_OPTIONS=detect_leaks=0", "UBSAN_OPTIONS="]
        done = subprocess.run([*as_nobody, home / "deploy/up", "--dir", stack.dir, "--port",
                               str(stack.port), "--prefix", home / "prefix"], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/")
        try:
            assert done.returncode == 0, done.stdout
            nobody = pwd.getpwnam("nobody").pw_uid
            assert {pathlib.Path(f"/proc/{p}").stat().st_uid for p in stack.pids()} == {nobody}
            opened = subprocess.run([*as_nobody, "mariadb", "--no-defaults", "--socket",
                                     stack.dir / "run/mariadb.sock", "cmdb", "-e", "SHOW GRANTS"],
                                    capture_output=True, text=True)
            assert "GRANT ALL PRIVILEGES ON *.*" in opened.stdout, opened
        finally:
            subprocess.run([*as_nobody, home / "deploy/down", "--dir", stack.dir], check=True,
                           stdout=subprocess.DEVNULL, cwd="/")
        assert stack.pids() == []
    finally:
        shutil.rmtree(home)
