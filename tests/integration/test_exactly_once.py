"""worker.delivery = exactly-once on a real broker: what a reader of committed records sees, whatever happens to the worker."""
import json
import re
import signal
import time
from collections import Counter

import pytest
from confluent_kafka import Consumer, TopicPartition
from conftest import Place
from parts import LIMIT_S, job_of, wait_until
from stage import Stage

EXACTLY_ONCE = {"worker.delivery": "exactly-once", "kafka.session.timeout.ms": "6000", "redis.lease_ms": "3000",
                "provider.main.attempt_timeout_ms": "120000", "llm.deadline_ms": "120000"}


class Committed:
    """Reads topics as their readers should: committed records alone, each once."""

    def __init__(self, place):
        self.place = place

    def all(self, topic: str, isolation: str = "read_committed") -> list:
        """What the topic holds up to the first transaction still open."""
        consumer = Consumer({"bootstrap.servers": self.place.kafka.bootstrap, "group.id": "look", "enable.auto.commit": False, "log_level": 0,
                             "isolation.level": isolation, "enable.partition.eof": True, "fetch.wait.max.ms": 50})
        try:
            partitions = consumer.list_topics(topic, LIMIT_S).topics[topic].partitions
            consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
            found, ended, until = [], set(), time.monotonic() + LIMIT_S
            while len(ended) < len(partitions):
                assert time.monotonic() < until, "no end of the partitions"
                record = consumer.poll(0.2)
                if record is not None and record.error():
                    ended.add(record.partition())
                elif record is not None:
                    found.append(record)
            return found
        finally:
            consumer.close()

    def replies(self) -> list[str]:
        return [job_of(r) for r in self.all(self.place.topics.replies_topic)]

    def wait_replies(self, count: int, limit_s: float = LIMIT_S) -> list[str]:
        return wait_until(lambda: (got := self.replies()) and len(set(got)) >= count and got, f"{count} jobs with a committed reply", limit_s, 0.3)

    def wait_dead_letters(self) -> list:
        """They are in one transaction with their replies, but a coordinator marks one partition after the other as committed."""
        return wait_until(lambda: self.all(self.place.topics.dead), "a committed dead letter", pause_s=0.1)


@pytest.fixture
def committed(place):
    return Committed(place)


def settings_of(place, **more) -> dict:
    return {**place.settings, **EXACTLY_ONCE, **more}


def start(stage, place, redis, sim, name="worker", ready=True, **more):
    return stage.worker(redis, sim, name=name, ready=ready, **settings_of(place, **more))


def in_order(committed, sessions: dict) -> bool:
    """Each session's committed replies are its jobs', in their order, each once."""
    by_key = {}
    for record in committed.all(committed.place.topics.replies_topic):
        by_key.setdefault((record.key() or b"").decode(), []).append(job_of(record))
    return all(by_key.get(session) == jobs for session, jobs in sessions.items())


SLOW = 80  # so many jobs in the process that a transaction waits for company: more than the 64 that count as few
OPEN = {"worker.threads": "128", "worker.transaction_ms": "60000", "kafka.transaction.timeout.ms": "180000", "kafka.group.instance.id": "one"}  # longer than it takes to fill one


def crowd(place, sim) -> list[str]:
    """Slow calls under way: from now on a transaction stays open for transaction_ms."""
    jobs = [f"slow{n}" for n in range(SLOW)]
    for n, job in enumerate(jobs):
        place.topics.send({"id": job, "message": f"slow {n} [[fault:hold times=1]]"}, key=f"slow{n}")
    wait_until(lambda: sim.stats()["in_flight"] == SLOW, "the slow calls")
    return jobs


