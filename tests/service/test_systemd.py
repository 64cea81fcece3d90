"""What deploy/systemd and deploy/cron ship, on a machine that systemd boots."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

from conftest import ROOT, SLOWER

HERE = pathlib.Path(__file__).parent / "systemd"
UNITS = ROOT / "deploy/systemd"
NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--cgroup", "--net", "--uts",
              "--ipc"]


def test_units_are_well_formed(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed")
    for unit in UNITS.glob("cmdb-*"):
        text = re.sub(r"^Exec(\w+)=/usr/sbin/\S+", r"Exec\1=/bin/true", unit.read_text(), flags=re.M)
        text = re.sub(r"^Documentation=.*\n", "", text, flags=re.M)
        (tmp_path / unit.name.replace("@", "@1")).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", *map(str, tmp_path.iterdir())],
                          capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_accounts_are_those_of_the_configuration():
    """unix_socket lets in who is called like the account."""
    users = set(re.findall(r"^u (\S+)", (UNITS / "cmdb.sysusers").read_text(), re.M))
    runs = {re.search(r"^User=(.*)$", (UNITS / u).read_text(), re.M).group(1)
            for u in ("cmdb-poller.service", "cmdb-fcgi@.service")}
    defaults = set(re.findall(r"^#db_user = (\S+)$", (ROOT / "deploy/cmdb.conf").read_text(), re.M))
    assert users == runs == defaults == {"cmdb_fcgi", "cmdb_poller"}


@pytest.mark.slow
def test_a_machine_that_is_booted_with_them():
    """Installed as the README says, it serves; it outlives kills, restarts and any order."""
    if os.getuid() != 0 or not os.path.exists("/usr/lib/systemd/systemd") or \
            "CMDB_TEST_PREFIX" not in os.environ or not shutil.which("dbus-daemon"):
        pytest.skip("takes root, systemd, dbus and installed programs")
    tried = subprocess.run([*NAMESPACES, "sh", "-c", "mount --make-rprivate / && mount -t tmpfs none "
                            "/mnt && mkdir /mnt/u /mnt/w /mnt/r && mount -t overlay none -o "
                            "lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/r"])
    if tried.returncode:
        pytest.skip("no namespaces with an overlay here")
    home = pathlib.Path(tempfile.mkdtemp(prefix="cmdb-boot-", dir="/tmp"))
    out = home / "out"
    out.touch()
    machine = subprocess.Popen([*NAMESPACES, HERE / "boot", ROOT, os.environ["CMDB_TEST_PREFIX"], out],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        from conftest import wait_until
        wait_until(lambda: machine.poll() is not None or
                   re.search(r"^end \d+$", out.read_text(errors="replace"), re.M), 150, "its end")
        said = out.read_text(errors="replace")
        assert re.search(r"^end 0$", said, re.M), said[-4000:] + (
            machine.stderr.read() if machine.poll() is not None else "")
        assert '"healthy":true' in said
        # The disk is the machine's own affair; the open files are limited outside of it.
        assert set(re.findall(r"^(?:WARN|FAIL)  ([^:]+)", said, re.M)) <= {"disk", "open files"}, said
        assert "cmdb_poller cmdb 660 /run/cmdb/poller.sock.page" in said
    finally:
        machine.kill()
        machine.wait()
        shutil.rmtree(home)
