"""deploy/build, on a tree so small that building it takes a second."""
import os
import shutil
import subprocess

import pytest

from conftest import ROOT

pytestmark = pytest.mark.slow

FILES = {
    "configure.ac": "AC_INIT([hello], [1])\nAC_CONFIG_AUX_DIR([build-aux])\n"
                    "AM_INIT_AUTOMAKE([foreign subdir-objects])\nAC_PROG_CC\n"
                    "AC_CONFIG_FILES([Makefile])\nAC_OUTPUT\n",
    "Makefile.am": "bin_PROGRAMS = hello\nhello_SOURCES = lib/hello.c\n",
    "lib/hello.c": "int main(void) { return 0; }\n",
}


def run(*command, cwd, **more):
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, **more)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def tree(tmp_path):
    for name, text in FILES.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text(text)
    (tmp_path / "tree/deploy").mkdir()
    shutil.copy(ROOT / "deploy/build", tmp_path / "tree/deploy/build")
    return tmp_path / "tree"


def build(tree):
    """Builds outside the tree; returns where the program was installed."""
    out = tree.parent / "out"
    run(tree / "deploy/build", "--into", out / "build", "--prefix", out / "prefix", "CFLAGS=-O0",
        cwd="/")
    assert os.access(out / "prefix/bin/hello", os.X_OK)
    return out / "prefix/bin/hello"


def test_fresh_tree_gets_configure_and_no_objects(tree):
    build(tree)
    assert (tree / "configure").exists()
    assert not (tree / "config.status").exists() and not list(tree.rglob("*.o"))


def test_again_builds_only_what_changed(tree):
    first = build(tree).stat().st_mtime_ns
    made = tree.parent / "out/build/hello"
    built = made.stat().st_mtime_ns
    build(tree)
    assert made.stat().st_mtime_ns == built
    (tree / "lib/hello.c").write_text("int main(void) { return 1; }\n")
    assert build(tree).stat().st_mtime_ns > first
    assert made.stat().st_mtime_ns > built


def test_tree_that_is_configured_for_itself(tree):
    run("autoreconf", "-i", cwd=tree)
    run("./configure", "-q", cwd=tree)
    run("make", "-s", cwd=tree)
    before = sorted(tree.rglob("*"))
    build(tree)
    assert sorted(tree.rglob("*")) == before