def test_jobs_are_answered_once_and_a_session_keeps_its_order(stage, place, committed, redis_io):
    sim = stage.simulator("--latency", "20", "--jitter", "lognormal")
    worker = start(stage, place, stage.redis(), sim, **{"worker.redis_io": redis_io, "worker.transaction_jobs_max": "7"})
    sessions = {f"s{n}": [f"{n}-{turn}" for turn in range(10)] for n in range(20)}
    for turn in range(10):
        for session, jobs in sessions.items():
            place.topics.send({"id": jobs[turn], "message": f"turn {turn}"}, key=session)
    assert Counter(committed.wait_replies(200)) == Counter(job for jobs in sessions.values() for job in jobs)
    assert in_order(committed, sessions)
    wait_until(lambda: place.lag() == 0, "everything committed")
    wait_until(lambda: worker.metric("transactions_committed_total") >= 200 / 7, "each counted when its commit has returned")
    assert sim.stats()["requests"] == 200
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def test_killed_in_mid_transaction_nothing_shows_and_the_next_says_it_once(stage, place, committed):
    """What the killed one had produced stays invisible; a dead letter, its error reply and the offsets go with the replies."""
    redis, sim = stage.redis(), stage.simulator()
    victim = start(stage, place, redis, sim, name="victim", **OPEN)
    slow = crowd(place, sim)
    sessions = {f"s{n}": [f"{n}-{turn}" for turn in range(4)] for n in range(5)}
    for session, jobs in sessions.items():
        for job in jobs:
            place.topics.send({"id": job, "message": job}, key=session)
    place.topics.send("no job", key="bad")
    wait_until(lambda: [len(committed.all(topic, "read_uncommitted")) for topic in (place.topics.replies_topic, place.topics.dead)] == [21, 1], "all of it in the open transaction", pause_s=0.2)
    lag = place.lag()
    victim.signal(signal.SIGKILL)
    victim.wait()
    assert committed.replies() == [] and committed.all(place.topics.dead) == [] and place.lag() == lag == SLOW + 21

    heir = start(stage, place, redis, sim, name="heir", **OPEN)
    replies = committed.wait_replies(SLOW + 21)
    assert Counter(replies) == Counter([*slow, *(job for jobs in sessions.values() for job in jobs), *(r for r in replies if r.startswith(place.prefix))])
    assert in_order(committed, sessions)
    (dead_letter,) = committed.wait_dead_letters()
    assert dead_letter.value() == b"no job" and len([r for r in replies if r.startswith(place.prefix)]) == 1
    wait_until(lambda: place.lag() == 0, "everything committed")
    assert len(heir.events("reply_from_store")) == 20, "what was paid is told from the store"
    assert sim.stats()["requests"] == 20 + 2 * SLOW


def test_a_second_worker_joins_and_the_first_leaves_and_each_job_has_one_reply(stage, place, committed, redis_io):
    redis, sim = stage.redis(), stage.simulator("--latency", "60")
    settings = {"worker.redis_io": redis_io, "worker.threads": "4"}
    first = start(stage, place, redis, sim, name="first", **settings)
    sessions = {f"s{n}": [f"{n}-{turn}" for turn in range(15)] for n in range(20)}

    def send(turns):
        for turn in turns:
            for session, jobs in sessions.items():
                place.topics.producer.produce(place.topics.jobs, json.dumps({"id": jobs[turn], "message": f"question {jobs[turn]}"}), key=session)
        place.topics.flush()

    send(range(5))
    first.wait_event("reply_enqueued", count=10)
    second = start(stage, place, redis, sim, name="second", **settings)
    send(range(5, 10))
    second.wait_event("reply_enqueued", count=10)
    first.signal(signal.SIGTERM)
    send(range(10, 15))
    assert first.wait() == 0
    assert Counter(committed.wait_replies(300)) == Counter(job for jobs in sessions.values() for job in jobs)
    wait_until(lambda: place.lag() == 0, "everything committed")
    assert in_order(committed, sessions)
    assert sim.stats()["requests"] == 300


@pytest.fixture(scope="module")
def swift_kafka():
    """A broker that looks every half second for transactions whose time is up, not every ten."""
    world = Stage()
    try:
        yield world.kafka(**{"transaction.abort.timed.out.transaction.cleanup.interval.ms": "500"})
    finally:
        world.end()


SHORT = {"kafka.transaction.timeout.ms": "3000", "worker.transaction_ms": "1500", "worker.drain_timeout_ms": "1000"}


