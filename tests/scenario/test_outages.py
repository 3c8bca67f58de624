"""An outage doesn't turn into dead letters: a breaker holds the intake, lag grows, and all go on when it is over."""
import json

import pytest
from parts import Topics, wait_until

SETTINGS = {"worker.threads": "16", "retry.attempts_max": "3", "retry.backoff_ms": "50", "retry.backoff_max_ms": "400", "provider.main.attempt_timeout_ms": "1000"}


def all_paused(worker):
    return worker.metric("partitions_paused") == worker.metric("partitions_assigned") > 0


def send(topics, count, prefix="j", message="hi", **fields):
    for n in range(count):
        topics.producer.produce(topics.jobs, value=json.dumps({"id": f"{prefix}{n}", "message": message, **fields}), key=f"{prefix}{n}")
    assert topics.producer.flush(30) == 0


@pytest.mark.parametrize("fault", ["500", "503", "429", "401", "billing", "reset", "stall", "not-json"])
def test_while_the_provider_is_away_lag_grows_and_jobs_live(stage, redis_io, fault):
    """Of whatever class the failure is: attempts, or a permanent refusal of every job, would kill them all."""
    redis, sim = stage.redis(), stage.simulator("--latency", "20")
    worker = stage.worker(redis, sim, **SETTINGS, **{"worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    sim.faults(fault)
    send(topics, 40)
    worker.wait_event("breaker_opened", dependency="provider.main")
    wait_until(lambda: all_paused(worker), "the intake closed")
    received = worker.metric("jobs_received_total")
    send(topics, 40, "late")
    worker.wait_event("breaker_half_open", count=3)
    assert worker.metric("jobs_received_total") <= received + 8, "what comes stays in Kafka, but for a few to probe with"
    assert worker.metric("breakers_open") == 1 and worker.get("/healthz")[0] == 200

    sim.faults("")
    replies = topics.replies(80)
    worker.wait_event("breaker_closed")
    bad = [r for r in replies.values() if r["status"] != "ok"]
    refused_for_good = fault in ("401", "billing")  # those that failed before the breaker opened
    assert len(bad) <= (4 if refused_for_good else 0), bad
    assert max(r["attempts"] for r in replies.values()) <= 3
    wait_until(lambda: worker.metric("breakers_open") == 0 and worker.metric("partitions_paused") == 0, "all open again")


def test_a_job_that_always_fails_is_not_the_probe_for_ever(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **SETTINGS, **{"worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    sim.faults("500")
    send(topics, 5, "never", "[[fault:500]]")
    worker.wait_event("breaker_opened")
    sim.faults("")  # the provider is well again, and all that is parked fails on its own
    send(topics, 20)
    replies = topics.replies(25)
    assert all(replies[f"j{n}"]["status"] == "ok" for n in range(20))
    assert all(replies[f"never{n}"]["status"] == "error" for n in range(5))
    worker.wait_event("breaker_closed")


def test_a_deadline_ends_a_job_in_the_middle_of_an_outage(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **SETTINGS, **{"worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    sim.faults("503")
    send(topics, 12, deadline_ms=3000)
    worker.wait_event("breaker_opened")
    assert {r["status"] for r in topics.replies(12).values()} == {"error"}
    assert worker.metric("breakers_open") == 1, "nobody waited for its end"


def test_while_redis_is_away_the_intake_is_closed(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **SETTINGS, **{"worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    redis.end()
    send(topics, 30)
    worker.wait_event("breaker_opened", dependency="redis")
    wait_until(lambda: all_paused(worker), "the intake closed")
    send(topics, 30, "late")
    worker.wait_event("breaker_half_open", count=2)
    stage.redis()
    assert {r["status"] for r in topics.replies(60).values()} == {"ok"}
    worker.wait_event("breaker_closed", dependency="redis")
    assert sim.stats()["requests"] == 60
