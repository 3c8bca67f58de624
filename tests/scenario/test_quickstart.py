"""worker/quickstart with a provider of one's own, here the simulator, which wants a key."""
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from parts import LIMIT_S, ROOT, wait_until

KEY = "sk-quickstart"


class Quickstart:
    """It, with the simulator for a provider and everything temporary below `temp`."""

    def __init__(self, stage, temp="temp", without=(), terminal=None, **env):
        self.sim, self.temp = stage.simulator("--api-key", KEY), stage.folder / temp
        self.temp.mkdir()
        own = {"TMPDIR": str(self.temp), "OPENAI_BASE_URL": self.sim.url, "OPENAI_API_KEY": KEY, "OPENAI_MODEL": "mine", **env}
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE} if terminal is None else {"stdin": terminal, "stdout": terminal}
        on_terminal = [] if terminal is None else ["setsid", "--ctty", "--wait"]
        self.process = subprocess.Popen(["env", "--default-signal=INT", *on_terminal, ROOT / "worker/quickstart"], **streams, stderr=subprocess.STDOUT,
                                        text=True, start_new_session=True, env={**{name: value for name, value in os.environ.items() if name not in without}, **own})

    def out(self) -> str:
        """Of one that has done its work."""
        out, _ = self.process.communicate(timeout=300)
        assert self.process.returncode == 0, out
        return out

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def quickstart(stage):
    started = []

    def start(*arguments, **env):
        started.append(Quickstart(stage, *arguments, **env))
        return started[-1]

    yield start
    for each in started:
        each.end()


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
    started = quickstart()
    out = started.out()
    lines = dict(line.split(maxsplit=1) for line in out.splitlines() if line.split()[0] in ("model", "job", "reply", "time"))
    assert lines["model"] == "mine at your provider"
    assert json.loads(lines["job"])["id"] == json.loads(lines["reply"])["job"] == "first"
    assert json.loads(lines["reply"])["status"] == "ok" and lines["time"].startswith("queued ")
    assert KEY not in out
    (request,) = started.sim.get("/sim/requests?last=9")
    assert request["body"]["model"] == "mine"
    assert list(started.temp.iterdir()) == [] and processes_in(started.temp) == []


def test_interrupted_it_ends_what_it_started(quickstart):
    started = quickstart()
    while not (line := started.process.stdout.readline()).startswith("worker "):
        assert line, "it ended before its worker was there"
    os.killpg(started.process.pid, signal.SIGINT)
    assert started.process.wait(timeout=LIMIT_S) == 130
    wait_until(lambda: processes_in(started.temp) == [], "an end of all that was started")
    assert list(started.temp.iterdir()) == []


def test_on_a_terminal_ctrl_c_cancels_a_question_and_the_chat_goes_on(stage, quickstart):
    """Ctrl-C reaches the script, too, and all that it started: at the prompt the next one ends everything in order."""
    master, slave = pty.openpty()
    started = quickstart(terminal=slave)
    os.close(slave)
    text = ""

    def read_until(pattern, limit_s=LIMIT_S):
        nonlocal text
        until = time.monotonic() + limit_s
        while not (found := re.search(pattern, text)):
            assert select.select([master], [], [], max(0, until - time.monotonic()))[0], f"waited in vain for {pattern}: {text!r}"
            try:
                text += os.read(master, 65536).decode()
            except OSError:
                raise AssertionError(f"ended before {pattern}: {text!r}") from None
        text = text[found.end():]

    read_until("worker ", 5 * LIMIT_S)  # it may have to be built
    read_until("you> ")
    for n in range(1, 3):
        os.write(master, f"[[fault:stall times=1]] question {n}\n".encode())
        wait_until(lambda: started.sim.stats()["in_flight"] == 1, "the question at the model")
        os.write(master, b"\x03")
        read_until("cancelled: the job was cancelled")
        read_until("you> ")
        wait_until(lambda: started.sim.stats()["aborted_by_client"] == n, "the model is let go")
    os.write(master, b"hello\n")
    read_until("echo: hello")
    read_until("you> ")
    os.write(master, b"\x03")
    assert started.process.wait(timeout=LIMIT_S) == 0
    os.close(master)
    assert list(started.temp.iterdir()) == [] and processes_in(started.temp) == []


@pytest.mark.parametrize("temp", ["t" * 120, "with spaces and %41"])
def test_it_works_wherever_temporary_files_are(stage, quickstart, temp):
    """A socket's path has 107 bytes at most."""
    made, tools = stage.folder / "made", stage.folder / "tools"
    fake(tools, "mktemp", f'path=$({shutil.which("mktemp")} "$@") && echo "$path" | tee -a {made}')
    started = quickstart(temp, PATH=f"{tools}:{os.environ['PATH']}")
    assert '"status":"ok"' in started.out()
    assert list(started.temp.iterdir()) == [] and not any(Path(path).exists() for path in made.read_text().splitlines())
    assert any("chat-quickstart" in path for path in made.read_text().splitlines())


