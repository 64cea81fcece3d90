"""What the web server serves beside cmdb-fcgi."""
import os
import subprocess

import pytest

from conftest import ROOT


@pytest.mark.parametrize("path, kind", [
    ("/", "text/html; charset=utf-8"),
    ("/websites.html", "text/html; charset=utf-8"),
    ("/websites.css", "text/css; charset=utf-8"),
    ("/websites.js", "text/javascript; charset=utf-8"),
    ("/js/socket.io.min.js", "text/javascript; charset=utf-8"),
    ("/js/socket.io.min.js.map", "application/json"),
    ("/admin/", "text/html; charset=utf-8"),
    ("/admin/favicon.png", "image/png"),
    ("/admin/mdi/fonts/materialdesignicons-webfont.woff2", "font/woff2"),
])
def test_pages_and_their_files(api, path, kind):
    reply = api.get(path)
    assert (reply.status, reply.headers["Content-Type"]) == (200, kind)
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Cache-Control"] == "no-cache"
    again = api.get(path, headers={"If-None-Match": reply.headers["ETag"]})
    assert again.status == 304


def test_no_page_has_scripts_in_it_or_asks_another_server(api):
    for path in ("/", "/websites.html", "/admin/"):
        text = api.get(path).body.decode()
        assert "<script>" not in text and "://" not in text, path


def install(into, **env):
    return subprocess.run([ROOT / "web/install", into], text=True, capture_output=True,
                          env={**os.environ, **env})


def test_install_without_a_registry_says_so_and_leaves_our_pages(tmp_path):
    done = install(tmp_path / "web", npm_config_cache=str(tmp_path / "cache"),
                   npm_config_registry="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "could not fetch" in done.stderr
    assert (tmp_path / "web/websites.html").exists()
    assert not (tmp_path / "web/js").exists()


def test_install_again_fetches_nothing(tmp_path):
    done = install(tmp_path / "web")
    assert done.returncode == 0, done.stderr
    (tmp_path / "web/websites.js").write_text("old")
    again = install(tmp_path / "web", npm_config_registry="http://127.0.0.1:9",
                    npm_config_cache=str(tmp_path / "cache"))
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "web/websites.js").read_text() != "old"
