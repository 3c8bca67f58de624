"""docs/operations.md, done from top to bottom: each command is run, each file written, and what the page shows is compared with what there is (tests/lib/page_blocks.py).

A section is a test, and stands on those before it. What happens to a release beside the commands, so that they have something to show, is below: jobs at work while pods end, a crash, a dead
letter. The pods run in the image that the page makes and pushes, as the nodes pull it."""
import contextlib
import os
import signal
import threading
import time

import pytest
from lab import Lab
from operations_page import IMAGE, SECTIONS
from page_blocks import alike, missing
from parts import LIMIT_S, Topics, wait_until
from stage import Stage

PASSWORDS = {"admin": "ADMIN-PASSWORD", "redis": "REDIS-PASSWORD", "main": "MAIN-KEY", "other": "OTHER-KEY"}  # in the page's words
SESSION_S, HEARTBEAT_S = 45, 3  # Kafka's defaults
pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="pods with networks of their own need root")


@pytest.fixture(scope="module")
def lab(cluster, operator):
    stage, made = Stage(), None
    try:
        made = Lab(stage, cluster, operator[0], PASSWORDS)
        yield made
    finally:
        try:
            if made is not None:
                made.leave()
        finally:
            stage.end()


@pytest.fixture(scope="module")
def reached():
    """The sections that were done."""
    return []


def made_before(done) -> str:
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("heading", SECTIONS)
def test_what_the_page_says_is_done(heading, lab, operator, reached):
    assert reached == list(SECTIONS)[:list(SECTIONS).index(heading)], "a section before it has failed"
    before, said = {name: len(text) for name, text in lab.logs().items()}, None
    with MEANWHILE.get(heading, nothing)(lab):
        for block in SECTIONS[heading]:
            if block.kind in ("yaml", "properties"):
                (lab.folder / block.file).write_text(block.text)
            elif block.kind == "sh":
                said = made_before(operator[1]) if block == IMAGE else lab.run(block.text)
            elif block.kind == "text":
                assert said is not None and alike(block.text, said), f"line {block.line}: the page shows\n{block.text}\nand there was\n{said}"
            else:
                wait_until(lambda shown=block.text: any(not missing(shown, text[before.get(name, 0):]) for name, text in lab.logs().items()), f"a log with all of\n{block.text}")
    assert lab.failures() == []
    reached.append(heading)


def test_no_secret_is_in_a_log(lab, reached):
    assert reached == list(SECTIONS) and len(lab.logs()) >= 10
    for name, text in lab.logs().items():
        assert [secret for secret in (*PASSWORDS.values(), (lab.folder / "secrets/kafka-sasl.password").read_text()) if secret in text] == [], name


def test_pods_that_were_told_to_end_ended_by_themselves(lab, reached):
    """Within their grace period, by 0."""
    workers = [pod for pod in lab.pods() if pod.spec["name"] == "chat-worker"]
    assert len(workers) >= 8 and {pod.ended_by_term for pod in workers} == {0}


# ---- meanwhile ----


@contextlib.contextmanager
def nothing(lab):
    yield


def send_held(lab, name: str) -> list[str]:
    """Two jobs for each partition, about, all of them at the model, which answers when it is told to; asked once more, at once."""
    jobs = [f"{name}-{number}" for number in range(24)]
    for job in jobs:
        Topics(lab.kafka.bootstrap).send({"id": job, "session": job, "message": f"[[fault:hold times=1]] {job}"}, key=job)
    lab.llm.wait_held(len(jobs))
    return jobs


def answered(lab, jobs: list[str]) -> None:
    replies = {job: Topics(lab.kafka.bootstrap).reply_of(job) for job in jobs}
    assert {reply["status"] for reply in replies.values()} == {"ok"}, replies


@contextlib.contextmanager
def pods_end_while_jobs_are_at_work(lab):
    jobs = send_held(lab, f"drained-{time.monotonic_ns()}")
    running = lab.workers()

    def release():
        wait_until(lambda: any("event=drain_started" in container.text() for container in running), "a pod that ends")
        lab.llm.release()

    beside = threading.Thread(target=release, daemon=True)
    beside.start()
    yield
    beside.join(LIMIT_S)
    answered(lab, jobs)


@contextlib.contextmanager
def a_worker_is_killed(lab):
    """On a node that goes dark: the other has all partitions once its session is over, and its jobs; it is back with the node. Nobody loses one."""
    jobs = send_held(lab, "crashed")
    killed, other = lab.workers()
    before, began = len(other.text()), time.monotonic()
    for node in lab.nodes:
        node.lit.clear()
    os.kill(killed.inner_pid, signal.SIGKILL)
    lab.llm.release()
    answered(lab, jobs)
    assert time.monotonic() - began > SESSION_S - 2 * HEARTBEAT_S, "its partitions were read before its session was over"
    assert " owned=12 " in other.text()[before:]
    for node in lab.nodes:
        node.lit.set()
    wait_until(lambda: len(lab.workers()) == 2 and all(container.ready for container in lab.workers()), "both ready")
    yield


@contextlib.contextmanager
def a_job_has_ended_badly(lab):
    topics = Topics(lab.kafka.bootstrap)
    topics.send({"id": "bad", "session": "bad", "message": "[[fault:400 times=1]] hello"}, key="bad")
    assert topics.reply_of("bad")["status"] == "error"
    topics.read(topics.dead, 1)
    yield
    wait_until(lambda: [b'"status":"ok"' in record.value() for record in topics.all(topics.replies_topic) if record.key() == b"bad"] == [False, True], "the answer to a job that was sent back")


MEANWHILE = {"Upgrade and roll back": pods_end_while_jobs_are_at_work, "Drain a node": pods_end_while_jobs_are_at_work, "After a crash": a_worker_is_killed, "Dead letters": a_job_has_ended_badly}
assert MEANWHILE.keys() <= SECTIONS.keys()
