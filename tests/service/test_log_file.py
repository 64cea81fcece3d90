"""logs.file: JSON lines of what was stored, whole lines only, by several processes; and what happens when they cannot be
written."""
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import pytest

from conftest import wait_until


class Filed:
    """A stack that writes logs to files in its own directory `logs`, and what is in them."""

    def __init__(self, own_stack, *sets, name="lines-%Y-%m-%d.jsonl"):
        self.stack = own_stack(up=False)
        self.dir = self.stack.dir / "logs"
        self.dir.mkdir(parents=True)
        self.stack.sets += [f"logs.file={self.dir}/{name}", *sets]

    def up(self):
        self.stack.up()
        self.key = self.stack.key("logs:ingest")
        return self

    def post(self, *messages, client=None, **fields):
        entries = [{"deviceId": "d", "level": "INFO", "message": m, **fields} for m in messages]
        reply = (client or self.key).post("/api/logs", entries)
        assert reply.status == 201, reply
        return reply.data["ids"]

    def files(self):
        return sorted(p for p in self.dir.iterdir() if p.is_file())

    def lines(self, *paths):
        """All that is in the files; each line is whole."""
        found = []
        for path in paths or self.files():
            text = path.read_bytes()
            assert not text or text.endswith(b"\n"), text[-200:]
            found += [json.loads(line) for line in text.splitlines()]
        return found

    def messages(self, *paths):
        return [line["message"] for line in self.lines(*paths)]

    def metric(self, name, label=""):
        """Of the process that has most: each has figures of its own."""
        found = []
        for _ in range(20):
            text = self.stack.api().get("/metrics").body.decode()
            found += [float(v) for labels, v in re.findall(rf"^{name}{{(.*)}} (\S+)$", text, re.M) if label in labels]
        return max(found)

    def doctor(self):
        found = self.stack.ctl("doctor", "--json", check=False)
        return next(f for f in json.loads(found.stdout) if f["check"] == "file of logs")

    def hup(self):
        for name in ("fcgi-1", "fcgi-2"):
            os.kill(self.stack.pid(name), signal.SIGHUP)


@pytest.fixture
def filed(own_stack):
    def make(*sets, **more):
        return Filed(own_stack, *sets, **more)
    return make


@pytest.mark.parametrize("fsync", ["never", "second", "write"])
def test_what_is_stored_is_a_line_of_the_day(filed, fsync):
    f = filed(f"logs.fsync={fsync}").up()
    ids = f.post("one", "two \n\t\"ä\" \u2028", tags=["t"], source="s", meta={"a": [1]})
    with f.stack.connect() as db, db.cursor() as c:
        c.execute("SELECT payload FROM ws_events WHERE topic = 'logs'")
        [told] = [json.loads(p) for p, in c.fetchall()]
        c.execute("SELECT DATE_FORMAT(received_at, 'lines-%Y-%m-%d.jsonl') FROM logs LIMIT 1")
        day = c.fetchone()[0]
    assert f.lines() == [{"tenant": 1, **entry} for entry in told] and [e["id"] for e in told] == ids
    assert [p.name for p in f.files()] == [day]
    assert f.doctor()["verdict"] in ("ok", "warn")
    # What is refused, and what is answered again, is not written.
    assert f.key.post("/api/logs", [{}]).status == 422
    once = {"deviceId": "d", "level": "INFO", "message": "once"}
    for _ in range(3):
        assert f.key.post("/api/logs", once, headers={"Idempotency-Key": "k"}).status == 201
    assert f.messages()[2:] == ["once"]


