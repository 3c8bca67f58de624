"""What ended out of order, above the committed offset, outlives the worker: it stands in the commit's metadata."""
import signal

import completed_set
import pytest
from confluent_kafka import Consumer, TopicPartition
from parts import Topics, wait_until


@pytest.fixture
def place(stage):
    """A cluster that outlives the workers: it lives in one that does nothing else."""
    redis, sim = stage.redis(), stage.simulator()
    broker = stage.worker(redis, sim, name="broker", **{"kafka.group.id": "idle", "redis.key_prefix": "idle", "worker.jobs_topic": "idle.jobs"})

    def is_there(topic):
        return clients.producer.list_topics(topic, 10).topics[topic].partitions

    clients = Topics(broker.bootstrap)
    for topic in (clients.jobs, clients.replies_topic, clients.dead):  # made by the first who asks, and not at once
        wait_until(lambda: is_there(topic), f"the topic {topic}")

    class Place:
        model = sim
        topics = clients

        def send(self, job, message):
            """All on one partition, each its own session."""
            self.topics.producer.produce(self.topics.jobs, value='{"id":"%s","message":"%s"}' % (job, message), key=job, partition=0)
            self.topics.flush()

        def worker(self, name, **settings):
            return stage.worker(redis, sim, bootstrap=broker.bootstrap, name=name, **{"kafka.session.timeout.ms": "6000", "redis.lease_ms": "3000", **settings})

        def commit(self, offset, metadata):
            consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "chat-worker", "log_level": 0})
            consumer.commit(offsets=[TopicPartition(self.topics.jobs, 0, offset, metadata)], asynchronous=False)
            consumer.close()

        def done(self):
            found = self.committed()
            return completed_set.done_of(found)

        def committed(self):
            consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "chat-worker", "log_level": 0})
            (found,) = consumer.committed([TopicPartition(self.topics.jobs, 0)], 10)
            consumer.close()
            return found

    return Place()


def test_after_a_kill_only_what_was_not_done_is_done(place):
    victim = place.worker("victim")
    place.send("stuck", "[[fault:hold times=1]]")
    for n in range(10):
        place.send(f"j{n}", "hi")
    place.topics.replies(10)
    wait_until(lambda: victim.metric("jobs_alive") == 1, "all but one acknowledged")
    wait_until(lambda: place.done() == set(range(1, 11)), "all ten committed")
    place.send("last", "hi")
    place.topics.replies(11)
    victim.signal(signal.SIGKILL)
    victim.wait()

    heir = place.worker("heir", ready=False)
    (restored,) = heir.wait_event("completed_set_restored", partition="0")
    assert int(restored["done"]) >= 10 and restored["offset"] == "0"
    wait_until(lambda: {"stuck", "last"} <= set(place.topics.replies(12)), "the stuck one and the last answered")
    wait_until(lambda: heir.metric("jobs_done_before_total") == int(restored["done"]), "the rest of the log is read")
    assert len(place.topics.all(place.topics.replies_topic)) <= 13, "nothing of the ten is published again"
    assert place.model.stats()["requests"] == 11 + 2
    wait_until(lambda: place.committed().offset == 12, "all committed")
    assert not place.committed().metadata


@pytest.mark.parametrize("text", ["written by another tool", "cw1", "cw1AAAAAAAAAAAAAAAA", "{\"offset\":7}"])
def test_metadata_that_is_not_ours_is_said_once_and_counts_for_nothing(place, text):
    for n in range(5):
        place.send(f"j{n}", "hi")
    place.commit(2, text)
    worker = place.worker("worker")
    assert set(place.topics.replies(3)) == {"j2", "j3", "j4"}
    assert len(worker.events("completed_set_ignored", partition="0", offset="2")) == 1
    assert text not in worker.text()
