"""Memory is what is counted: jobs that are small as text and large as anything else. tests/soak/hostile does it for long."""
import json
import re
import threading
from pathlib import Path

import pytest
from memory_bound import bound
from parts import LIMIT_S, SANITIZED, Topics, wait_until
from scripted import answer_of

MIB = 1024 * 1024


def resident(worker, field="VmHWM"):
    return int(re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{worker.pid}/status").read_text(), re.M).group(1)) * 1024


JOBS = {"objects": '{"messages":[{"role":"user","content":[' + "{}," * 329_000 + "{}]}]}",
        "members": '{"message":"x","metadata":{' + ",".join(f'"{n}":0' for n in range(95_000)) + "}}",
        "numbers": '{"message":"x","params":{"stop":[' + "0," * 490_000 + "0]}}"}


@pytest.mark.parametrize("kind", JOBS)
def test_a_job_takes_its_text_not_a_hundred_times_that(stage, kind):
    """Twelve of 0.99 MB while the provider holds them all: each is there as record, as what was read of it, and as a request."""
    redis, sim = stage.redis(), stage.simulator("--faults", "stall")
    worker = stage.worker(redis, sim, **{"worker.buffered_bytes_max": str(256 * MIB), "worker.drain_timeout_ms": "0", "llm.deadline_ms": "3600000", "provider.main.attempt_timeout_ms": "3600000",
                                         "kafka.message.max.bytes": str(4 * MIB), "log.level": "info"})
    topics = Topics(worker.bootstrap)
    before = resident(worker)
    for number in range(12):
        topics.send(JOBS[kind], key=f"s{number}")
    wait_until(lambda: sim.stats()["in_flight"] == 12, "all asked")
    sent = 12 * len(JOBS[kind])
    assert worker.metric("jobs_alive_bytes") > sent
    assert SANITIZED or resident(worker) - before < 6 * sent, f"{(resident(worker) - before) / MIB:.0f} MiB for {sent / MIB:.0f}"


def test_headers_are_counted_too(stage):
    """A header without a value is two bytes of a record, and fifty of memory. The buffer's bound pauses the intake by these."""
    redis, sim = stage.redis(), stage.simulator("--faults", "stall")
    worker = stage.worker(redis, sim, **{"worker.buffered_bytes_max": str(4 * MIB), "kafka.message.max.bytes": str(4 * MIB), "worker.threads": "4", "worker.drain_timeout_ms": "0"})
    topics = Topics(worker.bootstrap)
    for number in range(12):
        topics.send({"id": f"j{number}", "message": "x"}, key=f"s{number}", headers=[(f"{h:x}", b"") for h in range(20_000)])
    wait_until(lambda: sim.stats()["in_flight"] >= 3, "some asked")
    wait_until(lambda: worker.metric("partitions_paused") > 0, "the intake paused")
    alive, counted = worker.metric("jobs_alive"), worker.metric("jobs_alive_bytes")
    assert alive < 12 and counted > alive * 20_000 * 50 * 9 // 10, (alive, counted)


def test_answers_that_kafka_does_not_take_hold_the_next_questions(stage):
    """Replies wait in memory while the broker is away: beyond half of the buffer no more are asked for, and all come when it is back."""
    held, kafka, redis = threading.Event(), stage.kafka_mock(chat_jobs=4, chat_replies=4, chat_dead=4), stage.redis()

    def answer(request, number):
        held.wait()
        return 200, answer_of({"content": "t" * 100_000})

    llm = stage.scripted(answer)
    worker = stage.worker(redis, llm, bootstrap=kafka.bootstrap, **{"worker.buffered_bytes_max": str(2 * MIB), "worker.threads": "4", "log.level": "info"})
    topics = Topics(kafka.bootstrap)
    for number in range(60):
        topics.send({"id": f"j{number}", "message": "x"}, key=f"s{number}")
    wait_until(lambda: worker.metric("jobs_received_total") == 60, "all read")
    kafka.tell("down", 1)
    held.set()
    wait_until(lambda: worker.metric("jobs_ended_bytes") >= MIB and worker.metric("threads_busy") == 0, "the ends of some, and no thread at work")
    assert worker.metric("jobs_alive") == 60 and len(llm.requests) < 30
    kafka.tell("up", 1)
    assert {r["status"] for r in topics.replies(60).values()} == {"ok"}
    assert len(llm.requests) == 60



def test_histories_as_large_as_they_may_be_are_within_the_bound(stage, redis_io):
    """Of four jobs that are being asked, and of four that are begun for the next thread, nearly 8 MiB of turns each. What they take more
    than jobs without is what the bound has for them."""
    settings = {"worker.threads": 4, "worker.buffered_bytes_max": MIB, "llm.response_bytes_max": 65536, "llm.history_bytes_max": 8 * MIB}
    redis, sim, number, turns = stage.redis(), stage.simulator("--faults", "hold"), 8, 7
    turn = json.dumps({"job": "old", "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a" * MIB}]})
    for session in range(number):
        redis.client.rpush(f"chat:{{s{session}}}:history", *[turn] * turns)
    worker = stage.worker(redis, sim, **{key: str(value) for key, value in settings.items()}, **{"worker.redis_io": redis_io, "redis.timeout_ms": "60000", "redis.lease_ms": "180000"})
    topics, before = Topics(worker.bootstrap), resident(worker)
    for session in range(number):
        topics.send({"id": f"j{session}", "message": "x"}, key=f"s{session}")
    wait_until(lambda: sim.stats()["held"] == 4, "four asked")
    sim.faults("")
    sim.release()
    assert {r["message"]["content"] for r in topics.replies(number).values()} == {f"echo: x [messages={1 + 2 * turns}]"}
    grown, share = resident(worker) - before, bound(settings) - bound({**settings, "llm.history_bytes_max": 0})
    assert SANITIZED or 4 * 2 * turns * MIB < grown < share, f"{grown / MIB:.0f} MiB of {share / MIB:.0f}"


