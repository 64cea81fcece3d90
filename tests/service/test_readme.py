"""The README's tour, pasted as it stands."""
import os
import re
import subprocess

from conftest import ROOT


def test_tour_works_when_pasted(stack, tmp_path):
    # The later blocks go on in the same shell.
    tour = "".join(re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(),
                              re.M | re.S))
    (tmp_path / "var").symlink_to(stack.dir)
    done = subprocess.run(["bash"], input=tour, cwd=tmp_path, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=120,
                          env={**os.environ, "TMPDIR": str(tmp_path)})
    out = done.stdout
    assert done.returncode == 0, out
    # No step failed on the way: not curl, not jq, not the shell.
    assert not re.search(r"^(curl|jq|bash|cmdbctl|ERROR)\b.*", out, re.M), out
    assert not re.search(r"^FAIL", out, re.M), out
    assert len(re.findall(r'^\[\d+,"[^"]+","(?:group|manual|redirect)","\w+"\]$', out, re.M)) == 5
    made = re.search(r'^\[\d+,"(tour-\d+\.example\.com)","https://example\.org/"\]$', out, re.M)
    assert re.search(rf'^\[\d+,"websites","add","{made[1]}"\]$', out, re.M), out
    assert '"sky":"blue"' in out and re.search(r"^id: \d+$", out, re.M), out
    assert re.search(r"^\S+Z WARN  edge-7 temperature 71 C #heat$", out, re.M), out
    assert len(re.findall(r"^\d{4}-\S+Z WARN ", out, re.M)) == 3, out
    assert re.search(r"^edge-7 +yes|^edge-7 +true", out, re.M) and "sent: 300\n" in out, out
    assert "poller.state: up" in out, out
