"""Leases at many threads: nobody's claim runs out while its worker lives, so nobody is paid twice."""
import json
import os
import threading

import pytest
from parts import Topics, job_of, wait_until

LEASE_MS = 3000  # the shortest there is
THREADS = int(os.environ.get("CHAT_LEASE_THREADS", "1000"))  # 5000 takes some minutes and 4 GB


def claims(redis):
    """Job -> for how long its lease is still good, by Redis' own clock; those that run."""
    jobs = list(redis.client.scan_iter("chat:*:job:*", count=1000))
    pipe = redis.client.pipeline()
    pipe.time()
    for job in jobs:
        pipe.hmget(job, "state", "lease_until_ms")
    (s, us), *found = pipe.execute()
    now_ms = s * 1000 + us // 1000
    return {job: int(until) - now_ms for job, (state, until) in zip(jobs, found, strict=True) if state == "run"}


def scripts_run(redis):
    """How many scripts Redis has run, and how often it has read from a connection."""
    return redis.client.info("commandstats")["cmdstat_evalsha"]["calls"], redis.client.info("stats")["total_reads_processed"]


@pytest.mark.alone  # leases are of the machine's time
def test_every_lease_is_renewed_in_time_and_nobody_is_paid_twice(stage, redis_io):
    """A second worker joins while all threads of the first are in their calls: it comes to have half of the records, and finds each
    claimed for as long as its call takes, which is several leases."""
    redis, sim = stage.redis(), stage.simulator("--faults", "hold")
    kafka = stage.kafka_mock(chat_jobs=4, chat_replies=4, chat_dead=4)
    topics = Topics(kafka.bootstrap)
    settings = {"worker.redis_io": redis_io, "worker.threads": str(THREADS), "redis.lease_ms": str(LEASE_MS), "llm.deadline_ms": "600000", "provider.main.attempt_timeout_ms": "600000",
                "worker.buffered_jobs_max": str(THREADS), "kafka.session.timeout.ms": "15000", "log.level": "info"}
    first = stage.worker(redis, sim, name="first", bootstrap=kafka.bootstrap, **settings)
    for n in range(THREADS):
        topics.producer.produce(topics.jobs, value=json.dumps({"id": f"j{n}", "message": f"number-{n}"}), key=f"s{n}")
        topics.producer.poll(0)
    topics.flush()
    sim.wait_held(THREADS)
    second = stage.worker(redis, sim, name="second", bootstrap=kafka.bootstrap, **settings)
    wait_until(lambda: second.metric("job_waits_total") > 0, "the second one finds claimed what it was given")

    calls, reads = scripts_run(redis)
    redis.client.set("four-leases", "1", px=4 * LEASE_MS)  # Redis' clock, which the leases go by
    least_ms, pause = LEASE_MS, threading.Event()
    while redis.client.exists("four-leases"):
        pause.wait(0.25)  # a look at all of them is work for Redis, too
        left = claims(redis)
        assert len(left) == THREADS
        least_ms = min(least_ms, *left.values())
    print(f"the lease that was nearest to its end had {least_ms} ms left")
    assert least_ms > 0, "nobody's lease was out at any look"
    assert sim.stats()["requests"] == THREADS, "and nobody was asked twice"

    if redis_io == "batched":  # with a Redis a millisecond away, one call after the other is too slow
        now_calls, now_reads = scripts_run(redis)
        assert now_reads - reads < (now_calls - calls) / 2, "many renewals are one pipeline"

    sim.faults("")
    sim.release()
    replies = {job_of(record): json.loads(record.value()) for record in topics.read(topics.replies_topic, THREADS)}
    assert len(replies) == THREADS and {reply["status"] for reply in replies.values()} == {"ok"}
    assert sim.stats()["requests"] == THREADS
    wait_until(lambda: first.metric("jobs_alive") == 0 and second.metric("jobs_alive") == 0, "all acknowledged")
