"""Real clients against a stack: socket.io-client in Node and in Chromium, python3-socketio, and
plain HTTP. The stack and its helpers are those of the service tests.

The Node tests are tables of names (support.js). Each name is a test here; the first one of a file
that comes up runs all of that file's, in one process and many at a time, so test_node.py keeps a
file's tests on one worker. CMDB_TEST_NODE says where their node_modules is or is to be installed.
"""
import fcntl
import hashlib
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading

import pytest

pytest.register_assert_rewrite("session")
HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]

# Both directories have a conftest.py: theirs goes by another name here.
_spec = importlib.util.spec_from_file_location("service", ROOT / "tests/service/conftest.py")
service = importlib.util.module_from_spec(_spec)
sys.modules["service"] = service
_spec.loader.exec_module(service)

pytest_configure = service.pytest_configure
own_stack, _tokens = service.own_stack, service._tokens
api, admin, viewer, db = service.api, service.admin, service.viewer, service.db
SLOWER, wait_until, unique = service.SLOWER, service.wait_until, service.unique

# Few enough ids that a test can fall too far behind.
SETS = ["socketio.max_replay=20000"]
# Files of Node tests that want a stack of their own.
STACK_OF = {
    "echo.test.js": ["conformance.app=echo-socketio", "socketio.ping_interval_ms=500",
                     "socketio.ping_timeout_ms=5000"],
    # A client that asks at once for its list gets that first. Among many, "at once" may take it a
    # while, which is longer than the short wait that suits the other tests.
    "example.test.js": ["socketio.list_wait_ms=3000"],
}


def node_modules():
    """Where they are, installed as package-lock.json says. Waits for others that install them."""
    build = os.environ.get("CMDB_TEST_BUILD")
    default = pathlib.Path(build) / "node" if build else ROOT / "build/node"
    into = pathlib.Path(os.environ.get("CMDB_TEST_NODE", default))
    into.mkdir(parents=True, exist_ok=True)
    with open(into / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp, wanted = into / "stamp", hashlib.sha256((HERE / "package-lock.json").read_bytes())
        if not stamp.exists() or stamp.read_text() != wanted.hexdigest():
            for name in ("package.json", "package-lock.json", ".npmrc"):
                shutil.copy(HERE / name, into / name)
            subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund",
                            "--prefer-offline", "--loglevel=error"], cwd=into, check=True)
            stamp.write_text(wanted.hexdigest())
    return into / "node_modules"


@pytest.fixture(scope="session")
def stack():
    s = service.Stack(service.stack_home(), service.TEST_SETS + SETS)
    # Pages of this other origin may come in: the same server under another name.
    s.sets.append(f"http.cors_origins=http://localhost:{s.port}")
    try:
        s.up()
        yield s
    finally:
        s.discard()


@pytest.fixture(scope="session")
def other_stack():
    """other_stack("section.key=value", ...) brings up a stack that goes with the session."""
    made = []

    def make(*sets):
        made.append(service.Stack(service.stack_home(), service.TEST_SETS + list(sets)))
        made[-1].up()
        return made[-1]

    yield make
    for s in made:
        s.discard()


class Node:
    """Runs the tests of a file and knows how they ended. `stack_for` gives a file's stack."""

    def __init__(self, stack_for, items):
        self.stack_for, self.items, self.results = stack_for, items, {}

    def run(self, file):
        stack = self.stack_for(file)
        wanted = [i.callspec.params["case"] for i in self.items
                  if getattr(i, "callspec", None) and i.callspec.params.get("file") == file]
        env = {**os.environ, **stack.env, "NODE_PATH": str(node_modules()),
               "CMDB_CASES": json.dumps(wanted),
               "CMDB_SHOTS": os.environ.get("CMDB_TEST_SHOTS", str(stack.dir / "log"))}
        results, output = {}, tempfile.TemporaryFile("w+")
        with subprocess.Popen(["node", "--test-reporter", HERE / "reporter.js", HERE / file],
                              env=env, text=True, stdout=subprocess.PIPE, stderr=output) as done:
            patience = threading.Timer(300 * SLOWER, done.kill)
            patience.start()
            for line in done.stdout:
                result = json.loads(line)
                results[result["name"]] = result
                # Some clients leave timers behind that would keep the process for 45 s more. A
                # browser is taken along.
                if len(results) == len(wanted):
                    done.terminate()
                    break
            patience.cancel()
        output.seek(0)
        self.results[file] = results, output.read()

    def check(self, file, case):
        if file not in self.results:
            self.run(file)
        results, output = self.results[file]
        result = results.get(case)
        assert result, f"node did not run it:\n{output[-4000:]}"
        if not result["ok"]:
            pytest.fail(f"{result['error']}\n({result['ms']} ms)", pytrace=False)


@pytest.fixture(scope="session")
def node(request, other_stack):
    def stack_for(file):
        if file in STACK_OF:
            return other_stack(*STACK_OF[file])
        return request.getfixturevalue("stack")

    return Node(stack_for, request.session.items)


def cases_of(file):
    """The names in a file of tests, without running any."""
    done = subprocess.run(["node", HERE / file, "--list"], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("file, case", [
            pytest.param(file, case, id=f"{file.split('.')[0]}: {case}",
                         marks=[pytest.mark.xdist_group(file)])
            for file in sorted(p.name for p in HERE.glob("*.test.js"))
            for case in cases_of(file)])
