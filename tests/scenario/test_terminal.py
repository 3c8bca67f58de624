"""chat-producer as a person sees it: on a terminal of its own (a pty)."""
import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest
from parts import BIN, LIMIT_S, Topics, wait_until


class Terminal:
    """chat-producer with its standard streams on a terminal, but for those given."""

    def __init__(self, worker, *arguments, **streams):
        self.master, slave = pty.openpty()
        self.text = ""
        self.process = subprocess.Popen(["env", "--default-signal=INT", "setsid", "--ctty", "--wait", BIN / "chat-producer", *arguments, "-b", worker.bootstrap],
                                        **{"stdin": slave, "stdout": slave, "stderr": slave, **streams}, env={**os.environ, "TERM": "dumb"})
        os.close(slave)

    def type(self, text):
        os.write(self.master, text.encode())

    def read_until(self, pattern):
        """What came up to and with the pattern; None stands for the end."""
        until, found = time.monotonic() + LIMIT_S, None
        while pattern is None or (found := re.search(pattern, self.text)) is None:
            readable, _, _ = select.select([self.master], [], [], max(0, until - time.monotonic()))
            assert readable, f"waited in vain for {pattern}: {self.text!r}"
            try:
                self.text += os.read(self.master, 65536).decode()
            except OSError:  # the other side is closed
                assert pattern is None, f"ended before {pattern}: {self.text!r}"
                break
        end = found.end() if found else len(self.text)
        seen, self.text = self.text[:end], self.text[end:]
        return seen

    def end(self):
        self.read_until(None)
        os.close(self.master)
        return self.process.wait(LIMIT_S)


def name_of(pid) -> str:
    try:
        return open(f"/proc/{pid}/comm").read().strip()
    except OSError:
        return ""


def parent_of(pid) -> int:
    try:
        return int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


@pytest.fixture
def worker(stage):
    worker = stage.worker(stage.redis(), stage.simulator(), **{"worker.drain_timeout_ms": "100"})
    worker.sim = stage.started[1]
    return worker


def test_a_chat_keeps_its_session_and_ends_with_ctrl_d(worker):
    terminal = Terminal(worker, "ask")
    terminal.read_until("you> ")
    terminal.type("first\n")
    terminal.read_until(r"echo: first \[messages=1\]")
    terminal.read_until("you> ")
    terminal.type("   \n")
    terminal.read_until("you> ")
    terminal.type("second\n")
    terminal.read_until(r"echo: second \[messages=3\]")
    terminal.read_until("you> ")
    terminal.type("\x04")
    assert terminal.end() == 0
    assert worker.sim.stats()["requests"] == 2


def test_ctrl_c_ends_a_chat(worker):
    terminal = Terminal(worker, "ask")
    terminal.read_until("you> ")
    terminal.type("\x03")
    assert terminal.end() == 0, "at the prompt nothing is left undone"


def test_ctrl_c_cancels_the_answer_and_the_chat_goes_on(worker):
    """As often as one likes: each is the first of its question. The session goes on without what was cancelled."""
    terminal = Terminal(worker, "ask")
    terminal.read_until("you> ")
    for n in range(1, 4):
        terminal.type(f"[[fault:stall times=1]] question {n}\n")
        wait_until(lambda: worker.sim.stats()["in_flight"] == 1, "the question at the model")
        terminal.type("\x03")
        terminal.read_until("cancelled: the job was cancelled")
        terminal.read_until("you> ")
        wait_until(lambda: worker.sim.stats()["aborted_by_client"] == n, "the model is let go")
    terminal.type("hello\n")
    terminal.read_until(r"echo: hello \[messages=1\]")
    terminal.read_until("you> ")
    terminal.type("\x03")
    assert terminal.end() == 0, "at the prompt it leaves"


def test_ctrl_c_in_the_middle_of_what_is_shown_begins_a_line(worker):
    terminal = Terminal(worker, "ask")
    terminal.read_until("you> ")
    terminal.type("[[fault:hold n=4]] some words to show\n")  # the answer says all of it again
    terminal.read_until(r"\necho: .*some")
    terminal.type("\x03")
    seen = terminal.read_until("cancelled: the job was cancelled")
    assert re.search(r"\n(chat-producer: )?cancelled", seen), seen
    terminal.read_until("you> ")
    terminal.type("\x04")
    assert terminal.end() == 0


def test_a_second_ctrl_c_leaves_a_chat_whose_cancel_has_no_answer(stage):
    """Nobody reads the control topic."""
    worker = stage.worker(stage.redis(), sim := stage.simulator(), **{"worker.control_topic": "", "worker.drain_timeout_ms": "100"})
    terminal = Terminal(worker, "ask")
    terminal.read_until("you> ")
    terminal.type("[[fault:stall]] hello\n")
    wait_until(lambda: sim.stats()["in_flight"] == 1, "the question at the model")
    topics = Topics(worker.bootstrap)
    for _ in range(2):
        terminal.type("\x03")
        wait_until(lambda: topics.all("chat.control"), "the cancel sent")
    assert "may still be answered on chat.replies" in terminal.read_until(None)
    assert terminal.end() == 1


def test_term_ends_a_chat_with_its_question(worker):
    """It means the program, not the answer."""
    terminal = Terminal(worker, "ask")
    terminal.read_until("you> ")
    terminal.type("[[fault:stall]] hello\n")
    wait_until(lambda: worker.sim.stats()["in_flight"] == 1, "the question at the model")
    (chat,) = [int(p) for p in os.listdir("/proc") if p.isdigit() and parent_of(p) == terminal.process.pid or p == str(terminal.process.pid) and name_of(p) == "chat-producer"]
    os.kill(chat, signal.SIGTERM)
    terminal.read_until("cancelled: the job was cancelled")
    assert "you>" not in terminal.read_until(None).replace("you> \r\n", "")
    assert terminal.end() == 0


def test_ctrl_c_ends_a_submit_and_says_what_was_sent(worker):
    terminal = Terminal(worker, "submit", "--text", "--file", "-")
    terminal.type("hello\n")
    terminal.read_until(r"hello\r\n[0-9A-Z]{26}\r\n")
    terminal.type("\x03")
    terminal.read_until("interrupted; 1 records were sent, 1 acknowledged")
    assert terminal.end() == 1


def records(folder, count):
    path = folder / "jobs.ndjson"
    path.write_text("".join(json.dumps({"id": f"j{n}", "message": "hi"}) + "\n" for n in range(count)))
    return path


def test_submit_draws_its_progress_on_a_terminal_and_clears_it(stage, worker):
    """Enough records for more than one look; the ids go elsewhere."""
    path, ids = records(stage.folder, 20000), stage.folder / "ids"
    with open(ids, "w") as out:
        terminal = Terminal(worker, "submit", "--file", path, stdout=out)
        drawn = terminal.read_until(r"submit \[[#.]+\] +\d+ %  \d+ records, \d+/s")
        rest = terminal.read_until(None)
    assert terminal.process.wait(LIMIT_S) == 0
    assert "#" in drawn + rest and (drawn + rest).endswith("\r\x1b[K"), "nothing of it is left"
    assert len(ids.read_text().split()) == 20000


def test_submit_draws_nothing_where_there_is_no_terminal(stage, worker):
    done = stage.producer(worker, "submit", "--file", str(records(stage.folder, 20000)), check=0)
    assert done.stderr == "" and len(done.stdout.split()) == 20000
