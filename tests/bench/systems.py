"""What bench/run measures: how each system is started, stopped, and looked at meanwhile."""
import base64
import contextlib
import hashlib
import hmac
import json
import os
import resource
import shutil
import socket
import subprocess
import time
import urllib.request

HERE = os.path.dirname(os.path.realpath(__file__))
SRC = os.path.dirname(os.path.dirname(HERE))
DEPLOY = os.path.join(SRC, "deploy")
NGINX_MODULES = "/usr/lib/nginx/modules"
START_LIMIT_S = 20
NPM_LIMIT_S = 300
TOKEN_S = 86400

# Node.js behind what is lighttpd's configuration for cmdb otherwise, to the letter.
PROXY = """include "base.conf"
server.modules += ( "mod_proxy" )
$HTTP["url"] =~ "^/socket\\.io/" {
	fastcgi.server = ()
	server.error-handler = ""
	proxy.server = ( "" => (( "host" => "127.0.0.1", "port" => @PORT@ )) )
}
"""


class Failed(Exception):
    """What is measured does not work; the text says where to look."""


def run_quietly(*args, **more):
    try:
        done = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False, **more)
    except subprocess.TimeoutExpired as late:
        raise Failed(f"{' '.join(args)}: still running after {late.timeout} s") from None
    if done.returncode != 0:
        raise Failed(f"{' '.join(args)}:\n{done.stdout}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def fill(template, target, values):
    with open(template, encoding="utf-8") as f:
        text = f.read()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    with open(target, "w", encoding="utf-8") as f:
        f.write(text)


# ---- processes ----

def wait_until_it_listens(port, process):
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise Failed(f"{process.args[0]} does not listen on port {port}")


def children_of(pids):
    """These processes and all that descend from them."""
    parents = {}
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            with open(f"/proc/{int(entry)}/stat", encoding="ascii", errors="replace") as f:
                parents[int(entry)] = int(f.read().rpartition(")")[2].split()[1])
    family = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def comm_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii", errors="replace") as f:
            return f.read().strip()
    except OSError:
        return ""


def memory_kb(pids):
    """Proportional set size: what is shared counts once."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
    return total


def cpu_s(pids):
    """Processor time they have taken so far."""
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            ticks += sum(int(n) for n in f.read().rpartition(")")[2].split()[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def cpu_ns(pids):
    """The same to the nanosecond, of all threads that there are."""
    total = 0
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/schedstat",
                                                    encoding="ascii") as f:
                total += int(f.read().split()[0])
    return total


# ---- the systems ----

class System:
    """Something that holds requests. start() and stop(); between them it can be measured."""
    events_url = sockets_url = None  # what it serves: long-polls, Socket.IO
    load_args = ()                   # how load and sockets give it an event

    def __init__(self, name, bench, directory):
        self.name, self.bench, self.dir = name, bench, directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.processes = []

    def spawn(self, *args):
        with open(os.path.join(self.dir, "output"), "a", encoding="utf-8") as log:
            process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def lighttpd_conf(self, name):
        for part in ("www", "tmp", "log"):
            os.mkdir(os.path.join(self.dir, part))
        config = os.path.join(self.dir, name)
        fds = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 16384)
        fill(os.path.join(DEPLOY, "lighttpd.conf.in"), config, {
            "DIR": self.dir, "RUN": self.dir, "PORT": self.port, "BIND": "127.0.0.1",
            "MAX_FDS": fds, "MAX_CONNECTIONS": fds // 2, "MAX_REQUEST_KIB": 2048})
        return config

    def parts(self):
        """Its processes, by what they are."""
        pids = {}
        for process in self.processes:
            name = os.path.basename(process.args[0])
            pids[name] = pids.get(name, set()) | children_of([process.pid])
        return pids

    def holders(self):
        """The processes whose memory a parked request takes, web server aside."""
        return children_of([self.processes[0].pid])

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Floor(System):
    def start(self):
        self.events_url = self.url + "/events"
        config = self.lighttpd_conf("lighttpd.conf")
        self.spawn(os.path.join(self.bench, "floor"), "--dir", self.dir)
        wait_until_it_listens(self.port, self.spawn("lighttpd", "-D", "-f", config))
        self.load_args = ["--control", os.path.join(self.dir, "control.sock")]


class Nchan(System):
    def start(self):
        self.events_url = self.url + "/events"
        os.mkdir(os.path.join(self.dir, "tmp"))
        config = os.path.join(self.dir, "nginx.conf")
        fds = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 16384)
        fill(os.path.join(HERE, "nginx.conf.in"), config, {
            "DIR": self.dir, "PORT": self.port, "MODULES": NGINX_MODULES,
            "MAX_FDS": fds, "MAX_CONNECTIONS": fds // 2})
        wait_until_it_listens(self.port, self.spawn("nginx", "-p", self.dir, "-c", config))
        self.load_args = ["--nchan", self.url]


class Direct(System):
    """Socket.IO's own server on Node.js."""

    def start(self):
        self.serve(self.port)
        self.sockets_url = self.url + "/socket.io/"

    def serve(self, port):
        program = install_server(os.path.join(os.path.dirname(self.dir), "socket.io"))
        key = os.urandom(32).hex()
        with open(os.path.join(self.dir, "key"), "w", encoding="ascii") as f:
            f.write(key)
        control = free_port()
        wait_until_it_listens(port, self.spawn(
            "node", program, str(port), str(control), f.name))
        self.load_args = ["--node", f"http://127.0.0.1:{control}"]
        self.signed = sign(key, {"sub": "1", "name": "admin", "tenant": 1, "roles": ["admin"],
                                 "iat": int(time.time()), "exp": int(time.time()) + TOKEN_S})

    def token(self):
        return self.signed


def install_server(directory):
    """Once for all that run it."""
    program = os.path.join(directory, "server.js")
    if os.path.exists(program):
        return program
    os.mkdir(directory)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(os.path.join(HERE, "node", name), directory)
    # Without a network npm would go on trying for minutes.
    run_quietly("npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund",
                "--prefer-offline", "--fetch-retries=1", "--fetch-retry-mintimeout=1000",
                "--loglevel=error", cwd=directory, timeout=NPM_LIMIT_S)
    return shutil.copy(os.path.join(HERE, "node", "server.js"), program)


def sign(key, claims):
    def encode(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    text = ".".join(encode(json.dumps(part).encode())
                    for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return text + "." + encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest())


class Node(Direct):
    """The same behind lighttpd."""

    def start(self):
        port = free_port()
        self.serve(port)
        self.lighttpd_conf("base.conf")
        config = os.path.join(self.dir, "lighttpd.conf")
        with open(config, "w", encoding="utf-8") as f:
            f.write(PROXY.replace("@PORT@", str(port)))
        wait_until_it_listens(self.port, self.spawn("lighttpd", "-D", "-f", config))
        self.sockets_url = self.url + "/socket.io/"


# All the load is one user's, from one address.
NO_LIMITS = [word for section in ("events", "socketio") for who in ("user", "address")
             for word in ("--set", f"{section}.max_per_{who}=0")]
# Its sockets ask for no list of rows, and are measured from the first event on.
NO_WAIT = ["--set", "socketio.list_wait_ms=0"]


class Cmdb(System):
    prefix = None

    def start(self):
        run_quietly(os.path.join(DEPLOY, "up"), "--dir", self.dir, "--port", str(self.port),
                    "--prefix", self.prefix, *NO_LIMITS, *NO_WAIT)
        with open(os.path.join(self.dir, "stack.env"), encoding="utf-8") as f:
            self.env = dict(line.rstrip("\n").split("=", 1) for line in f)
        self.events_url = self.url + "/events?topics=websites&timeout=55"
        self.sockets_url = self.url + "/socket.io/"
        self.header = f"X-API-Key: {self.env['CMDB_API_KEY']}"
        self.load_args = ["--db-socket", self.env["CMDB_DB_SOCKET"],
                          "--db", self.env["CMDB_DB_NAME"],
                          "--poller", self.env["CMDB_POLLER_SOCKET"]]

    def restart(self):
        """So that memory is measured of processes that have done nothing else before."""
        run_quietly(os.path.join(DEPLOY, "down"), "--dir", self.dir)
        self.start()

    def parts(self):
        pids = {}
        for pid in children_of(int(p) for p in self.env["CMDB_PIDS"].strip("\"'").split()):
            pids.setdefault(comm_of(pid), set()).add(pid)
        return pids

    def holders(self):
        pids = self.parts()
        return pids["cmdb-fcgi"] | pids["cmdb-poller"]

    def ask(self, path, body=None, **headers):
        request = urllib.request.Request(self.url + path, body, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)["data"]

    def get(self, path):
        name, value = self.header.split(": ")
        return self.ask(path, **{name: value})

    def token(self):
        user = {"username": self.env["CMDB_ADMIN_USER"],
                "password": self.env["CMDB_ADMIN_PASSWORD"]}
        return self.ask("/api/v1/auth/login", json.dumps(user).encode(),
                        **{"Content-Type": "application/json"})["access_token"]

    def stop(self):
        run_quietly(os.path.join(DEPLOY, "down"), "--dir", self.dir, "--wipe")


KINDS = {"cmdb": Cmdb, "floor": Floor, "nchan": Nchan, "node": Node, "direct": Direct}
# What deploy/packages calls what they need, and what that is.
NEEDS = {"nchan": ("bench", "nginx with nchan"), "node": ("web", "node and npm"),
         "direct": ("web", "node and npm")}
