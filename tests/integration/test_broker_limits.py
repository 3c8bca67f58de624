"""What a broker takes away: a topic, old records, speed."""
import json
import signal
import subprocess

import pytest
from confluent_kafka import TopicPartition
from conftest import Place
from parts import BIN, LIMIT_S, job_of, wait_until


def send_many(place, prefix: str, count: int, message: str = "hi") -> None:
    for n in range(count):
        place.topics.producer.produce(place.topics.jobs, value=json.dumps({"id": f"{prefix}{n}", "message": message}), key=f"{prefix}{n}")
    place.topics.flush()


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_a_dead_letter_topic_that_goes_away_closes_the_intake_until_it_is_back(stage, place, delivery):
    """A job isn't done without its dead letter; no more are taken than would fill the memory with such."""
    worker = stage.worker(stage.redis(), stage.simulator(), **place.settings, **{
        "worker.delivery": delivery, "worker.threads": "16", "retry.backoff_ms": "50", "retry.backoff_max_ms": "400",
        "kafka.topic.metadata.refresh.interval.ms": "300", "kafka.topic.metadata.propagation.max.ms": "500"})
    send_many(place, "first", 1, "[[fault:400]]")
    place.topics.read(place.topics.dead, 1)
    for future in place.kafka.admin.delete_topics([place.topics.dead]).values():
        future.result(30)
    send_many(place, "bad", 8, "[[fault:400]]")
    worker.wait_event("breaker_opened", dependency="dead_topic")
    wait_until(lambda: worker.metric("partitions_paused") == 4, "the intake closed")
    received = worker.metric("jobs_received_total")
    send_many(place, "late", 40)
    worker.wait_event("breaker_half_open", count=3, dependency="dead_topic")
    let_in = worker.metric("jobs_received_total") - received
    assert let_in <= min(30, len(worker.events("breaker_half_open", dependency="dead_topic")) + 1), "what comes stays in Kafka, but for one that probes each time"
    assert place.lag() >= 40 and worker.get("/healthz") == (200, "ok\n")

    place.kafka.create_topics(place.topics.dead)
    replies = place.topics.replies(49)
    assert {job for job, r in replies.items() if r["status"] != "ok"} == {"first0", *(f"bad{n}" for n in range(8))}
    wait_until(lambda: place.lag() == 0, "everything committed")
    worker.wait_event("breaker_closed", dependency="dead_topic")
    dead_letters = [json.loads(r.value())["id"] for r in place.topics.read(place.topics.dead, 8)]
    assert sorted(dead_letters) == [f"bad{n}" for n in range(8)], "each once: what was held is written when there is somewhere to write"


def test_a_log_that_retention_cut_under_a_restored_set_is_read_from_where_it_begins(stage, kafka):
    """The first job is gone with its record; of those that were done beyond it some are gone, some are there and not done again."""
    place = Place(kafka, "cut", partitions=1)
    redis, sim = stage.redis(), stage.simulator()
    victim = stage.worker(redis, sim, name="victim", **place.settings, **{"worker.threads": "16", "kafka.session.timeout.ms": "6000"})
    place.topics.send({"id": "slow", "message": "hi [[fault:hold]]"}, key="slow")
    send_many(place, "done", 19)
    place.topics.replies(19)
    wait_until(lambda: place.done(0) == set(range(1, 20)), "the set committed")
    victim.signal(signal.SIGKILL)
    victim.wait()
    for future in kafka.admin.delete_records([TopicPartition(place.topics.jobs, 0, 10)]).values():
        assert future.result(30).low_watermark == 10
    send_many(place, "new", 5)

    heir = stage.worker(redis, sim, name="heir", ready=False, **place.settings)
    (restored,) = heir.wait_event("completed_set_restored")
    assert int(restored["done"]) >= 10
    replies = place.topics.replies(24)
    wait_until(lambda: place.lag() == 0, "everything committed")
    assert set(replies) == {f"done{n}" for n in range(19)} | {f"new{n}" for n in range(5)}
    assert len(place.topics.all(place.topics.replies_topic)) == 24 and sim.stats()["requests"] == 25
    assert heir.metric("jobs_done_before_total") == 10 and heir.metric("jobs_received_total") == 5


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_a_broker_that_throttles_is_only_slower(stage, place, delivery):
    client = f"{place.prefix}-client"
    place.kafka.set_quota(client, producer_byte_rate=10_000, consumer_byte_rate=10_000)
    sim = stage.simulator()
    worker = stage.worker(stage.redis(), sim, **place.settings, **{"worker.delivery": delivery, "kafka.client.id": client})
    send_many(place, "j", 200, "x" * 300)
    assert {r["status"] for r in place.topics.replies(200).values()} == {"ok"}
    wait_until(lambda: place.lag() == 0, "everything committed")
    assert worker.metric("kafka_throttled_ms_total") > 0
    assert len({job_of(r) for r in place.topics.read(place.topics.replies_topic, 200)}) == sim.stats()["requests"] == 200


@pytest.mark.parametrize("topic,why", [("nosuch", "Unknown topic"), ("no such!", "Invalid topic")])
@pytest.mark.parametrize("command", ["submit", "ask"])
def test_a_producer_says_that_there_is_no_such_topic(place, command, topic, why):
    """At once, not as a record that nobody acknowledged or a reply that didn't come."""
    done = subprocess.run([BIN / "chat-producer", command, "-b", place.kafka.bootstrap, "--topic", topic, *(["--replies-topic", place.topics.replies_topic] if command == "ask" else []), "hi"],
                          text=True, capture_output=True, timeout=LIMIT_S)
    assert done.returncode == 69 and f"topic {topic}: " in done.stderr and why in done.stderr, done.stderr
