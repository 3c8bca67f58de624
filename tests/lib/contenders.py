"""Who runs a bench's jobs (tests/bench/contrast): the worker with each engine (worker: threads), the bare forms, the peers, each as one process by one command line."""
import os
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, TopicPartition
from parts import BIN, ROOT, Process, wait_until

SCRIPTS = ROOT / "worker/redis/scripts"
IN_ORDER = ("worker", "worker-loop", "asyncio", "go")  # keep a session's jobs in their order
ENDS_BY_ITSELF = ("worker", "worker-loop", "asyncio", "go")  # with 0 on TERM; the bare forms just end
ALL = ("worker", "worker-loop", "threads", "loop", "asyncio", "go")


class Place:
    """Where they run: one broker, one Redis, a simulator, topics of their own. The group is the prefix of Redis' keys, too."""

    def __init__(self, kafka, redis, sim, name: str, partitions: int = 12):
        self.kafka, self.redis, self.sim, self.group, self.partitions = kafka, redis, sim, name, partitions
        self.jobs, self.replies, self.dead = (f"{name}.{kind}" for kind in ("jobs", "replies", "dead"))
        self.asking = None
        kafka.create_topics(self.jobs, self.dead, partitions=partitions)
        kafka.create_topics(self.replies, partitions=partitions, **{"message.timestamp.type": "LogAppendTime"})
        wait_until(self.there, f"{name}'s topics")

    def there(self) -> bool:
        """By a new client each time: one that has asked too early may go on believing that there are no such topics."""
        self.asking = Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": "asking", "log_level": 0})
        try:
            return all(self.ends(topic) == 0 for topic in (self.jobs, self.dead, self.replies))
        except KafkaException:
            self.asking.close()
            return False

    def ends(self, topic: str) -> int:
        """How many records there are."""
        return sum(self.asking.get_watermark_offsets(TopicPartition(topic, p), 30)[1] for p in range(self.partitions))

    def replied(self) -> int:
        return self.ends(self.replies)

    def end(self) -> None:
        self.asking.close()


def command(who: str, place: Place, in_flight: int) -> list:
    if who in ("worker", "worker-loop"):
        engine = {"worker.engine": "loop", "worker.in_flight": in_flight} if who == "worker-loop" else {"worker.threads": in_flight}
        settings = {"kafka.bootstrap.servers": place.kafka.bootstrap, "redis.url": place.redis.url, "provider.main.url": place.sim.url, "provider.main.model": "sim",
                    **engine, "worker.jobs_topic": place.jobs, "worker.replies_topic": place.replies, "worker.dead_topic": place.dead,
                    "worker.control_topic": "", "kafka.group.id": place.group, "redis.key_prefix": place.group, "admin.listen": "127.0.0.1:0", "log.level": "warn"}
        return [BIN / "chat-worker", *(part for name, value in settings.items() for part in ("-X", f"{name}={value}"))]
    program = {"threads": [BIN / "bench_floor_threads"], "loop": [BIN / "bench_floor_loop"], "go": [os.environ.get("CHAT_PEER_GO", "")],
               "asyncio": [os.environ.get("CHAT_PEER_PYTHON", ""), ROOT / "tests/bench/peers/asyncio/worker.py"]}[who]
    fifth = 0 if who in ("threads", "loop") else SCRIPTS  # the bare forms go on for ever
    return [*program, place.kafka.bootstrap, place.redis.url, f"{place.sim.url}/chat/completions", in_flight, fifth, place.jobs, place.replies, place.group]


class Contender(Process):
    def __init__(self, folder: Path, who: str, place: Place, in_flight: int):
        self.who = who
        super().__init__(who, folder, command(who, place, in_flight), env={"PYTHONDONTWRITEBYTECODE": "1"})

    def end(self) -> None:
        went_on = self.process.poll() is None
        super().end()
        assert went_on, f"{self.who} had ended by itself, with {self.process.returncode}: {self.text()[-2000:]}"
        assert self.who not in ENDS_BY_ITSELF or self.process.returncode == 0, f"{self.who} ends with {self.process.returncode}: {self.text()[-2000:]}"
