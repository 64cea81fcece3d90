"""Measures how long GET /api/logs takes among many lines: keywords that few, some, many and no lines have,
alone and with a device, a level or a time. The lines are made up in the database, a table of ids, numbers and
words as devices log them; then cmdb-poller makes their index, at its own pace."""
import json
import statistics
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from systems import Failed

STEP = 500_000  # lines of one INSERT
INDEX_LIMIT_S = 1800
ROUNDS = 20
DEVICES = 1000

MESSAGE = """CASE
 WHEN n % 2000003 = 77 THEN CONCAT('flux capacitor of unit ', n, ' replaced')
 WHEN n % 20011 = 5 THEN CONCAT('battery low: ', n % 19, ' percent left, cell ', CRC32(n))
 ELSE ELT(1 + CRC32(n) % 8,
  CONCAT('connection from 10.', n % 250, '.', n % 241, '.', n % 239, ':', 1024 + CRC32(n) % 60000, ' accepted, session ', LEFT(MD5(n), 8)),
  CONCAT('GET /api/v1/items/', CRC32(n) % 900000, ' 200 in ', n % 997, ' ms, ', CRC32(n) % 65536, ' bytes'),
  CONCAT('temperature ', 20 + n % 60, '.', n % 10, ' C, fan ', 900 + n % 3000, ' rpm'),
  CONCAT('worker ', n % 16, ' finished job ', LEFT(MD5(n), 12), ' after ', n % 8999, ' ms'),
  CONCAT('disk sda', n % 9, ' at ', n % 100, ' percent, ', CRC32(n), ' inodes free'),
  CONCAT('retry ', n % 5, ' of request ', INSERT(LEFT(MD5(n), 24), 9, 0, '-'), ': upstream timed out'),
  CONCAT('user ', n % 50021, ' logged in from 192.168.', n % 256, '.', CRC32(n) % 256, ', token ', LEFT(MD5(n), 16)),
  CONCAT('cache miss for key ', LEFT(MD5(n), 16), ', loading from shard ', n % 128)) END"""
INSERT = """SET SESSION sql_log_bin = 0, unique_checks = 0;
INSERT INTO logs (tenant_id, device_id, level, logged_at, received_at, message, tags, source)
SELECT 1, CONCAT('edge-', CRC32(n * 7) %% {devices}),
 IF(CRC32(n * 3) %% 10000 = 0, 5, 1 + CRC32(n * 3) %% 4), '2026-06-01' + INTERVAL n * 100 * 1000 MICROSECOND,
 NOW(3), {message}, IF(n %% 3, NULL, '["net","edge"]'), IF(n %% 2, NULL, 'syslogd')
FROM (SELECT seq AS n FROM seq_{first}_to_{last}) s;"""

# What is looked for: name, and parameters.
KEYWORDS = [("rare", "flux capacitor"), ("rare id", None), ("middle", "BATTERY LOW"), ("frequent", "timed out"),
            ("absent word", "no such words"), ("absent id", "deadbeef9911"), ("absent number", "7770077700")]
WITH = [("", {}), ("device", {"device": "edge-77"}), ("level", {"level": "FATAL"}),
        ("time", {"from": "2026-06-03T00:00:00Z", "to": "2026-06-03T01:00:00Z"})]
PLAIN = [("newest", {}), ("of a device", {"device": "edge-77"}), ("FATAL", {"level": "FATAL"}),
         ("an hour", {"from": "2026-06-03T00:00:00Z", "to": "2026-06-03T01:00:00Z"})]


def sql(cmdb, text):
    done = subprocess.run(["mariadb", "--socket", cmdb.env["CMDB_DB_SOCKET"], "-N", "-B",
                           cmdb.env["CMDB_DB_NAME"], "-e", text],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"SQL: {done.stderr}")
    return done.stdout.split()


def load(cmdb, rows):
    began = time.monotonic()
    for first in range(1, rows + 1, STEP):
        sql(cmdb, INSERT.replace("%%", "%").format(devices=DEVICES, message=MESSAGE, first=first,
                                                   last=min(first + STEP - 1, rows)))
    return rows / (time.monotonic() - began)


def wait_for_index(cmdb, rows):
    """How many lines a second it was made of."""
    [newest] = map(int, sql(cmdb, "SELECT MAX(id) FROM logs"))
    began, deadline = time.monotonic(), time.monotonic() + INDEX_LIMIT_S
    while time.monotonic() < deadline:
        block, super_ = (int(n) for n in sql(cmdb, "SELECT next_block, next_super FROM log_index"))
        if block >= newest // 512 and super_ >= block // 512:
            return rows / (time.monotonic() - began)
        time.sleep(0.5)
    raise Failed("the index of logs is not made in time")


def ask(cmdb, params):
    name, value = cmdb.header.split(": ")
    url = f"{cmdb.url}/api/logs?{urllib.parse.urlencode(params)}"
    began = time.monotonic()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, None, {name: value}), timeout=60) as answer:
            data = json.load(answer)["data"]
    except urllib.error.HTTPError as e:
        raise Failed(f"{url}: {e.read()[:300]}") from None
    return (time.monotonic() - began) * 1000, data


def one(cmdb, params):
    times, found = [], None
    for _ in range(ROUNDS):
        ms, found = ask(cmdb, params)
        times.append(ms)
    times.sort()
    return {"p50_ms": statistics.median(times), "p95_ms": times[int(len(times) * 0.95) - 1], "worst_ms": times[-1],
            "found": len(found["items"]), "more": found["more"], "times_ms": times}


def sizes(cmdb):
    rows = sql(cmdb, "SELECT table_name, data_length + index_length FROM information_schema.tables "
               "WHERE table_schema = DATABASE() AND table_name LIKE 'log%' AND table_name <> 'log_counts'")
    return dict(zip(rows[::2], map(int, rows[1::2])))


def measure(cmdb, rows, say):
    say(f"logs: {rows} lines")
    result = {"rows": rows, "loaded_per_s": load(cmdb, rows)}
    say("logs: their index")
    result["indexed_per_s"] = wait_for_index(cmdb, rows)
    sql(cmdb, "ANALYZE TABLE logs, log_pages, log_blocks")
    result["bytes"] = sizes(cmdb)
    [some_id] = sql(cmdb, "SELECT MID(message, LOCATE('job ', message) + 4, 8) FROM logs WHERE id > (SELECT MAX(id) FROM "
                    f"logs) - {rows // 3} AND message LIKE 'worker % finished job %' LIMIT 1")
    result["queries"] = {}
    for name, keyword in KEYWORDS:
        for with_, more in WITH:
            say(f"logs: {name} {with_}")
            result["queries"][f"{name}, {with_}" if with_ else name] = one(
                cmdb, {"keyword": keyword or some_id, **more})
    for name, params in PLAIN:
        result["queries"][name] = one(cmdb, params)
    times = sorted(ms for q in result["queries"].values() for ms in q["times_ms"])
    result["p95_ms"] = times[int(len(times) * 0.95) - 1]
    return result
