"""Measures how logs come in, with the program ingest: each beside what the same database does without
us, or for another resource, in turn."""
import json
import os
import statistics
import subprocess

from systems import Failed

LIMIT_S = 180
ARRAY, ARRAYS_AT_A_TIME, SINGLES_AT_A_TIME = 1000, 4, 32


def ingest(cmdb, mode, seconds, *args):
    done = subprocess.run([os.path.join(cmdb.bench, "ingest"), mode, "--seconds", str(seconds), *args],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          timeout=LIMIT_S, check=False)
    if done.returncode != 0:
        raise Failed(f"{cmdb.name}: ingest {mode} failed: {done.stdout}")
    return json.loads(done.stdout)["per_s"]


def make_key(cmdb):
    made = subprocess.run([cmdb.env["CMDB_CTL"], "apikey", "add", "bench-ingest", "--scope", "logs:ingest",
                           "--scope", "line-groups:write", "--json"], check=True, stdout=subprocess.PIPE,
                          env={**os.environ, "CMDB_CONFIG": cmdb.env["CMDB_CONFIG"]})
    return json.loads(made.stdout)["key"]


def in_turn(cmdb, rounds, seconds, ours, its):
    """ours and its: (mode, arguments of it)."""
    pairs = [tuple(ingest(cmdb, mode, seconds, *args) for mode, args in (ours, its))
             for _ in range(rounds)]
    return {"per_s": statistics.median(a for a, _ in pairs),
            "other_per_s": statistics.median(b for _, b in pairs),
            "ratio": statistics.median(a / b for a, b in pairs), "rounds": pairs}


def measure(cmdb, opt, say):
    by_http = ["--url", cmdb.url, "--header", f"X-API-Key: {make_key(cmdb)}"]
    by_sql = ["--socket", cmdb.env["CMDB_DB_SOCKET"], "--db", cmdb.env["CMDB_DB_NAME"]]
    arrays = ["--rows", str(ARRAY), "--connections", str(ARRAYS_AT_A_TIME)]
    singles = ["--rows", "1", "--connections", str(SINGLES_AT_A_TIME)]
    say("logs: arrays, and their rows alone")
    result = {"arrays": in_turn(cmdb, opt.rounds, opt.seconds,
                                ("post", by_http + arrays), ("bare", by_sql + arrays))}
    say("logs: single entries, and a plain resource")
    result["singles"] = in_turn(cmdb, opt.rounds, opt.seconds,
                                ("post", by_http + singles), ("create", by_http + singles))
    return result
