"""Cancelling on Apache Kafka: a topic that has its times, one that is made later, and transactions."""
import json
import signal

import pytest
from parts import wait_until

SLOW = "[[fault:hold times=1]] hi"


def start(world, place, name, **settings):
    redis = next((part for part in world.started if part.name == "redis"), None) or world.redis()
    sim = world.simulator()
    return world.worker(redis, sim, name=f"{place.prefix}-{name}", **{**place.settings, **settings}), sim


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_a_running_one_and_one_that_is_read_by_the_next_worker(world, place, delivery):
    """The second worker looks for the cancel by its time: it was read by the first one, and committed by nobody."""
    worker, sim = start(world, place, "first", **{"worker.delivery": delivery})
    place.topics.send({"id": "running", "message": SLOW}, key="s")
    wait_until(lambda: sim.stats()["in_flight"] == 1, "the call")
    place.topics.cancel("running")
    assert place.topics.reply_of("running")["status"] == "cancelled"
    wait_until(lambda: sim.stats()["aborted_by_client"] == 1, "the connection gone")
    place.topics.cancel("later")
    worker.wait_event("cancel_heard", job="later")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    place.topics.send({"id": "later", "message": "hi"}, key="s")
    place.topics.send({"id": "other", "message": "hi"}, key="s")
    second, sim = start(world, place, "second", **{"worker.delivery": delivery})
    assert place.topics.reply_of("later")["status"] == "cancelled" and place.topics.reply_of("other")["status"] == "ok"
    assert sim.stats()["requests"] == 1 and not second.events("control_topic_behind")
    wait_until(lambda: second.metric("jobs_alive") == 0 and place.lag() == 0, "all committed")
    records = place.topics.read(place.topics.replies_topic, 3)
    assert len({json.loads(r.value())["job"] for r in records}) == 3 and place.ends(place.topics.dead) == 0


def test_a_control_topic_that_is_made_while_the_worker_runs(world, place, kafka):
    topic = f"{place.prefix}.made-later"
    worker, sim = start(world, place, "only", **{"worker.control_topic": topic})
    (said,) = worker.wait_event("control_topic_missing")
    assert said["topic"] == topic
    place.topics.send({"id": "j", "message": SLOW}, key="s")
    wait_until(lambda: sim.stats()["in_flight"] == 1, "the call")
    kafka.create_topics(topic, partitions=3)
    place.topics.control = topic
    place.topics.cancel("j")
    assert place.topics.reply_of("j")["status"] == "cancelled"
    assert len(worker.events("control_topic_missing")) == 1
