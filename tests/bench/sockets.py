"""Measures Socket.IO over polling, with the program sockets."""
import contextlib
import json
import os
import statistics
import subprocess
import time

from systems import Failed, cpu_s, memory_kb

LOAD_LIMIT_S = 300
COMMIT_CLIENTS = 200
CYCLERS = 64
WARM_UP_CLIENTS = 64
WAKES = 3    # events to the same clients
RETRIES = 3


def command(system, mode, **options):
    args = [os.path.join(system.bench, "sockets"), mode, "--url", system.sockets_url,
            "--token", system.token(), *system.load_args]
    for name, value in options.items():
        args += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return args


def sockets(system, mode, **options):
    done = subprocess.run(command(system, mode, **options), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, timeout=LOAD_LIMIT_S, check=False)
    if done.returncode != 0:
        raise Failed(f"{system.name}: sockets {mode} failed: {done.stdout}")
    return json.loads(done.stdout)


def wake(system, connections, **more):
    """One event to all, WAKES times; the medians of these."""
    rounds = sockets(system, "wake", connections=connections, rounds=WAKES, **more)["rounds"]
    return {key: statistics.median(r["from_begin"][key] for r in rounds)
            for key in rounds[0]["from_begin"]}


def commit(system, seconds):
    return sockets(system, "commit", connections=COMMIT_CLIENTS, seconds=seconds)


def cycles(system, seconds):
    return sockets(system, "cycles", connections=CYCLERS, seconds=seconds)["cycles_s"]


def idle(system, connections, seconds):
    """What sessions cost that only answer heartbeats: memory each, by kind of process, and
    processor time. As for other memory, some come and go before."""
    wake(system, WARM_UP_CLIENTS)
    parts = system.parts()
    before = {part: memory_kb(pids) for part, pids in parts.items()}
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(subprocess.Popen(
            command(system, "idle", connections=connections),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        stack.callback(process.kill)
        if process.stdout.readline() != "connected\n":
            raise Failed(f"{system.name}: could not connect {connections} clients")
        used, begin = {part: cpu_s(pids) for part, pids in parts.items()}, time.monotonic()
        time.sleep(seconds)
        wall = time.monotonic() - begin
        cpu = {part: 100 * (cpu_s(pids) - used[part]) / wall for part, pids in parts.items()}
        after = {part: memory_kb(pids) for part, pids in parts.items()}
        output, _ = process.communicate("\n", timeout=LOAD_LIMIT_S)
        if process.returncode != 0:
            raise Failed(f"{system.name}: clients did not stay connected: {output}")
    return {"kb": {part: (after[part] - before[part]) / connections for part in parts},
            "cpu_percent": cpu, "seconds": wall, "pongs": json.loads(output)["pongs"]}


def patiently(system, measure_one, say):
    """Socket.IO's server behind lighttpd may lose sessions where the machine has too much to do:
    then its turn comes again. cmdb has to hold its own."""
    for left in range(0 if system.name == "cmdb" else RETRIES, -1, -1):
        try:
            return measure_one(system)
        except Failed as failed:
            if left == 0:
                raise
            say(f"again, as {failed}")


def in_turn(systems, rounds, measure_one, say):
    results = {s.name: [] for s in systems}
    for _ in range(rounds):
        for s in systems:
            results[s.name].append(patiently(s, measure_one, say))
    return results


def measure(systems, opt, say):
    result = {"idle": {}, "commit": {}}
    for s in systems:
        if s.name == "direct":
            continue  # its processes are those of "node" without lighttpd
        say(f"Socket.IO: idle sessions: {s.name}")
        result["idle"][s.name] = patiently(
            s, lambda s: idle(s, opt.connections, opt.idle_seconds), say)
    say("Socket.IO: wake: all in turn")
    result["wake"] = in_turn(systems, opt.rounds, lambda s: wake(s, opt.connections), say)
    say("Socket.IO: wake, polling again later: all in turn")
    result["pause"] = in_turn(systems, opt.rounds,
                              lambda s: wake(s, opt.connections, pause=True), say)
    for s in systems:
        say(f"Socket.IO: commit: {s.name}")
        result["commit"][s.name] = patiently(s, lambda s: commit(s, opt.seconds), say)
    say("Socket.IO: cycles: all in turn")
    result["cycles"] = in_turn(systems, opt.rounds, lambda s: cycles(s, opt.seconds), say)
    return result