def test_stopped_beyond_the_transaction_s_time_it_is_fenced_leaves_and_starts_again(stage, swift_kafka):
    place = Place(swift_kafka, "fenced")
    committed = Committed(place)
    redis, sim = stage.redis(), stage.simulator()
    settings = {**OPEN, **SHORT}
    worker = start(stage, place, redis, sim, name="stopped", **settings)
    slow = crowd(place, sim)
    jobs = []

    def is_stopped_in_one():
        """A transaction is as short as its time must be, so this machine may be too slow to stop the worker in the one that it looks for."""
        for _ in range(20):
            jobs.append(f"j{len(jobs)}")
            place.topics.send({"id": jobs[-1], "message": jobs[-1]}, key=jobs[-1])
        wait_until(lambda: len(committed.all(place.topics.replies_topic, "read_uncommitted")) == len(jobs), "all of them written", pause_s=0.1)
        ends = place.ends(place.topics.replies_topic)
        worker.signal(signal.SIGSTOP)
        if len(committed.replies()) < len(jobs):
            return ends
        worker.signal(signal.SIGCONT)
        return None

    ends = wait_until(is_stopped_in_one, "the worker stopped in an open transaction")
    before = sorted(committed.replies())
    wait_until(lambda: place.ends(place.topics.replies_topic) > ends, "the broker's own abort: its markers")
    worker.signal(signal.SIGCONT)
    assert worker.wait() == 75
    (said,) = worker.events("transactions_failed", level="error")
    assert said["code"] == "_FENCED"
    assert [line for line in worker.text().splitlines() if line.startswith("chat-worker: exactly-once has ended for this process (_FENCED")]
    assert sorted(committed.replies()) == before

    start(stage, place, redis, sim, name="again", **settings)
    assert Counter(committed.wait_replies(SLOW + len(jobs))) == Counter(slow + jobs)
    wait_until(lambda: place.lag() == 0, "everything committed")
    assert sim.stats()["requests"] == len(jobs) + 2 * SLOW


def test_a_broker_that_is_away_for_long_costs_no_reply_and_doubles_none(stage, swift_kafka):
    place = Place(swift_kafka, "away")
    committed = Committed(place)
    redis, sim = stage.redis(), stage.simulator("--latency", "100")
    settings = {**SHORT, "worker.transaction_ms": "100", "kafka.group.instance.id": "one", "worker.threads": "8"}
    worker = start(stage, place, redis, sim, name="first", **settings)
    jobs = [f"j{n}" for n in range(300)]
    for n, job in enumerate(jobs):
        place.topics.producer.produce(place.topics.jobs, json.dumps({"id": job, "message": job}), key=f"s{n % 60}")
    place.topics.flush()
    worker.wait_event("transaction_committed", count=2)
    swift_kafka.signal(signal.SIGSTOP)
    try:
        wait_until(lambda: re.search(r"Current transaction failed|Timed out (EndTxn|AddOffsets|AddPart|TxnOffset|Produce)", worker.text()), "a transaction that suffers")
    finally:
        swift_kafka.signal(signal.SIGCONT)
    wait_until(lambda: place.lag() == 0 or worker.events("transactions_failed"), "it goes on, or is fenced")
    if worker.events("transactions_failed"):  # the broker was first to end it: then it is fenced
        assert worker.wait() == 75
        start(stage, place, redis, sim, name="second", **settings)
    assert Counter(committed.wait_replies(300)) == Counter(jobs)
    assert in_order(committed, {f"s{n}": jobs[n::60] for n in range(60)})
    wait_until(lambda: place.lag() == 0, "everything committed")
    assert sim.stats()["requests"] <= 300 + 64


def test_the_completed_set_goes_with_the_transactions_and_is_skipped_by_the_next(stage, place, committed):
    redis, sim = stage.redis(), stage.simulator()
    victim = start(stage, place, redis, sim, name="victim", **{"kafka.group.instance.id": "one"})
    for partition in range(4):
        place.topics.producer.produce(place.topics.jobs, json.dumps({"id": f"slow{partition}", "message": f"{partition} [[fault:hold times=1]]"}),
                                      key=f"slow{partition}", partition=partition)
    place.topics.flush()
    wait_until(lambda: sim.stats()["in_flight"] == 4, "the first of each partition under way")
    jobs = [f"j{n}" for n in range(60)]
    for n, job in enumerate(jobs):
        place.topics.send({"id": job, "message": job}, key=f"s{n}")
    assert Counter(committed.wait_replies(60)) == Counter(jobs)
    victim.signal(signal.SIGKILL)
    victim.wait()
    assert place.lag() == 64, "no offset has moved: all is in the sets"
    heir = start(stage, place, redis, sim, name="heir", **{"kafka.group.instance.id": "one"})
    assert Counter(committed.wait_replies(64)) == Counter(jobs + [f"slow{n}" for n in range(4)])
    wait_until(lambda: place.lag() == 0, "everything committed")
    assert heir.metric("jobs_done_before_total") == 60 and heir.events("reply_from_store") == []
    assert sim.stats()["requests"] == 60 + 4 + 4