def test_it_works_without_a_home(quickstart):
    assert '"status":"ok"' in quickstart(without=("HOME", "XDG_CACHE_HOME")).out()


def test_it_needs_no_redis_of_the_systems(stage, quickstart):
    """A machine that has the package redis-tools alone: all its programs but redis-server."""
    programs = stage.folder / "programs"
    programs.mkdir()
    for folder in ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for program in Path(folder).iterdir():
            if program.name != "redis-server" and not (programs / program.name).is_symlink():
                (programs / program.name).symlink_to(program)
    assert not shutil.which("redis-server", path=str(programs))
    started = quickstart(CHAT_CACHE=str(stage.folder / "cache"), PATH=str(programs))
    assert '"status":"ok"' in started.out()


def setup(stage, script, folder=ROOT, **env):
    return subprocess.run(["bash", "-euc", f". {folder}/tests/lib/setup.sh; {script}"], text=True, capture_output=True, timeout=120, env={**os.environ, **env})


def fake(folder, name, script):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{script}\n")
    (folder / name).chmod(0o755)


def test_no_service_is_installed_with_what_is_missing(stage):
    """On a bare machine: what apt-get is asked for."""
    bare, asked = stage.folder / "bare", stage.folder / "asked"
    fake(bare, "dpkg-query", "exit 1")
    fake(bare, "apt-get", f'echo "$@" >>{asked}')
    fake(bare, "sudo", '"$@"')
    done = setup(stage, "need build; need_packages ${tests_packages[@]} ${clang_packages[@]} ${lint_packages[@]} ${kafka_packages[@]} ${gnuplot_packages[@]} ${valgrind_packages[@]}",
                 PATH=f"{bare}:{os.environ['PATH']}", CHAT_CACHE=str(stage.folder / "cache"))
    assert done.returncode == 0, done.stderr
    packages = set(asked.read_text().split())
    assert {"cmake", "redis-tools", "kcat"} <= packages and not packages & {"redis-server", "redis", "valkey-server", "valkey"}


def test_an_environment_that_many_want_at_once_is_made_once(stage):
    """None of them takes it away from another, who uses it already."""
    wanted = stage.folder / "requirements.txt"
    wanted.touch()
    script = f". {ROOT}/tests/lib/setup.sh; python=$(venv small {wanted}); for i in 1 2 3; do $python -m pip --version; done"
    runs = [subprocess.Popen(["bash", "-euc", script], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "CHAT_CACHE": str(stage.folder / "cache")})
            for _ in range(4)]
    said = [run.communicate(timeout=300) for run in runs]
    assert [run.returncode for run in runs] == [0] * 4, said
    assert sum(errors.count("making a Python environment") for _, errors in said) == 1, said


@pytest.mark.parametrize("home", [None, "/nonexistent"])
def test_the_cache_has_a_place_without_a_home(stage, home):
    own = {"TMPDIR": str(stage.folder)} | ({"HOME": home} if home else {})
    done = subprocess.run(["bash", "-euc", f'. {ROOT}/tests/lib/setup.sh; mkdir -p "$cache"; echo "$cache"'], text=True, capture_output=True, timeout=LIMIT_S,
                          env={**{name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME", "CHAT_CACHE")}, **own})
    assert done.returncode == 0 and os.access(done.stdout.strip(), os.W_OK), done.stderr


def test_a_checkout_that_was_copied_with_its_build_is_built_anew(stage):
    """A small one, by the real CMake."""
    first, second = stage.folder / "first", stage.folder / "second"
    (first / "tests/lib").mkdir(parents=True)
    shutil.copy(ROOT / "tests/lib/setup.sh", first / "tests/lib")
    shutil.copy(ROOT / "CMakePresets.json", first)
    (first / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.25)\nproject(small NONE)\n"
                                          "file(WRITE ${CMAKE_BINARY_DIR}/made-of ${CMAKE_SOURCE_DIR})\n")
    for _ in range(2):
        done = setup(stage, "build release; build dev", first)
        assert done.returncode == 0 and "anew" not in done.stderr, done.stderr
    shutil.copytree(first, second)
    (second / "build/left-over").touch()
    done = setup(stage, "build release", second)
    assert done.returncode == 0 and "anew" in done.stderr, done.stderr
    assert (second / "build/made-of").read_text() == str(second) and not (second / "build/left-over").exists()
    assert (second / "build/dev/made-of").read_text() == str(first), "another preset's is its own"
    assert setup(stage, "build dev", second).returncode == 0 and (second / "build/dev/made-of").read_text() == str(second)
    assert (first / "build/made-of").read_text() == str(first)
    shutil.rmtree(first)
    done = setup(stage, "build release", second)
    assert done.returncode == 0 and "anew" not in done.stderr