def test_whole_lines_from_many_processes(filed):
    """Two programs with threads each, long and short lines, one killed over it again and again."""
    f = filed().up()
    sent = []

    def work(n):
        client, mine = f.key.clone(), []
        for i in range(30):
            messages = [f"{n} {i} {k} " + "x" * ((n * i * k) % 5000) for k in range(1 + i % 7)]
            entries = [{"deviceId": f"d{n}", "level": "INFO", "message": m} for m in messages]
            try:
                reply = client.post("/api/logs", entries)
            except OSError:
                continue
            if reply.status == 201:
                mine += messages
        return mine

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        works = [pool.submit(work, n) for n in range(8)]
        for _ in range(3):
            f.stack.kill("fcgi-1")
        sent = [m for w in works for m in w.result()]
    written = f.messages()
    assert len(written) == len(set(written))
    # Whoever was answered has its lines written: that comes before the answer.
    assert set(sent) <= set(written)
    with f.stack.connect() as db, db.cursor() as c:
        c.execute("SELECT SUBSTRING_INDEX(message, ' ', 2), COUNT(*) FROM logs GROUP BY 1")
        stored = {tuple(map(int, post.split())): n for post, n in c.fetchall()}
    assert {(n, i): 1 + i % 7 for n, i in stored} == stored, "a request is stored whole, or not at all"
    assert set(written) <= {m for m in written if tuple(map(int, m.split()[:2])) in stored}
    for n in range(8):
        mine = [tuple(map(int, m.split()[:3])) for m in written if m.startswith(f"{n} ")]
        assert mine == sorted(mine)


def test_moved_away_and_sighup(filed):
    """As logrotate does it."""
    f = filed(name="lines.jsonl").up()
    path, moved = f.dir / "lines.jsonl", f.dir / "lines.jsonl.1"
    f.post("before")
    path.rename(moved)
    for i in range(4):
        f.post(f"still {i}")
    assert f.messages(moved) == ["before"] + [f"still {i}" for i in range(4)]
    assert not path.exists()
    f.hup()

    def both_write_the_new_one():
        size = moved.stat().st_size
        for client in [f.stack.api(key=f.key.key) for _ in range(8)]:
            f.post("after", client=client)
            client.close()
        return moved.stat().st_size == size

    wait_until(both_write_the_new_one, 10, "nobody writes to the one moved away")
    assert f.messages(path)[-8:] == ["after"] * 8


def test_a_removed_file_is_made_anew(filed):
    """By each process, without a signal: what would go into it nobody would ever see."""
    f = filed(name="lines").up()
    f.post(*"abc")
    (f.dir / "lines").unlink()
    # More than enough that both processes get some.
    later = [str(i) for i in range(40)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda m: f.post(m, client=f.key.clone()), later))
    assert sorted(f.messages(), key=int) == later


def test_a_torn_line_of_a_dead_writer_is_cut_off(filed):
    f = filed(name="lines.jsonl")
    path = f.dir / "lines.jsonl"
    path.write_bytes(b'{"whole":1}\n' + b'{"torn":"' + b"x" * 10000)
    f.up()
    f.post("next")
    assert path.read_bytes().startswith(b'{"whole":1}\n{"tenant":1,') and len(f.lines(path)) == 2
    path.write_bytes(b'{"torn":"')
    f.post("only")
    assert f.messages() == ["only"]
    assert "cut off 9 bytes" in f.stack.log("fcgi-1") + f.stack.log("fcgi-2")


def test_no_permission_is_said_once_counted_and_found(filed):
    """The entries are in the database all the same."""
    f = filed("logs.fsync=write")
    f.dir.rmdir()
    f.up()
    ids = f.post("a") + f.post("b") + f.post("c")
    assert len(ids) == 3
    logs = f.stack.log("fcgi-1") + f.stack.log("fcgi-2")
    assert 1 <= logs.count("cannot be opened: No such file or directory; the lines are in the database alone") <= 2
    assert f.metric("cmdb_fcgi_log_file_failing") == 1
    found = f.doctor()
    assert found["verdict"] == "fail" and "No such file or directory" in found["text"], found
    f.dir.mkdir()

    def both_have_written():
        for client in [f.stack.api(key=f.key.key) for _ in range(8)]:
            f.post("d", client=client)
            client.close()
        return f.metric("cmdb_fcgi_log_file_failing") == 0

    wait_until(both_have_written, 20, "written again")
    logs = f.stack.log("fcgi-1") + f.stack.log("fcgi-2")
    assert re.search(r"is written again; [123] lines are missing in it", logs)
    assert set(f.messages()) == {"d"} and f.doctor()["verdict"] in ("ok", "warn")


