"""A worker that owns partitions and doesn't move says so at /healthz; one that waits for an outage to end doesn't."""
import signal

import pytest
from conftest import Place
from engine import ENGINE
from parts import BIN, Topics, wait_until
from stage import Stage

# The bound: stuck_after_ms, and the time that a call may take.
SETTINGS = {"worker.stuck_after_ms": "2000", "llm.deadline_ms": "2000", "retry.backoff_ms": "50", "retry.backoff_max_ms": "400"}


def broken(what):
    return {"LD_PRELOAD": str(BIN / "test/broken_client.so"), "CHAT_TEST_BREAK": what}


def unhealthy(worker):
    status, text = worker.get("/healthz")
    return text if status == 503 else None


def test_an_assignment_that_is_never_fetched_fails_the_liveness_check(stage, place):
    """The member is in the group, and the group counts on it; only the broker's word shows that it reads nothing."""
    worker = stage.worker(stage.redis(), stage.simulator(), env=broken("assignment"), **place.settings, **SETTINGS)
    place.topics.send({"id": "j", "message": "hi"}, key="s")
    text = wait_until(lambda: unhealthy(worker), "an unhealthy worker")
    assert text.startswith("not consumed: ") and place.topics.jobs in text
    worker.wait_event("liveness_failed")
    worker.signal(signal.SIGKILL)
    worker.wait()


def test_a_call_that_never_ends_fails_the_liveness_check_and_is_named(stage, place):
    worker = stage.worker(stage.redis(), stage.simulator("--latency", "100"), env=broken("call"), **place.settings, **SETTINGS)
    place.topics.send({"id": "the-culprit", "message": "hi"}, key="s")
    text = wait_until(lambda: unhealthy(worker), "an unhealthy worker")
    named = ["the thread chat-loop-0"] if ENGINE == "loop" else [place.topics.jobs, "job the-culprit runs"]  # a loop stands still with all its jobs
    assert text.startswith("stuck: ") and all(name in text for name in named), text
    worker.signal(signal.SIGKILL)
    worker.wait()


@pytest.mark.parametrize("call", ["transaction", "commit"])
def test_a_transaction_s_call_that_never_ends_ends_the_worker_and_the_next_one_answers(stage, place, call):
    """librdkafka may wait for ever for a coordinator that went and has long been back, in one call or in one after the other: that each comes back is no sign that
    the transaction goes on. The bound here: what its time-outs and ten seconds are."""
    redis, sim = stage.redis(), stage.simulator()
    settings = {**place.settings, **SETTINGS, "worker.delivery": "exactly-once", "kafka.socket.timeout.ms": "1000", "kafka.reconnect.backoff.max.ms": "200",
                "kafka.transaction.timeout.ms": "2000", "kafka.session.timeout.ms": "6000", "worker.drain_timeout_ms": "1000", "worker.close_timeout_ms": "4000",
                "redis.lease_ms": "3000"}
    worker = stage.worker(redis, sim, name="hangs", env=broken(call), **settings)
    for n in range(8):
        place.topics.send({"id": f"j{n}", "message": "hi"}, key=f"s{n}")
    (stuck,) = worker.wait_event("thread_stuck")
    assert stuck["thread"] == "chat-txn"
    assert worker.wait() == 75, "start it again"
    (failed,) = worker.events("transactions_failed")
    assert failed["code"] == "transactions_stuck"
    stage.worker(redis, sim, name="next", **settings)
    assert {r["status"] for r in place.topics.replies(8).values()} == {"ok"}
    wait_until(lambda: place.lag() == 0, "everything committed")
    assert sim.stats()["requests"] == 8, "paid once"


@pytest.fixture
def twin():
    """A world of its own, in which a worker can be seen to get stuck."""
    world = Stage()
    try:
        yield world
    finally:
        world.end()


def stays_healthy(worker, twin):
    """While another one, begun now, is found to be stuck whose bound is thrice as long: so long it would have taken for this one, too."""
    stuck = twin.worker(twin.redis(), twin.simulator(), env=broken("call"), **{**SETTINGS, "worker.stuck_after_ms": "10000"})
    Topics(stuck.bootstrap).send({"id": "j", "message": "hi"}, key="s")

    def is_found():
        assert worker.get("/healthz") == (200, "ok\n")
        return unhealthy(stuck)

    wait_until(is_found, "the twin found to be stuck")
    stuck.signal(signal.SIGKILL)
    stuck.wait()


@pytest.mark.parametrize("away, redis_io", [("provider", "batched"), ("redis", "batched"), ("redis", "per-thread"), ("broker", "per-thread")])
def test_an_outage_never_fails_the_liveness_check(stage, twin, kafka, redis_io, away):
    if away == "broker":  # not the one that the other tests share
        kafka = stage.kafka()
    place = Place(kafka, f"away-{away}")
    redis, sim = stage.redis(), stage.simulator("--latency", "300")
    worker = stage.worker(redis, sim, **place.settings, **SETTINGS, **{"worker.redis_io": redis_io})
    for n in range(20):
        place.topics.send({"id": f"j{n}", "message": "hi"}, key=f"s{n}")
    wait_until(lambda: sim.stats()["in_flight"] > 0, "jobs under way")
    if away == "provider":
        sim.faults("503")
    elif away == "redis":
        redis.end()
    else:
        kafka.signal(signal.SIGTERM)
        kafka.wait()
    stays_healthy(worker, twin)
    if away == "provider":
        sim.faults("")
    elif away == "redis":
        stage.redis()
    else:
        kafka.again()
        wait_until(kafka.answers, "the broker")
    place.topics.replies(20)
    wait_until(lambda: place.lag() == 0, "everything committed")
    assert worker.get("/healthz")[0] == 200 and worker.events("liveness_failed") == []
