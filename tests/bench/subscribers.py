"""Measures log:subscribe: how soon an entry is with who wants it, and what finding him costs."""
import contextlib
import http.client
import json
import subprocess
import time

from sockets import LOAD_LIMIT_S, command, sockets
from systems import Failed, cpu_ns

SUBSCRIBERS = 100
# 1,000 entries a second, of which each subscriber wants 50: below what one is given at most.
STEADY = {"entries": 20, "interval-ms": 20}
QUIET = {"entries": 1, "interval-ms": 500}
FEW, MANY = 50, 5000
EVENTS_S = 200  # while the cost of one is measured
IDLE_S = 5


def subscribe(**wants):
    return f'42["log:subscribe",{json.dumps(wants)}]'


def commit(system, seconds, say, **how):
    return sockets(system, "commit", connections=SUBSCRIBERS, seconds=seconds, logs=system.url,
                   header=system.header, say=say, **how)


def post_entries(system, seconds):
    """One entry a POST, each for one of the devices of the few; returns how many."""
    host, port = system.url.removeprefix("http://").split(":")
    key, value = system.header.split(": ")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    n, begin = 0, time.monotonic()
    while time.monotonic() - begin < seconds:
        body = json.dumps({"deviceId": f"bench-{n % FEW}", "level": "WARN",
                           "message": f"entry {n} of request 7f3c"})
        connection.request("POST", "/api/logs", body,
                           {key: value, "Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 201:
            raise Failed(f"{system.name}: logs are not taken: {answer.read()}")
        answer.read()
        n += 1
        time.sleep(max(0, begin + n / EVENTS_S - time.monotonic()))
    connection.close()
    return n


def match(system, connections, seconds):
    """The poller's processor time for an event that one of so many wants, in us; what they cost
    while nothing comes is taken off."""
    say = subscribe(deviceIds=["bench-%"], levels=["warn", "error"], keywords=["request 7f3c"])
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(subprocess.Popen(
            command(system, "idle", connections=connections, say=say, devices=connections),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        stack.callback(process.kill)
        if process.stdout.readline() != "connected\n":
            raise Failed(f"{system.name}: could not connect {connections} subscribers")
        poller = system.parts()["cmdb-poller"]
        at = [(cpu_ns(poller), time.monotonic())]
        time.sleep(min(seconds, IDLE_S))
        at.append((cpu_ns(poller), time.monotonic()))
        events = post_entries(system, seconds)
        at.append((cpu_ns(poller), time.monotonic()))
        output, _ = process.communicate("\n", timeout=LOAD_LIMIT_S)
        if process.returncode != 0:
            raise Failed(f"{system.name}: subscribers did not stay connected: {output}")
    idle = (at[1][0] - at[0][0]) / (at[1][1] - at[0][1])
    busy = at[2][0] - at[1][0] - idle * (at[2][1] - at[1][1])
    return {"events": events, "idle_ns_s": idle, "us": busy / events / 1000}


def measure(system, opt, say):
    say("logs: commit to subscriber")
    result = {
        "quiet": commit(system, opt.seconds, subscribe(), **QUIET),
        "steady": commit(system, opt.seconds, subscribe(deviceIds=["bench-%"]),
                         devices=STEADY["entries"], **STEADY)}
    say("logs: matching")
    many = min(MANY, opt.connections)
    result["match"] = {"few": match(system, min(FEW, many), opt.seconds),
                       "many": match(system, many, opt.seconds)}
    return result