@pytest.fixture
def open_dir():
    """A directory that every user may look into."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="cmdb-log-file-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_doctor_looks_as_who_writes(stack, open_dir):
    """Where nothing but a cmdb-fcgi of another user runs: whether that one may write is what counts."""
    program, directory, config = open_dir / "cmdb-fcgi", open_dir / "d", open_dir / "conf"
    shutil.copy("/bin/sleep", program)
    directory.mkdir()
    config.write_text(f"[logs]\nfile = {directory}/l.jsonl\n")
    script = f"""setpriv --reuid=65534 --regid=65534 --clear-groups {program} 60 &
        until grep -q cmdb-fcgi /proc/$!/comm; do sleep 0.02; done
        for step in 'chmod 755 {directory}' 'chmod 777 {directory}' 'install -m 600 /dev/null {directory}/l.jsonl' \
                'chmod 666 {directory}/l.jsonl'; do
            $step; {stack.env["CMDB_CTL"]} --config {config} doctor --json; echo
        done; kill %1"""
    done = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "bash", "-c", script], capture_output=True, text=True)
    if os.geteuid() or done.returncode:
        pytest.skip("no right to have a namespace of processes: " + done.stderr)
    found, rest = [], done.stdout
    while rest.strip():
        value, end = json.JSONDecoder().raw_decode(rest := rest.lstrip())
        rest = rest[end:]
        found += [f["verdict"] for f in value if f["check"] == "file of logs"]
    assert found == ["fail", "ok", "fail", "ok"]


def test_what_is_no_ordinary_file(filed):
    f = filed(name="pipe")
    os.mkfifo(f.dir / "pipe")
    f.up()
    f.post("a")
    assert f.metric("cmdb_fcgi_log_file_failing") == 1


@pytest.fixture
def small_disk(tmp_path):
    """A directory with room for 256 KiB; skipped where nobody may mount."""
    path = tmp_path / "small"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=0777", "tmpfs", path], capture_output=True).returncode:
        pytest.skip("no right to mount a tmpfs")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_a_full_disk(own_stack, small_disk):
    """What does not fit whole is not there at all; the rows are, and it is written again when there is room."""
    f = Filed(own_stack)
    f.dir.rmdir()
    f.dir = small_disk
    f.stack.sets = [s for s in f.stack.sets if not s.startswith("logs.file=")] + [f"logs.file={small_disk}/lines.jsonl"]
    f.up()
    path, sent = small_disk / "lines.jsonl", []
    for i in range(40):
        sent += f.post(*[f"{i} {k} " + "x" * 3000 for k in range(5)])
    written = [line["id"] for line in f.lines(path)]
    assert 0 < len(written) < len(sent) and len(written) % 5 == 0 and written == sent[:len(written)]
    with f.stack.connect() as db, db.cursor() as c:
        c.execute("SELECT COUNT(*) FROM logs")
        assert c.fetchone()[0] == 200
    logs = f.stack.log("fcgi-1") + f.stack.log("fcgi-2")
    assert 1 <= logs.count("cannot be written: No space left on device") <= 2
    assert f.metric("cmdb_fcgi_log_file_failing") == 1
    assert f.metric("cmdb_fcgi_log_file_lines_total", 'how="failed"') > 0
    found = f.doctor()
    assert found["verdict"] == "fail" and "make room" in found["cure"], found
    path.unlink()
    f.hup()

    def goes_again():
        f.post("again")
        return path.exists() and f.messages(path)[-1:] == ["again"]

    wait_until(goes_again, 10, "it is written again")


def test_what_a_process_that_ends_has_written_is_there(filed):
    f = filed("logs.fsync=second").up()
    f.post("a")
    f.stack.kill("fcgi-1", signal.SIGTERM), f.stack.kill("fcgi-2", signal.SIGTERM)
    f.post("b")
    assert f.messages() == ["a", "b"]
