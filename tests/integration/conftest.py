"""A real broker, a real Redis and a real small model, shared by the tests of a run; each test has topics and keys of its own."""
import re
import uuid

import completed_set
import pytest
from confluent_kafka import Consumer, TopicPartition
from parts import LIMIT_S, Topics
from stage import Stage


@pytest.fixture(scope="session")
def world():
    stage = Stage()
    try:
        yield stage
    finally:
        stage.end()


@pytest.fixture(scope="session")
def kafka(world):
    return world.kafka()


@pytest.fixture(scope="session")
def model(world):
    return world.model()


class Place:
    """Topics, a group and a key prefix that only one test uses."""

    def __init__(self, kafka, name: str, partitions: int = 4):
        self.prefix = f"{name}-{uuid.uuid4().hex[:6]}"
        self.kafka = kafka
        self.topics = Topics(kafka.bootstrap, self.prefix)
        kafka.create_topics(self.topics.jobs, self.topics.replies_topic, self.topics.dead, self.topics.control, self.topics.deltas, partitions=partitions, **{"max.message.bytes": "20000000"})
        self.settings = {"bootstrap": kafka.bootstrap, "kafka.group.id": self.prefix, "redis.key_prefix": self.prefix,
                         "worker.jobs_topic": self.topics.jobs, "worker.replies_topic": self.topics.replies_topic, "worker.dead_topic": self.topics.dead,
                         "worker.control_topic": self.topics.control, "worker.deltas_topic": self.topics.deltas}

    def group(self):
        """What the broker says of the group."""
        return self.kafka.admin.describe_consumer_groups([self.prefix])[self.prefix].result(LIMIT_S)

    def ends(self, topic: str) -> int:
        """The high watermarks of a topic's partitions, summed: records, aborted ones, markers."""
        consumer = Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": "look", "log_level": 0, "isolation.level": "read_uncommitted"})
        try:
            return sum(consumer.get_watermark_offsets(TopicPartition(topic, p), LIMIT_S)[1] for p in consumer.list_topics(topic, LIMIT_S).topics[topic].partitions)
        finally:
            consumer.close()

    def done(self, partition: int) -> set[int]:
        """What the group's commit says is done beyond its offset."""
        consumer = Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": self.prefix, "log_level": 0})
        try:
            (found,) = consumer.committed([TopicPartition(self.topics.jobs, partition)], LIMIT_S)
            return completed_set.done_of(found)
        finally:
            consumer.close()

    def lag(self) -> int:
        """Records the group hasn't committed."""
        consumer = Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": self.prefix, "enable.auto.commit": False, "log_level": 0})
        try:
            places = [TopicPartition(self.topics.jobs, p) for p in consumer.list_topics(self.topics.jobs, LIMIT_S).topics[self.topics.jobs].partitions]
            return sum(consumer.get_watermark_offsets(p, LIMIT_S)[1] - max(p.offset, 0) for p in consumer.committed(places, LIMIT_S))
        finally:
            consumer.close()


@pytest.fixture
def place(kafka, request):
    return Place(kafka, re.sub(r"[^a-z]+", "-", request.node.originalname.removeprefix("test_"))[:30].strip("-"))
