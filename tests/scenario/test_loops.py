"""No call on an event loop waits. Whatever the machine's speed: tests/preload/loop_blocks.c ends a worker whose loop calls what could. Every scenario's worker with
loops has it, but for those of sanitizers and those that a test breaks by a library of its own (tests/lib/engine.py); the first two show that it sees the calls that there are, and one that
blocks. And what many jobs wait for is carried out in several turns."""
import json
import signal

import pytest
from deltas import Reader
from parts import BIN, SANITIZED, NameService, Topics, wait_until

LOOP = {"worker.engine": "loop", "worker.in_flight": "16"}
of_the_guard = pytest.mark.skipif(SANITIZED, reason="the sanitizer's library has to be the first one")


@of_the_guard
def test_jobs_of_every_kind_go_their_way_without_a_wait(stage):
    redis, sim = stage.redis(), stage.simulator("--latency", "5")
    front = stage.tls_front(sim)
    settings = {**LOOP, "provider.second.url": front.url, "provider.second.model": "sim", "provider.second.ca_file": str(front.ca),
                "llm.providers": "main, second", "llm.strategy": "race", "provider.main.requests_per_minute": "60000",
                "llm.contexts": "facts", "context.facts.url": sim.url.replace("/v1", "/sim/stats")}
    worker = stage.worker(redis, sim, **settings)
    topics = Topics(worker.bootstrap)
    for n in range(30):
        topics.send({"id": f"j{n}", "message": f"hi {'[[fault:500 times=1]]' if n % 5 == 0 else n}", "stream": n % 2 == 0}, key=f"s{n % 7}")
    assert {reply["status"] for reply in topics.replies(30).values()} == {"ok"}
    streamed = [n for n in range(30) if n % 2 == 0]
    for n in streamed:
        assert Reader(topics).last(f"j{n}")
    assert worker.process.poll() is None and not worker.events("loop_blocks")


@of_the_guard
def test_a_loop_that_waits_ends_its_worker(stage):
    env = {"LD_PRELOAD": f"{BIN}/test/loop_blocks.so:{BIN}/test/broken_client.so", "CHAT_TEST_BREAK": "turn"}
    worker = stage.worker(stage.redis(), stage.simulator(), env=env, **LOOP)
    Topics(worker.bootstrap).send({"id": "j", "message": "TURN-BLOCKER"}, key="s")
    assert worker.wait() == -signal.SIGABRT
    (met,) = worker.events("loop_blocks")
    assert met["call"] == "usleep"


GO_ON_PER_TURN = 32


def test_jobs_that_wait_for_one_thing_go_on_by_and_by(stage):
    """Sockets and timers have their turn between them: else whoever has an answer would wait for hundreds of connections to begin."""
    jobs = 12 * GO_ON_PER_TURN
    sim, names = stage.simulator("--latency", "100"), NameService(stage.folder, model_test="hold")
    worker = stage.worker(stage.redis(), sim, env=names.env, **{**LOOP, "worker.in_flight": str(jobs), "provider.main.url": f"http://model.test:{sim.port}/v1",
                                                                "provider.main.connect_timeout_ms": "60000", "provider.main.attempt_timeout_ms": "60000"})
    topics = Topics(worker.bootstrap)
    for n in range(jobs):
        topics.producer.produce(topics.jobs, value=json.dumps({"id": f"j{n}", "message": "hi"}), key=f"s{n}")
    topics.producer.flush(30)
    wait_until(lambda: sum(job["waits_for"] == "main" for job in json.loads(worker.get("/threads")[1])["jobs"]) == jobs, "all at the look-up")
    names.say(model_test="127.0.0.1")
    assert {reply["status"] for reply in topics.replies(jobs).values()} == {"ok"}
    assert worker.metric(r'loop_turn_seconds_count\{callback="walk"\}') >= jobs / GO_ON_PER_TURN - 1, "the first went on in the turn that was told"
