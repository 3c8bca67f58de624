"""What cmake --install leaves, and that it works there."""
import os
import re
import subprocess

import pytest
from parts import BIN


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("prefix")
    subprocess.run(["cmake", "--install", str(BIN.parent), "--prefix", str(prefix)], check=True, capture_output=True)
    return prefix


def test_both_programs_the_example_and_the_unit_are_there_and_nothing_else(installed):
    files = sorted(str(f.relative_to(installed)) for f in installed.rglob("*") if f.is_file())
    assert [os.path.basename(f) for f in files if f.startswith("bin/")] == ["chat-producer", "chat-worker"]
    assert {os.path.basename(f) for f in files if not f.startswith("bin/")} == {"chat-worker.service", "worker.ini.example"}


def test_the_example_is_accepted_by_the_installed_worker(installed):
    (example,) = installed.rglob("worker.ini.example")
    done = subprocess.run([installed / "bin/chat-worker", "--check-config", "-c", example], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_unit_starts_the_installed_worker_and_gives_it_time_to_drain(installed):
    (unit,) = installed.rglob("chat-worker.service")
    settings = dict(line.split("=", 1) for line in unit.read_text().splitlines() if "=" in line and not line.startswith("#"))
    program, option, file = settings["ExecStart"].split()
    assert program.endswith("/bin/chat-worker") and option == "-c" and file.endswith("/chat-worker/worker.ini")
    (example,) = installed.rglob("worker.ini.example")
    drain_ms = int(re.search(r"^[;# ]*drain_timeout_ms *= *(\d+)", example.read_text(), re.M).group(1))
    assert int(settings["TimeoutStopSec"]) * 1000 >= drain_ms + 15000
