"""worker/quickstart with a provider of one's own, here the simulator, which wants a key."""
import json
import os
import signal
import subprocess

import pytest
from parts import ROOT, wait_until

KEY = "sk-quickstart"


@pytest.fixture
def quickstart(stage):
    sim = stage.simulator("--api-key", KEY)
    temp = stage.folder / "temp"
    temp.mkdir()
    started = subprocess.Popen(["env", "--default-signal=INT", ROOT / "worker/quickstart"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
                               env={**os.environ, "TMPDIR": str(temp), "OPENAI_BASE_URL": sim.url, "OPENAI_API_KEY": KEY, "OPENAI_MODEL": "mine"})
    yield started, sim, temp
    if started.poll() is None:
        started.kill()
        started.wait()


def processes_in(folder):
    """Whose working files are below it: those that quickstart started."""
    found = []
    for process in os.listdir("/proc"):
        try:
            if process.isdigit() and str(folder).encode() in open(f"/proc/{process}/cmdline", "rb").read():
                found.append(process)
        except OSError:
            pass
    return found


def test_it_asks_the_provider_of_the_environment_and_leaves_nothing(quickstart):
    started, sim, temp = quickstart
    out, _ = started.communicate(timeout=120)
    assert started.returncode == 0, out
    lines = dict(line.split(maxsplit=1) for line in out.splitlines() if line.split()[0] in ("model", "job", "reply", "time"))
    assert lines["model"] == "mine at your provider"
    assert json.loads(lines["job"])["id"] == json.loads(lines["reply"])["job"] == "first"
    assert json.loads(lines["reply"])["status"] == "ok" and lines["time"].startswith("queued ")
    assert KEY not in out
    (request,) = sim.get("/sim/requests?last=9")
    assert request["body"]["model"] == "mine"
    assert list(temp.iterdir()) == [] and processes_in(temp) == []


def test_interrupted_it_ends_what_it_started(quickstart):
    started, _, temp = quickstart
    while not (line := started.stdout.readline()).startswith("worker "):
        assert line, "it ended before its worker was there"
    os.killpg(started.pid, signal.SIGINT)
    assert started.wait(timeout=60) == 130
    wait_until(lambda: processes_in(temp) == [], "an end of all that was started")
    assert list(temp.iterdir()) == []
