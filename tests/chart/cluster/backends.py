"""What a release's worker talks to: a real Kafka, where each test has topics and a group of its own, a real Redis with a password, the
simulated LLM; and the values that name them."""
from __future__ import annotations

import uuid

from parts import Kafka, Topics, free_port
from stage import Stage
from test_release import VALUES

PASSWORD = "redis-s3cret"


class Backends:
    def __init__(self, stage: Stage, kafka: Kafka):
        self.port, self.kafka, self.prefix = free_port(), kafka, f"t-{uuid.uuid4().hex[:8]}"
        self.redis = stage.redis("--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", PASSWORD)
        self.sim = stage.simulator()
        self.topics = Topics(kafka.bootstrap, self.prefix)
        kafka.create_topics(self.topics.jobs, self.topics.replies_topic, self.topics.dead, self.topics.control, self.topics.deltas)

    def values(self, **more) -> dict:
        topics = {"jobs_topic": self.topics.jobs, "replies_topic": self.topics.replies_topic, "dead_topic": self.topics.dead, "control_topic": self.topics.control, "deltas_topic": self.topics.deltas}
        return {**VALUES, "kafka": {"properties": {"bootstrap.servers": self.kafka.bootstrap, "group.id": self.prefix}}, "redis": {"url": f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"},
                "providers": {"main": {"url": self.sim.url, "model": self.sim.model, "api_key": "llm-s3cret"}}, **more, "worker": {**topics, **more.get("worker", {})}}
