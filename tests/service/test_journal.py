"""What a damaged journal does to the next poller: sessions may be lost, a start never."""
import os
import pathlib
import random
import signal
import struct
import subprocess

import pytest

import wire
from conftest import wait_until

KEY = b"cmdb journal 1\0\0"
ROUNDS, HITS = 15, 6
MASK = 2 ** 64 - 1


def siphash(data, key=KEY):
    """SipHash-2-4, as libsodium's crypto_shorthash."""
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
         k1 ^ 0x7465646279746573]

    def rotated(x, n):
        return (x << n | x >> (64 - n)) & MASK

    def rounds(n):
        for _ in range(n):
            v[0] = (v[0] + v[1]) & MASK
            v[1] = rotated(v[1], 13) ^ v[0]
            v[0] = rotated(v[0], 32)
            v[2] = (v[2] + v[3]) & MASK
            v[3] = rotated(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & MASK
            v[3] = rotated(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & MASK
            v[1] = rotated(v[1], 17) ^ v[2]
            v[2] = rotated(v[2], 32)

    whole = len(data) // 8 * 8
    last = int.from_bytes(data[whole:], "little") | (len(data) & 255) << 56
    for m in [*struct.unpack(f"<{whole // 8}Q", data[:whole]), last]:
        v[3] ^= m
        rounds(2)
        v[0] ^= m
    v[2] ^= 255
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def split(data):
    """The header and the records of a journal (poller/journal.h)."""
    n, = struct.unpack_from("<I", data, 12)
    at, records = 16 + n + 8, []
    assert siphash(data[:at - 8]) == struct.unpack_from("<Q", data, at - 8)[0]
    header = data[:at]
    while at < len(data):
        n, total = struct.unpack_from("<IQ", data, at)
        batch, at = data[at + 12:at + 12 + n], at + 12 + n
        assert siphash(batch) == total
        while batch:
            n, = struct.unpack_from("<I", batch)
            records.append(batch[4:4 + n])
            batch = batch[4 + n:]
    return header, records


def join(header, records):
    out = header
    for r in records:
        batch = struct.pack("<I", len(r)) + r
        out += struct.pack("<IQ", len(batch), siphash(batch)) + batch
    return out


def damage(r, record):
    """What a bug, another release or a bad disk makes of a record; its checksum is right."""
    record = bytearray(record)
    for _ in range(r.randint(1, 3)):
        at = r.randrange(len(record))
        match r.randrange(6):
            case 0:
                record[at] ^= 1 << r.randrange(8)
            case 1:
                record[at:at + 8] = b"\xff" * len(record[at:at + 8])
            case 2:
                record[at:at + 8] = struct.pack("<Q", 1 << 63)[:len(record[at:at + 8])]
            case 3:
                del record[at:at + r.randint(1, 9)]
                record = record or bytearray(b"\x01")
            case 4:
                record[at:at] = r.randbytes(r.randint(1, 9))
            case 5:
                record[at:at + 2] = b"\0\0"[:len(record[at:at + 2])]
    return bytes(record)


class Bare:
    """A poller that the stack's supervisor does not look after."""

    def __init__(self, stack):
        pid = stack.pid("poller")
        proc = pathlib.Path(f"/proc/{pid}")
        self.stack = stack
        self.command = proc.joinpath("cmdline").read_bytes().split(b"\0")[:-1]
        self.env = dict(e.split(b"=", 1) for e in proc.joinpath("environ").read_bytes().split(b"\0")
                        if b"=" in e)
        self.supervisor = int(proc.joinpath("stat").read_text().rpartition(")")[2].split()[1])
        self.path = str(stack.dir / "run/poller.sock")
        self.journal = pathlib.Path(self.path + ".sessions")
        self.tries = pathlib.Path(self.path + ".sessions.tries")
        self.bad = pathlib.Path(self.path + ".sessions.bad")
        os.kill(self.supervisor, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: proc.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "Z")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, env=self.env)
        wait_until(lambda: self.process.poll() is not None or self.stack.status(), 20, "a poller")
        assert self.process.poll() is None, f"it has died: {self.process.returncode}"
        wait_until(lambda: self.process.poll() is not None or not self.tries.exists(), 20,
                   "a poller that has settled")
        assert self.process.poll() is None, f"it has died: {self.process.returncode}"

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def close(self):
        if self.process:
            self.kill()
        os.kill(self.supervisor, signal.SIGCONT)


@pytest.fixture
def bare(own_stack):
    """A poller with some sessions, that has been killed."""
    stack = own_stack()
    p = wire.Process(str(stack.dir / "run/poller.sock"))
    for i in range(4):
        name, who = f"j{i}", wire.caller(user=90 + i, expires=4102444800)
        assert p.open(name).what == wire.OK
        assert p.apply(name, wire.connect(sid=f"s{i}", pid=f"p{i}", who=who)).what == wire.OK
        assert p.poll(name, tag=1)
        assert p.apply(name, wire.emit('"x:initial",{}', flags=wire.SYNC, topic="x", at=9999),
                       wire.pending(b"half a packet"), wire.send("43[]")).what == wire.OK
        if p.apply(name, wire.rows("\"websites:initial\",{}")).what == wire.LACKS:
            p.send(wire.BODY, wire.blob("\"websites:initial\",{}"))
            assert p.apply(name, wire.rows("\"websites:initial\",{}")).what == wire.OK
        if i % 2:
            assert p.poll(name, tag=2)
        if i == 3:
            assert p.apply(name, wire.CLOSE).what == wire.OK
    p.close()
    b = Bare(stack)
    yield b
    b.close()


def test_damaged_records_lose_themselves_and_no_start(bare):
    r, good = random.Random(20), bare.journal.read_bytes()
    header, records = split(good)
    assert len(records) > 40
    assert join(header, records)[:len(header)] == header
    for _ in range(ROUNDS):
        hurt = list(records)
        for i in r.sample(range(len(hurt)), HITS):
            hurt[i] = damage(r, hurt[i])
        bare.journal.write_bytes(join(header, hurt))
        bare.start()
        bare.kill()
        assert not bare.bad.exists()


def test_times_that_are_none(bare):
    """A time of the year 292,000,000 in every place of a record that may have one."""
    header, records = split(bare.journal.read_bytes())
    far = struct.pack("<Q", 2 ** 63 - 1)
    for name in (b"j", b""):
        hurt = [x.replace(struct.pack("<Q", 4102444800), far) for x in records]
        hurt = [x[:-16] + far + far if x[0] == 1 and not name else x for x in hurt]
        assert hurt != records
        bare.journal.write_bytes(join(header, hurt))
        bare.start()
        bare.kill()


@pytest.mark.parametrize("garbage", [b"\0" * 100, b"cmdbjrnl" + b"\2\0\0\0" + b"\xff" * 60])
def test_what_is_no_journal_is_set_aside(bare, garbage):
    bare.journal.write_bytes(garbage)
    bare.start()
    assert bare.bad.read_bytes() == garbage
    assert bare.stack.status()["sessions"]["journal_set_aside"] == 1
    said = bare.stack.ctl("doctor", check=False).stdout
    assert "set that aside" in said and ".sessions.bad" in said


def test_a_journal_that_no_process_survives_is_set_aside(bare):
    journal = bare.journal.read_bytes()
    bare.tries.write_text("5")
    bare.start()
    assert bare.bad.read_bytes() == journal
    p = wire.Process(bare.path)
    assert p.poll("j0", tag=3).what == wire.UNKNOWN
    p.close()


def test_a_time_beyond_all_years_is_refused_at_the_door(stack):
    p = wire.Process(str(stack.dir / "run/poller.sock"))
    assert p.open("far").what == wire.OK
    assert p.apply("far", wire.connect(who=wire.caller(expires=9_200_000_000_000_000))).what \
        == wire.BAD
    p.close()