# ---- while Kafka is away ----

TURNS = [json.dumps({"job": f"old{n}", "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a" * 130_000}]}) for n in range(4)]


def ended_without_kafka(stage, number, content, turns=(), **settings):
    """So many jobs of a session each, with those turns, that end while the broker is away. What becomes of them is the caller's to look at."""
    held, kafka, redis = threading.Event(), stage.kafka_mock(chat_jobs=4, chat_replies=4, chat_dead=4), stage.redis()

    def answer(request, _number):
        assert held.wait(LIMIT_S)
        return 200, answer_of({"content": content(request)})

    for session in range(number if turns else 0):
        redis.client.rpush(f"chat:{{s{session}}}:history", *turns)
    worker = stage.worker(redis, stage.scripted(answer), bootstrap=kafka.bootstrap, **{"worker.threads": "4", **settings})
    topics = Topics(kafka.bootstrap)
    for session in range(number):
        topics.send({"id": f"j{session}", "message": "x"}, key=f"s{session}")
    wait_until(lambda: worker.metric("jobs_received_total") == number, "all read")
    before = resident(worker, "VmRSS")
    kafka.tell("down", 1)
    held.set()
    wait_until(lambda: redis.client.exists(*(f"chat:{{s{session}}}:applied" for session in range(number))) == number and worker.metric("threads_busy") == 0, "all ended")
    assert worker.metric("jobs_alive") == number, "and none is acknowledged"
    return kafka, worker, topics, before


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
@pytest.mark.parametrize("redis_io", ["batched", "per-thread"])
def test_jobs_that_kafka_does_not_take_hold_no_history(stage, redis_io, delivery):
    """Sixty of sessions with half a MiB of turns each: what stays of them are their replies, as they are counted."""
    number = 60
    kafka, worker, topics, before = ended_without_kafka(stage, number, lambda request: f"after {len(request['messages'])}", TURNS,
                                                        **{"worker.redis_io": redis_io, "worker.delivery": delivery, "llm.history_bytes_max": str(MIB)})
    assert worker.metric("jobs_ended_bytes") < number * 4096
    assert SANITIZED or resident(worker, "VmRSS") - before < number * 520_000 // 2
    kafka.tell("up", 1)
    assert {r["message"]["content"] for r in topics.replies(number).values()} == {"after 9"}


@pytest.mark.parametrize("redis_io", ["batched", "per-thread"])
def test_a_turn_is_let_go_when_redis_has_it(stage, redis_io):
    """What waits for Kafka is the reply, and the client's copy of it."""
    number, size = 8, 200_000
    kafka, worker, topics, _ = ended_without_kafka(stage, number, lambda request: "t" * size, **{"worker.redis_io": redis_io})
    wait_until(lambda: worker.metric("jobs_ended_bytes") > number * 2 * size, "all with the client")
    assert worker.metric("jobs_ended_bytes") < number * (2 * size + 10_000)
    kafka.tell("up", 1)
    assert len(topics.replies(number)) == number


@pytest.mark.parametrize("redis_io", ["batched", "per-thread"])
def test_answers_that_were_lost_hold_no_question_up(stage, redis_io):
    """Three of a stopped worker whose claims went to another: larger than the bound for ends, and gone."""
    held, redis, number = threading.Event(), stage.redis(), 3

    def answer(request, _number):
        assert held.wait(LIMIT_S)
        return 200, answer_of({"content": "t" * 500_000})

    llm = stage.scripted(answer)
    worker = stage.worker(redis, llm, **{"worker.threads": "4", "worker.redis_io": redis_io, "worker.buffered_bytes_max": str(2 * MIB), "redis.lease_ms": "600000"})
    topics = Topics(worker.bootstrap)
    for session in range(number):
        topics.send({"id": f"j{session}", "message": "x"}, key=f"s{session}")
    wait_until(lambda: len(llm.requests) == number, "all asked")
    for session in range(number):
        redis.client.hset(f"chat:{{s{session}}}:job:j{session}", "token", "0" * 32)
    held.set()
    wait_until(lambda: worker.metric("claims_lost_total") == number, "all lost")
    topics.send({"id": "later", "message": "x"}, key="t")
    assert topics.replies(1).keys() == {"later"}
    for session in range(number):
        redis.client.hset(f"chat:{{s{session}}}:job:j{session}", "state", "idle")
    assert {r["status"] for r in topics.replies(1 + number).values()} == {"ok"}
