"""Readers that follow /events with a cursor, the program that writes for them, and the check that
holds what they saw against what was committed."""
import http.client
import os
import pathlib
import subprocess
import threading
import time

from conftest import ROOT


class Reader(threading.Thread):
    """Polls on with its cursor until it has passed the id it is told to stop at (`until`).

    A patient one takes a broken connection or a 5xx as what a client does: it asks again."""

    def __init__(self, api, since, is_patient=False):
        super().__init__(daemon=True)
        self.api, self.since, self.is_patient = api, since, is_patient
        self.ids, self.rows, self.error, self.until, self.retries = [], [], None, None, 0

    def poll(self):
        try:
            reply = self.api.get(f"/events?since={self.since}&timeout=2", timeout=20)
        except (OSError, http.client.HTTPException):
            if not self.is_patient:
                raise
            reply = None
        if reply is None or (self.is_patient and reply.status >= 500):
            self.retries += 1
            time.sleep(0.02)
            return None
        assert reply.status == 200, reply
        return reply.json

    def run(self):
        try:
            while self.until is None or self.since < self.until:
                got = self.poll()
                if got is None:
                    continue
                assert "reset" not in got, got
                assert got["lastEventId"] >= self.since, got
                for e in got["events"]:
                    self.ids.append(e["id"])
                    self.rows.append((e["data"]["writer"], e["data"]["seq"]))
                self.since = got["lastEventId"]
        except BaseException as e:  # what went wrong belongs to the test's thread
            self.error = e


def start_writers(stack, out, seconds, *more):
    build = pathlib.Path(os.environ.get("CMDB_TEST_BUILD", ROOT / "build"))
    program = build / "tests/bench/writers"
    assert program.exists(), f"{program} is missing: make check builds it, CMDB_TEST_BUILD names the build"
    return subprocess.Popen([program, "--socket", stack.env["CMDB_DB_SOCKET"],
                             "--db", stack.env["CMDB_DB_NAME"], "--out", out,
                             "--seconds", str(seconds), "--max-delay-ms", "300",
                             "--rollback-percent", "10", *more],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def fates(path):
    """What became of each row: id -> (writer, seq) for the committed, and the number rolled back."""
    committed, rolled_back = {}, 0
    for line in pathlib.Path(path).read_text().splitlines():
        row, writer, seq, fate = line.split()
        if fate == "committed":
            committed[int(row)] = (int(writer), int(seq))
        else:
            rolled_back += 1
    return committed, rolled_back


def check(readers, committed):
    """Each reader saw each committed event exactly once, in id order."""
    expected = sorted(committed)
    for r in readers:
        assert r.error is None, repr(r.error)
        assert r.ids == sorted(set(r.ids)), "out of order or twice"
        assert r.ids == expected, (len(r.ids), len(expected), sorted(set(expected) ^ set(r.ids))[:20])
        assert r.rows == [committed[i] for i in expected]
