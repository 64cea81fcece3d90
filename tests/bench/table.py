"""What came of it, for people: the figures side by side, and what they should be."""
import statistics

from ingest import ARRAY, ARRAYS_AT_A_TIME, SINGLES_AT_A_TIME
from polls import COMMIT_WAITERS
from sockets import COMMIT_CLIENTS
from subscribers import FEW, MANY, SUBSCRIBERS
from systems import KINDS

P99_RATIO_MAX = 1.3
COMMIT_P50_MS_MAX = 4.0
RPS_RATIO_MIN = 0.6
MEMORY_KB_MAX = 16.0

SOCKET_P99_NODE_MAX = 0.45
SOCKET_P99_DIRECT_MAX = 1.2
SOCKET_CYCLES_MIN = 3.0
SOCKET_COMMIT_P50_MS_MAX = 5.0
SOCKET_POLLER_KB_MAX = 8.0
SOCKET_KB_MAX = 24.0
SOCKET_CPU_MAX = 10.0
INGEST_RATIO_MIN = 0.6
INGEST_ARRAYS_MIN = 15000
LOG_QUIET_P50_MS_MAX = 20.0
LOG_STEADY_P99_MS_MAX = 150.0
LOG_QUERY_P95_MS_MAX = 200.0
LOG_MATCH_RATIO_MAX = 2.0
SERVERS = ("cmdb-poller", "cmdb-fcgi", "lighttpd", "node")  # the database aside


def ratio(ours, its):
    """The median of what each round says, so that a change in between hits both alike."""
    return statistics.median(a / b for a, b in zip(ours, its))


def servers(by_part):
    return sum(value for part, value in by_part.items() if part in SERVERS)


def at_most(what, value, bound):
    return {"what": what, "value": value, "bound": f"<= {bound}", "met": value <= bound}


def at_least(what, value, bound):
    return {"what": what, "value": value, "bound": f">= {bound}", "met": value >= bound}


def poll_targets(result):
    rows, rounds = [], result["wake"]["rounds"]
    if "cmdb" in rounds and "floor" in rounds:
        rows.append(at_most("p99 of the wake / floor",
                            ratio(*([r["p99_ms"] for r in rounds[name]]
                                    for name in ("cmdb", "floor"))), P99_RATIO_MAX))
    if "cmdb" in rounds:
        commit = result["commit"]["cmdb"]
        rows.append(at_most("commit to client, p50 ms", commit["from_begin"]["p50_ms"],
                            COMMIT_P50_MS_MAX))
        rows.append(at_most("events missed", commit["missed"], 0))
    for label, r in result["rps"].items():
        rows.append(at_least(f"requests/s / floor, {label}", r["ratio"], RPS_RATIO_MIN))
    if "cmdb" in rounds:
        rows.append(at_most("KB a parked request", result["memory"]["cmdb"]["kb_a_request"],
                            MEMORY_KB_MAX))
    return rows


def socket_targets(result):
    rows = []
    p99 = {name: [r["p99_ms"] for r in rounds] for name, rounds in result["wake"].items()}
    if "cmdb" not in p99:
        return rows
    for name, what, bound in (("node", "Node behind lighttpd", SOCKET_P99_NODE_MAX),
                              ("direct", "Node direct", SOCKET_P99_DIRECT_MAX)):
        if name in p99:
            rows.append(at_most(f"Socket.IO: p99 / {what}", ratio(p99["cmdb"], p99[name]), bound))
    if "node" in p99:
        rows.append(at_least("Socket.IO: cycles/s / Node behind lighttpd",
                             ratio(result["cycles"]["cmdb"], result["cycles"]["node"]),
                             SOCKET_CYCLES_MIN))
    commit, idle = result["commit"]["cmdb"], result["idle"]["cmdb"]
    return rows + [
        at_most("Socket.IO: commit to client, p50 ms", commit["from_begin"]["p50_ms"],
                SOCKET_COMMIT_P50_MS_MAX),
        at_most("Socket.IO: events missed", commit["missed"], 0),
        at_most("Socket.IO: KB an idle session, poller", idle["kb"]["cmdb-poller"],
                SOCKET_POLLER_KB_MAX),
        at_most("Socket.IO: KB an idle session, all but the database", servers(idle["kb"]),
                SOCKET_KB_MAX),
        at_most("Socket.IO: idle sessions, % of a core", servers(idle["cpu_percent"]),
                SOCKET_CPU_MAX)]