def test_a_broker_that_allows_little_metadata_makes_ends_wait_and_answers_each_once(stage):
    """What a commit can't tell of isn't answered yet: after a kill it would be answered twice."""
    place = Place(stage.kafka(**{"offset.metadata.max.bytes": "70"}), "little", partitions=1)
    committed = Committed(place)
    redis, sim = stage.redis(), stage.simulator()
    settings = {"worker.threads": "256", "kafka.group.instance.id": "one"}
    victim = start(stage, place, redis, sim, name="victim", **settings)
    jobs = [f"j{n}" for n in range(400)]
    for n, job in enumerate(jobs):
        slow = " [[fault:hold times=1]]" if n % 2 == 0 else ""
        place.topics.producer.produce(place.topics.jobs, json.dumps({"id": job, "message": job + slow}), key=f"s{n}")
    place.topics.flush()
    victim.wait_event("completed_set_full", partition="0")
    wait_until(lambda: sim.stats()["requests"] == 400 and victim.metric("jobs_ok_total") == 200, "the quick half at its end")
    victim.signal(signal.SIGKILL)
    victim.wait()
    early = committed.replies()
    assert len(early) < 200 and len(early) == len(set(early)), "those that a commit has room for"
    start(stage, place, redis, sim, name="heir", **settings)
    assert Counter(committed.wait_replies(400)) == Counter(jobs)
    wait_until(lambda: place.lag() == 0, "everything committed")


def test_a_reply_too_large_for_its_topic_is_replaced_alone(stage, place, committed):
    """The broker refuses a whole batch of records; their neighbours are none the worse for it."""
    place.kafka.create_topics(f"{place.prefix}.small", partitions=1, **{"max.message.bytes": "3000"})
    place.topics.replies_topic = f"{place.prefix}.small"
    wait_until(lambda: place.kafka.admin.list_topics(place.topics.replies_topic, 10).topics[place.topics.replies_topic].error is None, "the topic")
    redis, sim = stage.redis(), stage.simulator()
    worker = start(stage, place, redis, sim, **{**OPEN, "worker.transaction_ms": "1000", "worker.replies_topic": f"{place.prefix}.small"})
    crowd(place, sim)
    place.topics.send({"id": "before", "message": "b"}, key="s")
    place.topics.send({"id": "large", "message": "x" * 5000}, key="s")
    place.topics.send({"id": "after", "message": "a"}, key="s")
    place.topics.send({"id": "beside", "message": "c"}, key="t")
    wait_until(lambda: len(committed.replies()) == 4, "four replies", pause_s=0.2)
    replies = [json.loads(r.value()) for r in committed.all(place.topics.replies_topic)]
    assert [r["job"] for r in replies if r["job"] != "beside"] == ["before", "large", "after"]
    assert {r["job"]: r["status"] for r in replies} == {"before": "ok", "large": "error", "after": "ok", "beside": "ok"}
    (dead_letter,) = committed.wait_dead_letters()
    assert json.loads(dead_letter.value())["id"] == "large" and dict(dead_letter.headers())["chat.error.code"] == b"reply_refused"
    assert worker.metric("publish_failures_total") == 1 and worker.metric("transactions_aborted_total") >= 2


def test_a_reply_too_large_for_the_client_never_enters(stage, place, committed):
    worker = start(stage, place, stage.redis(), stage.simulator(), **{"kafka.message.max.bytes": "3000"})
    place.topics.send({"id": "large", "message": "x" * 5000}, key="s")
    place.topics.send({"id": "after", "message": "a"}, key="s")
    committed.wait_replies(2)
    assert [(job_of(r), json.loads(r.value())["status"]) for r in committed.all(place.topics.replies_topic)] == [("large", "error"), ("after", "ok")]
    (dead_letter,) = committed.wait_dead_letters()
    assert dict(dead_letter.headers())["chat.value.omitted"] and dead_letter.value() is None
    wait_until(lambda: place.lag() == 0, "everything committed")
    assert worker.metric("transactions_aborted_total") == 0


@pytest.mark.parametrize("setting, said", [
    ("kafka.bootstrap.servers=embedded", "use at-least-once"),
    ("kafka.isolation.level=read_uncommitted", "kafka.isolation.level"),
    ("kafka.transactional.id=mine", "kafka.transactional.id"),
])
def test_what_would_undo_it_is_refused_with_a_remedy(stage, setting, said):
    done = stage.check_config("--check-config", "-X", "kafka.bootstrap.servers=127.0.0.1:1", "-X", "provider.main.url=http://h/v1", "-X", "provider.main.model=m",
                              "-X", "worker.delivery=exactly-once", "-X", setting)
    assert done.returncode == 78 and said in done.stderr
