"""What runs the tests: that it counts, runs several programs at a time and not too many, runs none that no source is for, and leaves
nothing behind when it is stopped. The programs here are shell scripts that end as Criterion's do."""
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from parts import LIMIT_S, wait_until

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
RUNNING = Path(__file__).with_name("running.sh")
SYNTHESIS = "[====] Synthesis: Tested: {} | Passing: {} | Failing: {} | Crashing: 0"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "bin").mkdir()
    return tmp_path


def program(folder, name, text):
    path = folder / "bin" / name
    path.write_text("#!/bin/bash\n" + text + "\n")
    path.chmod(0o755)
    return path


def passing(folder, name, before=":", passed=1):
    return program(folder, name, f"{before}\necho '{SYNTHESIS.format(passed, passed, 0)}' >&2")


def heed():
    """A shell can't trap what was ignored before it, as INT is of all that another shell runs in the background."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL)


def start(folder, command, *arguments):
    return subprocess.Popen(["bash", "-euc", f'. "$1"; shift; count() {{ echo "counted $*"; }}; {command}', "running", str(RUNNING), *map(str, arguments)], text=True, cwd=folder,
                            env={**os.environ, "TMPDIR": str(folder)}, preexec_fn=heed, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def ran(folder, command, *arguments):
    process = start(folder, command, *arguments)
    try:
        out, _ = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.terminate()  # it ends what it runs
        out, _ = process.communicate(timeout=LIMIT_S)
        raise AssertionError(f"not over after {LIMIT_S:.0f} s: {out}") from None
    assert process.returncode == 0, out
    return out


def test_every_program_is_counted_and_what_failed_is_shown_in_order(folder):
    programs = [passing(folder, "test_a", passed=3),
                program(folder, "test_b", f"echo b says why; echo -e '[\\033[0;31mFAIL\\033[0m] b::one: (0.00s)'; echo '[FAIL] b::two: (0.00s)'; echo '{SYNTHESIS.format(4, 2, 2)}'; exit 1"),
                program(folder, "test_c", "echo c is cut short; kill -SEGV $$"),
                program(folder, "test_d", f"echo '{SYNTHESIS.format(5, 5, 0)}'; echo d leaks; exit 23"),
                program(folder, "test_e", f"echo 'ERROR: AddressSanitizer: e'; echo '{SYNTHESIS.format(1, 1, 0)}'"),
                folder / "bin" / "test_f"]
    out = ran(folder, 'run_criterion unit "$@"; printf "failure %s\\n" "${failures[@]}"', *programs)
    lines = out.splitlines()
    failures = [line.removeprefix("failure ") for line in lines if line.startswith("failure ")]
    assert failures == [f"unit: {what}" for what in ("test_b: b::one", "test_b: b::two", "test_c: ended without a count", "test_d", "test_e: ERROR: AddressSanitizer: e",
                                                     "test_f: ended without a count")]
    assert lines[-1 - len(failures)] == "counted unit 11 6", out  # 3 + 2 + 5 + 1; two of b, c, d's exit, e's report, f isn't there
    assert [out.index(word) for word in ("b says why", "c is cut short", "d leaks", "AddressSanitizer: e", "test_f ended without a count")] == sorted(
        out.index(word) for word in ("b says why", "c is cut short", "d leaks", "AddressSanitizer: e", "test_f ended without a count"))
    assert "test_a" not in out


def test_what_failed_in_pytest_is_kept_by_name(folder):
    (folder / "test_x.py").write_text("def test_good(): pass\ndef test_bad(): assert False\ndef test_broken(absent): pass\n")
    out = ran(folder, 'CHAT_PYTHON=$1; shift; run_pytest part "$@"; printf "failure %s\\n" "${failures[@]}"', sys.executable, "test_x.py")
    assert [line for line in out.splitlines() if line.startswith(("counted", "failure"))] == [
        "counted part 1 2", "failure part: test_x.py::test_bad", "failure part: test_x.py::test_broken"], out


def test_programs_run_side_by_side_and_not_all_at_once(folder):
    """Each of three waits for the two others; and of nine, three are there at most."""
    meet = [passing(folder, f"test_{name}", f"touch {folder}/{name}; until [ -e {folder}/a ] && [ -e {folder}/b ] && [ -e {folder}/c ]; do sleep 0.01; done") for name in "abc"]
    assert ran(folder, 'run_criterion unit "$@"', *meet).splitlines()[-1] == "counted unit 3 0"
    log = folder / "log"
    note = f"exec 9>>{log}.lock; flock 9; echo %s >>{log}; exec 9>&-"
    full = f"until b=$(grep -c begins {log}); e=$(grep -c ends {log}); [ $b -eq 9 ] || [ $b -ge $((e + 3)) ]; do sleep 0.01; done"  # all places are taken
    many = [passing(folder, f"test_{n}", f"{note % 'begins'}; {full}; {note % 'ends'}") for n in range(9)]
    assert ran(folder, 'run_criterion unit "$@"', *many).splitlines()[-1] == "counted unit 9 0"
    running, most = 0, 0
    for line in log.read_text().split():
        running += 1 if line == "begins" else -1
        most = max(most, running)
    assert running == 0 and most <= 3


def test_a_program_that_no_source_is_for_is_not_run(folder):
    """The build leaves the program of a deleted test where it was."""
    (folder / "unit").mkdir()
    (folder / "unit" / "test_here.c").touch()
    passing(folder, "test_here")
    passing(folder, "test_deleted", f"touch {folder}/was-run")
    out = ran(folder, 'run_criterion unit $(programs_of bin unit/test_*.c)')
    assert out.splitlines()[-1] == "counted unit 1 0" and not (folder / "was-run").exists()


def is_gone(pid):
    """Or waits for whoever adopted it."""
    try:
        return re.search(r"^State:\s+Z", Path(f"/proc/{pid}/status").read_text(), re.M)
    except (FileNotFoundError, ProcessLookupError):  # the second: it went between open and read
        return True


@pytest.mark.parametrize("number", STOPPING)
def test_whoever_is_stopped_leaves_nothing_running(folder, number):
    programs = [passing(folder, f"test_{n}", f"sleep 600 & echo $! >{folder}/{n}.part; mv {folder}/{n}.part {folder}/{n}.child; wait") for n in range(3)]
    process = start(folder, 'run_criterion unit "$@"', *programs)
    wait_until(lambda: len(list(folder.glob("*.child"))) == 3, "all run")
    children = [int(path.read_text()) for path in folder.glob("*.child")]
    process.send_signal(number)
    out, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130 and "counted" not in out
    for child in children:
        wait_until(lambda: is_gone(child), f"{child} ended")


def test_what_counts_by_itself_is_ended_with_its_children(folder):
    """A shell that waited for it by $(...) would hear of the signal when it has ended."""
    lines = program(folder, "lines", f"sleep 600 & echo $! >{folder}/part; mv {folder}/part {folder}/child; wait; echo '1 passed, 0 failed'")
    process = start(folder, 'captured out "$@"', lines)
    wait_until((folder / "child").exists, "it runs")
    process.terminate()
    assert process.wait(LIMIT_S) == 130
    wait_until(lambda: is_gone(int((folder / "child").read_text())), "its child ended")


def test_what_counts_by_itself_gives_its_output_and_status(folder):
    lines = program(folder, "lines", "echo one; echo two >&2; exit 3")
    assert ran(folder, 'status=0; captured out "$@" || status=$?; echo "status $status: $(<out)"', lines).splitlines()[-1] == "status 3: one"