def ingest_targets(result):
    return [
        at_least(f"logs in arrays of {ARRAY}: entries/s / their bare INSERTs", result["arrays"]["ratio"],
                 INGEST_RATIO_MIN),
        at_least("  entries/s", result["arrays"]["per_s"], INGEST_ARRAYS_MIN),
        at_least("logs one by one: posts/s / creations of a resource", result["singles"]["ratio"],
                 INGEST_RATIO_MIN)]


def subscriber_targets(logs):
    return [
        at_most("logs: commit to subscriber, after a quiet spell: p50 ms",
                logs["quiet"]["from_begin"]["p50_ms"], LOG_QUIET_P50_MS_MAX),
        at_most("logs: commit to subscriber, 1,000 a second: p99 ms",
                logs["steady"]["from_begin"]["p99_ms"], LOG_STEADY_P99_MS_MAX),
        at_most("logs: entries missed", logs["quiet"]["missed"] + logs["steady"]["missed"], 0),
        at_most(f"logs: cost of an event, {MANY} / {FEW} narrow filters",
                logs["match"]["many"]["us"] / logs["match"]["few"]["us"], LOG_MATCH_RATIO_MAX)]


def query_targets(result):
    return [at_most(f"logs: a query over {result['rows']} lines, p95 ms", result["p95_ms"], LOG_QUERY_P95_MS_MAX)]


def targets(result):
    return ((poll_targets(result["polls"]) if result["polls"] else [])
            + (socket_targets(result["sockets"]) if result["sockets"] else [])
            + (subscriber_targets(result["subscribers"]) if result["subscribers"] else [])
            + (ingest_targets(result["ingest"]) if result["ingest"] else [])
            + (query_targets(result["log_queries"]) if result["log_queries"] else []))


# ---- the table ----

class Table:
    def __init__(self, names):
        self.names = names
        print(f"\n{'':52}" + "".join(f"{n:>10}" for n in names))

    def row(self, label, of, digits=1):
        """of: what a system's name gives; a system that has none shows a dash."""
        def cell(name):
            try:
                return f"{of(name):>10.{digits}f}"
            except KeyError:
                return f"{'-':>10}"
        print(f"{label:52}" + "".join(cell(n) for n in self.names))


def show_polls(table, result, connections):
    for key in ("p50_ms", "p90_ms", "p99_ms", "max_ms"):
        table.row(f"one event, {connections} waiting: {key[:3]}, ms",
                  lambda n, k=key: result["wake"][n][k])
    for key in ("p50_ms", "p99_ms"):
        table.row(f"20 events/s, {COMMIT_WAITERS} waiting: {key[:3]}, ms",
                  lambda n, k=key: result["commit"][n]["from_begin"][k])
    table.row("  the same from the acknowledgement: p50, ms",
              lambda n: result["commit"][n]["from_ack"]["p50_ms"])
    table.row("KB a parked request, web server aside",
              lambda n: result["memory"][n]["kb_a_request"])
    for label, r in result["rps"].items():
        table.row(f"requests/s, {label}, {r['body_len']} bytes", lambda n, r=r: r[n], 0)


