"""Who runs a bench's jobs (tests/bench/contrast, waiting, moments): the worker with each engine (worker: threads), the bare forms, the peers, each as one process by one
command line; and the jobs."""
import argparse
import json
import os
import re
import subprocess
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from echoes import answer, faults, job_record
from parts import BIN, ROOT, Process, Simulator, finish, wait_until

SCRIPTS = ROOT / "worker/redis/scripts"
IN_ORDER = ("worker", "worker-loop", "asyncio", "go")  # keep a session's jobs in their order
ENDS_BY_ITSELF = ("worker", "worker-loop", "asyncio", "go")  # with 0 on TERM; the bare forms just end
WORKERS = ("worker", "worker-loop")
ALL = (*WORKERS, "threads", "loop", "asyncio", "go")


def setting(pair: str) -> list:
    """KEY=VALUE of a command line."""
    if "=" not in pair:
        raise argparse.ArgumentTypeError(f"{pair!r}: a setting is KEY=VALUE, say log.level=info")
    return pair.split("=", 1)


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

    def clean_up(self) -> None:
        subprocess.run(["redis-cli", "-s", str(self.redis.socket), "flushall"], stdout=subprocess.DEVNULL, check=True)
        for future in self.kafka.admin.delete_topics([self.jobs, self.replies, self.dead]).values():
            future.result(60)


def command(who: str, place: Place, in_flight: int, more: dict) -> list:
    """more: the worker's settings beside those."""
    if who in WORKERS:
        engine = {"worker.engine": "loop", "worker.in_flight": in_flight} if who == "worker-loop" else {"worker.threads": in_flight}
        settings = {"kafka.bootstrap.servers": place.kafka.bootstrap, "redis.url": place.redis.url, "provider.main.url": place.sim.url, "provider.main.model": "sim",
                    **engine, "worker.jobs_topic": place.jobs, "worker.replies_topic": place.replies, "worker.dead_topic": place.dead,
                    "worker.control_topic": "", "kafka.group.id": place.group, "redis.key_prefix": place.group, "admin.listen": "127.0.0.1:0", "log.level": "warn", **more}
        return [BIN / "chat-worker", *(part for name, value in settings.items() for part in ("-X", f"{name}={value}"))]
    program = {"threads": [BIN / "bench_floor_threads"], "loop": [BIN / "bench_floor_loop"], "go": [os.environ.get("CHAT_PEER_GO", "")],
               "asyncio": [os.environ.get("CHAT_PEER_PYTHON", ""), ROOT / "tests/bench/peers/asyncio/worker.py"]}[who]
    fifth = 0 if who in ("threads", "loop") else SCRIPTS  # the bare forms go on for ever
    return [*program, place.kafka.bootstrap, place.redis.url, f"{place.sim.url}/chat/completions", in_flight, fifth, place.jobs, place.replies, place.group]


class Contender(Process):
    def __init__(self, folder: Path, who: str, place: Place, in_flight: int, env: dict | None = None, core: int | None = None, trace: Path | None = None, **more: str):
        """core: it has this one alone. trace: the worker's, of all its steps."""
        self.who, self.port_file = who, folder / f"admin.{place.group}"
        if who in WORKERS:
            more["admin.port_file"] = str(self.port_file)
        alone = [] if core is None else ["taskset", "--cpu-list", core]
        traced = ["--trace", trace] if trace and who in WORKERS else []
        super().__init__(who, folder, [*alone, *command(who, place, in_flight, more), *traced], env={"PYTHONDONTWRITEBYTECODE": "1", **(env or {})})

    def turns(self) -> Counter:
        """How many callbacks the worker's event loops have had, by the histogram's bounds in seconds, each with those below."""
        counts = Counter()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port_file.read_text().strip()}/metrics", timeout=30) as page:
            for bound, count in re.findall(r'^chat_loop_turn_seconds_bucket\{callback="[^"]+",le="(.+)"\} (\d+)$', page.read().decode(), re.M):
                counts[float(bound)] += int(count)
        return counts

    def end(self) -> None:
        went_on = self.process.poll() is None
        super().end()
        assert went_on, f"{self.who} had ended by itself, with {self.process.returncode}: {self.text()[-2000:]}"
        assert self.who not in ENDS_BY_ITSELF or self.process.returncode == 0, f"{self.who} ends with {self.process.returncode}: {self.text()[-2000:]}"


