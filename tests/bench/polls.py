"""Measures long-polls and requests, with the program load."""
import json
import os
import statistics
import subprocess

from systems import Failed, memory_kb

LOAD_LIMIT_S = 180
COMMIT_WAITERS = 100
RPS_CONNECTIONS = 64
WARM_UP_WAITERS = 64


def load(system, mode, url, *args):
    done = subprocess.run([os.path.join(system.bench, "load"), mode, "--url", url, *args],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          timeout=LOAD_LIMIT_S, check=False)
    if done.returncode != 0:
        raise Failed(f"{system.name}: load {mode} failed: {done.stdout}")
    return json.loads(done.stdout)


def headers(system):
    return ["--header", system.header] if hasattr(system, "header") else []


def wake(system, connections):
    result = load(system, "wake", system.events_url, "--connections", str(connections),
                  *headers(system), *system.load_args)
    return result["rounds"][0]["from_begin"]


def parked_memory(system, connections):
    """KB a parked request: what all processes grow by when so many are parked. Some are parked
    and woken before, so that what a first request makes is not counted."""
    wake(system, WARM_UP_WAITERS)
    holders = system.holders()
    before = memory_kb(holders)
    with subprocess.Popen([os.path.join(system.bench, "load"), "wake", "--step", "--url",
                           system.events_url, "--connections", str(connections),
                           *headers(system), *system.load_args],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout.readline() != "parked\n":
            raise Failed(f"{system.name}: could not park {connections} requests")
        parked = memory_kb(holders)
        process.communicate("\n", timeout=LOAD_LIMIT_S)
    return {"before_kb": before, "parked_kb": parked,
            "kb_a_request": (parked - before) / connections}


def wake_all(systems, connections, rounds):
    results = {s.name: [] for s in systems}
    for _ in range(rounds):
        for s in systems:
            results[s.name].append(wake(s, connections))
    return {name: {key: statistics.median(r[key] for r in each) for key in each[0]}
            for name, each in results.items()} | {"rounds": results}


def commit(system, seconds):
    return load(system, "commit", system.events_url, "--connections", str(COMMIT_WAITERS),
                "--seconds", str(seconds), *headers(system), *system.load_args)


def rps(system, path, seconds):
    return load(system, "rps", system.url + path, "--connections", str(RPS_CONNECTIONS),
                "--seconds", str(seconds), *headers(system))


def rps_against(cmdb, floor, path, rounds, seconds):
    """The same number of bytes from both, in turn."""
    pairs = []
    for _ in range(rounds):
        ours = rps(cmdb, path, seconds)
        its = rps(floor, f"/api/?size={ours['body_len']}", seconds)
        pairs.append((ours["rps"], its["rps"]))
    return {"cmdb": statistics.median(a for a, _ in pairs),
            "floor": statistics.median(b for _, b in pairs),
            "ratio": statistics.median(a / b for a, b in pairs),
            "body_len": ours["body_len"], "rounds": pairs}


def measure(systems, opt, say):
    by_name = {s.name: s for s in systems}
    result = {"memory": {}, "commit": {}, "rps": {}}
    for s in systems:
        say(f"long-polls: memory: {s.name}")
        result["memory"][s.name] = parked_memory(s, opt.connections)
    say("long-polls: wake: all in turn")
    result["wake"] = wake_all(systems, opt.connections, opt.rounds)
    for s in systems:
        say(f"long-polls: commit: {s.name}")
        result["commit"][s.name] = commit(s, opt.seconds)
    if "cmdb" in by_name and "floor" in by_name:
        one = by_name["cmdb"].get("/api/v1/websites?page_size=1")["items"][0]["id"]
        for label, path in (("one website", f"/api/v1/websites/{one}"),
                            ("list of 20", "/api/v1/websites")):
            say(f"requests a second: {label}")
            result["rps"][label] = rps_against(by_name["cmdb"], by_name["floor"], path,
                                               opt.rounds, opt.seconds)
    return result