def show_sockets(table, result, connections):
    for key in ("p50_ms", "p90_ms", "p99_ms", "max_ms"):
        table.row(f"Socket.IO, one event to {connections}: {key[:3]}, ms",
                  lambda n, k=key: statistics.median(r[k] for r in result["wake"][n]))
    table.row("  the same if nobody polls again meanwhile: p99, ms",
              lambda n: statistics.median(r["p99_ms"] for r in result["pause"][n]))
    for key in ("p50_ms", "p99_ms"):
        table.row(f"Socket.IO, 20 events/s to {COMMIT_CLIENTS}: {key[:3]}, ms",
                  lambda n, k=key: result["commit"][n]["from_begin"][k])
    table.row("  the same from the acknowledgement: p50, ms",
              lambda n: result["commit"][n]["from_ack"]["p50_ms"])
    table.row("Socket.IO, handshake to close: cycles/s",
              lambda n: statistics.median(result["cycles"][n]), 0)
    table.row("Socket.IO, KB an idle session",
              lambda n: servers(result["idle"][n]["kb"]))
    for part in SERVERS:
        table.row(f"  of these {part}", lambda n, p=part: result["idle"][n]["kb"][p])
    table.row(f"Socket.IO, {connections} idle sessions: % of a core",
              lambda n: servers(result["idle"][n]["cpu_percent"]))
    for part in (*SERVERS, "mariadbd"):
        table.row(f"  {'besides' if part == 'mariadbd' else 'of these'} {part}",
                  lambda n, p=part: result["idle"][n]["cpu_percent"][p])


def show_queries(table, result):
    for name, query in result["queries"].items():
        table.row(f"logs, {result['rows']} lines: {name}, p95 ms", lambda n, q=query: {"cmdb": q["p95_ms"]}[n])
    table.row("  lines/s put into their index", lambda n: {"cmdb": result["indexed_per_s"]}[n], 0)
    table.row("  bytes of index a line", lambda n: {"cmdb": sum(
        size for t, size in result["bytes"].items() if t != "logs") / result["rows"]}[n])


def show_ingest(table, result):
    def cmdb(value):
        return lambda name: {"cmdb": value}[name]
    arrays, singles = result["arrays"], result["singles"]
    table.row(f"logs/s, arrays of {ARRAY}, {ARRAYS_AT_A_TIME} at a time", cmdb(arrays["per_s"]), 0)
    table.row("  the same rows by bare INSERTs", cmdb(arrays["other_per_s"]), 0)
    table.row(f"logs/s, one by one, {SINGLES_AT_A_TIME} at a time", cmdb(singles["per_s"]), 0)
    table.row("  line groups created instead", cmdb(singles["other_per_s"]), 0)


def show_subscribers(table, logs):
    def cmdb(value):
        return lambda n: {"cmdb": value}[n]
    for name, label in (("quiet", "after a quiet spell"), ("steady", "1,000 entries/s")):
        for key in ("p50_ms", "p99_ms"):
            table.row(f"logs, {SUBSCRIBERS} subscribers, {label}: {key[:3]}, ms",
                      cmdb(logs[name]["from_begin"][key]))
        table.row(f"  the same from the acknowledgement: {key[:3]}, ms",
                  cmdb(logs[name]["from_ack"][key]))
    for name, n in (("few", FEW), ("many", MANY)):
        table.row(f"logs, {n} narrow filters: poller, us an event",
                  cmdb(logs["match"][name]["us"]))


def show(result, smoke):
    names = [n for n in KINDS if n in result["systems"]]
    table = Table(names)
    if result["polls"]:
        show_polls(table, result["polls"], result["connections"])
    if result["sockets"]:
        show_sockets(table, result["sockets"], result["connections"])
    if result["subscribers"]:
        show_subscribers(table, result["subscribers"])
    if result["ingest"]:
        show_ingest(table, result["ingest"])
    if result["log_queries"]:
        show_queries(table, result["log_queries"])
    print()
    if smoke:
        print("smoke: it works; these numbers mean nothing")
        return
    for t in result["targets"]:
        print(f"{t['what']:52}{t['value']:>10.2f}   {t['bound']:<8}"
              f"{'met' if t['met'] else 'NOT MET'}")