class Jobs:
    """What is sent to one place. Idempotent: a retry on a topic that has just been made must not turn a session's jobs around."""

    def __init__(self, place):
        self.place, self.sent = place, 0
        self.producer = Producer({"bootstrap.servers": place.kafka.bootstrap, "enable.idempotence": True, "partitioner": "murmur2_random", "linger.ms": 0,
                                  "queue.buffering.max.messages": 200000, "log_level": 0})

    def send(self, session=None, message=None):
        """The next one; alone in its session unless one is named."""
        number, self.sent = self.sent, self.sent + 1
        session = session or f"s{number}"
        self.producer.produce(self.place.jobs, job_record(number, session, message), key=session)
        self.producer.poll(0)
        return number

    def flush(self):
        assert self.producer.flush(120) == 0


def wait_for_replies(contender, place, count):
    """What watches must not take the CPU from what is watched: the broker is asked once the model has answered all."""
    def there():
        assert contender.process.poll() is None, f"{contender.who} ended: {contender.text()[-2000:]}"
        return place.sim.stats()["answered"] >= count and place.replied() >= count

    wait_until(there, f"{count} replies of {contender.who}", 300, pause_s=0.1)


def read_replies(place):
    """(reply, Unix ms at the broker) of all that are there, a partition's in order."""
    consumer = Consumer({"bootstrap.servers": place.kafka.bootstrap, "group.id": "reading", "enable.auto.commit": False, "log_level": 0})
    consumer.assign([TopicPartition(place.replies, p, 0) for p in range(place.partitions)])
    count, found = place.replied(), []
    while len(found) < count:
        found += [(json.loads(r.value()), r.timestamp()[1]) for r in consumer.consume(count - len(found), 5) if not r.error()]
    consumer.close()
    return found


class Measurement:
    """A contender with nothing to do, and what belongs to it; ends with the block."""

    def __init__(self, world, who, in_flight, *sim, env=None, control=False, **settings):
        kafka, redis, folder = world
        self.parts, self.folder = [], Path(tempfile.mkdtemp(dir=folder))
        try:
            self.sim = self._add(Simulator(self.folder, *sim))
            self.place = self._add(Place(kafka, redis, self.sim, self.folder.name))
            self.control = f"{self.place.group}.control"
            if control:
                kafka.create_topics(self.control, partitions=1)
                settings["worker.control_topic"] = self.control
            self.contender = self._add(Contender(self.folder, who, self.place, in_flight, env=env, **settings))
            self.jobs = Jobs(self.place)
        except BaseException:
            finish(self.parts, None)
            raise

    def _add(self, part):
        self.parts.append(part)
        return part

    def __enter__(self):
        return self

    def __exit__(self, *_):
        finish(self.parts, None)
        self.place.clean_up()

    def answer_one(self):
        self.jobs.send()
        self.jobs.flush()
        self.wait()

    def wait(self):
        wait_for_replies(self.contender, self.place, self.jobs.sent)

    def send(self, count):
        """The Unix ms before the first."""
        began = time.time() * 1000
        for _ in range(count):
            self.jobs.send()
        self.jobs.flush()
        return began

    def reply_times(self):
        """The broker's Unix ms, by job."""
        return {reply["job"]: at for reply, at in read_replies(self.place)}

    def faults(self):
        return faults([reply for reply, _ in read_replies(self.place)], {f"j{n}": answer(n, 0) for n in range(self.jobs.sent)})
