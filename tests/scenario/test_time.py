"""A deadline counts from the record's timestamp, or from when it was first seen where that can't be; nothing starts it anew."""
import json
import signal
import time

import pytest
from parts import Topics, wait_until

HOUR_MS, DAY_MS = 3600_000, 86_400_000


def now_ms() -> int:
    return int(time.time() * 1000)


def send(topics, job, timestamp):
    """With the timestamp that the producer gives."""
    topics.producer.produce("chat.jobs", value=json.dumps(job), key="s", timestamp=timestamp)
    topics.flush()


UNKNOWN = {"none": lambda: -1, "an hour ahead": lambda: now_ms() + HOUR_MS, "ten days ahead": lambda: now_ms() + 10 * DAY_MS,
           "microseconds": lambda: now_ms() * 1000, "nanoseconds": lambda: now_ms() * 1_000_000}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_where_the_timestamp_does_not_tell_it_counts_from_when_it_was_seen(stage, kind):
    """The provider never answers: the call is cut by the deadline, and there is no second one."""
    sim = stage.simulator("--faults", "hold")
    worker = stage.worker(stage.redis(), sim, **{"retry.attempts_max": "100", "provider.main.attempt_timeout_ms": "600000"})
    topics = Topics(worker.bootstrap)
    send(topics, {"id": "j", "message": "hi", "deadline_ms": 2000}, UNKNOWN[kind]())
    reply = topics.reply_of("j")
    assert reply["status"] == "error" and reply["error"]["code"] in ("timeout", "deadline_exceeded"), "the latter where it was over before the call began"
    assert sim.stats()["requests"] == (reply["error"]["code"] == "timeout")
    absurd = kind not in ("none", "an hour ahead")
    assert worker.metric("odd_timestamps_total") == absurd
    said = worker.events("odd_timestamp", level="warn", job="j")
    assert bool(said) == absurd and all(kind.split()[-1] in e["hint"] for e in said if "seconds" in kind)


@pytest.mark.parametrize("kind", ["none", "an hour ahead"])
def test_attempts_do_not_start_it_anew(stage, kind):
    """The provider is away, which costs no attempt: the deadline alone is the end."""
    sim = stage.simulator("--faults", "503")
    worker = stage.worker(stage.redis(), sim, **{"retry.backoff_ms": "100", "retry.backoff_max_ms": "100"})
    topics = Topics(worker.bootstrap)
    send(topics, {"id": "j", "message": "hi", "deadline_ms": 3000}, UNKNOWN[kind]())
    assert topics.reply_of("j")["status"] == "error"
    assert len(topics.read("chat.dead", 1)) == 1 and worker.metric("jobs_ok_total") == 0


ABSURD = {"seconds": (lambda: now_ms() // 1000, "looks like seconds"), "before 2000": (lambda: 86_400_000_000, "before the year 2000"), "the epoch": (lambda: 1, "before the year 2000")}


@pytest.mark.parametrize("kind", ABSURD)
def test_a_timestamp_that_cannot_be_meant_is_named_in_the_error(stage, kind):
    sim = stage.simulator()
    worker = stage.worker(stage.redis(), sim)
    topics = Topics(worker.bootstrap)
    timestamp, said = ABSURD[kind][0](), ABSURD[kind][1]
    send(topics, {"id": "j", "message": "hi", "deadline_ms": 60000}, timestamp)
    send(topics, {"id": "without", "message": "hi"}, timestamp)
    error = topics.reply_of("j")["error"]
    assert error["code"] == "deadline_exceeded" and said in error["message"] and f" {timestamp}," in error["message"] and "milliseconds" in error["message"]
    (dead_letter,) = topics.read("chat.dead", 1)
    assert said in dict(dead_letter.headers())["__dlq.errors.message"].decode()
    assert topics.reply_of("without")["status"] == "ok", "without a deadline nobody asks how old it is"
    assert sim.stats()["requests"] == worker.metric("odd_timestamps_total") == 1 == len(worker.events("odd_timestamp"))


def test_a_timestamp_of_the_past_counts(stage):
    sim = stage.simulator()
    worker = stage.worker(stage.redis(), sim)
    topics = Topics(worker.bootstrap)
    send(topics, {"id": "late", "message": "hi", "deadline_ms": 60000}, now_ms() - HOUR_MS)
    send(topics, {"id": "in time", "message": "hi", "deadline_ms": 2 * HOUR_MS}, now_ms() - HOUR_MS)
    error = topics.reply_of("late")["error"]
    assert error["code"] == "deadline_exceeded" and "timestamp" not in error["message"]
    assert topics.reply_of("in time")["status"] == "ok" and sim.stats()["requests"] == 1
    assert worker.metric("odd_timestamps_total") == 0


@pytest.mark.parametrize("deadline_ms", [2**53, 9_000_000_000_000_000])
def test_a_deadline_of_millions_of_years_is_none(stage, deadline_ms):
    worker = stage.worker(stage.redis(), stage.simulator())
    topics = Topics(worker.bootstrap)
    send(topics, {"id": "j", "message": "hi", "deadline_ms": deadline_ms}, now_ms() + HOUR_MS)
    assert topics.reply_of("j")["status"] == "ok"


def test_a_restart_does_not_start_it_anew_once_it_was_claimed(stage, redis_io):
    """The time at which it was first seen is kept with the job: moved into the past, it is as if the restart had come so much later."""
    redis, sim = stage.redis(), stage.simulator("--faults", "hold times=1")
    kafka = stage.kafka_mock(chat_jobs=1, chat_replies=1, chat_dead=1)
    topics = Topics(kafka.bootstrap)
    first = stage.worker(redis, sim, name="first", bootstrap=kafka.bootstrap, **{"worker.redis_io": redis_io, "kafka.session.timeout.ms": "3000", "kafka.heartbeat.interval.ms": "300"})
    send(topics, {"id": "none", "message": "hi", "deadline_ms": 600_000}, -1)
    sim.wait_held()
    first.signal(signal.SIGKILL)
    first.wait()
    key = "chat:{s}:job:none"
    seen = int(redis.client.hget(key, "seen_ms"))
    assert abs(seen - now_ms()) < 600_000, "the moment it came"
    redis.client.hset(key, "seen_ms", seen - 600_000)
    second = stage.worker(redis, sim, name="second", bootstrap=kafka.bootstrap, ready=False, **{"worker.redis_io": redis_io})
    error = topics.reply_of("none")["error"]
    assert error["code"] == "deadline_exceeded" and "is missing" in error["message"]
    send(topics, {"id": "timed", "message": "hi", "deadline_ms": 600_000}, now_ms())
    assert topics.reply_of("timed")["status"] == "ok" and sim.stats()["requests"] == 2
    assert redis.client.hget("chat:{s}:job:timed", "seen_ms") is None, "its record says it"
    wait_until(lambda: second.metric("jobs_alive") == 0, "all acknowledged")
