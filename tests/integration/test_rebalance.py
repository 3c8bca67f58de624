"""Partitions come and go: what one of them waits for stops no other, in either delivery."""
import json
import signal
import subprocess
import sys

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewPartitions
from parts import LIMIT_S, job_of, wait_until

BOTH = pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
PARTITIONS = 4


def settings_of(place, delivery, **more) -> dict:
    return {**place.settings, "worker.delivery": delivery, "kafka.session.timeout.ms": "6000", "redis.lease_ms": "3000", "worker.commit_interval_ms": "100",
            "provider.main.attempt_timeout_ms": "120000", "llm.deadline_ms": "120000", **more}


def send(place, partition: int, job: str, fault: str = "") -> None:
    place.topics.producer.produce(place.topics.jobs, json.dumps({"id": job, "message": job + fault}), key=f"s-{job}", partition=partition)
    place.topics.flush()


def send_all(place, name: str) -> None:
    for partition in range(PARTITIONS):
        send(place, partition, f"{name}{partition}")


def committed(place, partition: int) -> int:
    consumer = Consumer({"bootstrap.servers": place.kafka.bootstrap, "group.id": place.prefix, "enable.auto.commit": False, "log_level": 0,
                         "isolation.level": "read_uncommitted"})
    try:
        return consumer.committed([TopicPartition(place.topics.jobs, partition)], LIMIT_S)[0].offset
    finally:
        consumer.close()


def owned(place) -> list[set[int]]:
    """The partitions of each member, as the group has them."""
    return [{p.partition for p in member.assignment.topic_partitions} for member in place.group().members]


class Neighbour:
    """Has offsets of the group in a transaction that it doesn't end, as one that dies between the two."""

    def __init__(self, place, *partitions: int):
        self.producer = Producer({"bootstrap.servers": place.kafka.bootstrap, "transactional.id": f"{place.prefix}-neighbour", "transaction.timeout.ms": 600000, "log_level": 0})
        self.producer.init_transactions(30)
        self.producer.begin_transaction()
        nobody = Consumer({"bootstrap.servers": place.kafka.bootstrap, "group.id": place.prefix, "log_level": 0})
        self.producer.send_offsets_to_transaction([TopicPartition(place.topics.jobs, p, 0) for p in partitions], nobody.consumer_group_metadata(), 30)
        nobody.close()

    def end(self) -> None:
        self.producer.abort_transaction(30)


@BOTH
def test_offsets_in_a_neighbour_s_transaction_keep_their_own_partitions_alone(stage, place, delivery):
    """The neighbour dies in a transaction. The survivor's partitions go on, and those that it inherits are read when the transaction has ended."""
    redis, sim = stage.redis(), stage.simulator()
    settings = settings_of(place, delivery)
    survivor = stage.worker(redis, sim, name="survivor", **settings)
    victim = stage.worker(redis, sim, name="victim", **settings)
    wait_until(lambda: sorted(len(ours) for ours in owned(place)) == [2, 2], "two each")
    survivor.wait_event("kafka_revoked")
    send_all(place, "early")
    place.topics.replies(PARTITIONS)
    wait_until(lambda: place.lag() == 0, "nobody is in a transaction")
    neighbour = Neighbour(place, *range(PARTITIONS))
    victim.signal(signal.SIGKILL)
    victim.wait()
    wait_until(lambda: owned(place) == [set(range(PARTITIONS))], "all of them are the survivor's")
    survivor.wait_event("kafka_assigned", owned=PARTITIONS)
    send_all(place, "late")
    its_own = {int(job[-1]) for job in place.topics.replies(PARTITIONS + 2) if job.startswith("late")}
    send_all(place, "later")
    jobs = [f"{when}{p}" for when in ("late", "later") for p in its_own]
    assert set(place.topics.replies(PARTITIONS + 4)) == {f"early{p}" for p in range(PARTITIONS)} | set(jobs), "of the others it isn't known where they begin"
    neighbour.end()
    assert set(place.topics.replies(3 * PARTITIONS)) == {f"{when}{p}" for when in ("early", "late", "later") for p in range(PARTITIONS)}
    wait_until(lambda: place.lag() == 0, "everything committed")
    assert sim.stats()["requests"] == 3 * PARTITIONS


@BOTH
def test_at_the_start_what_is_stable_is_taken_at_once(stage, place, delivery):
    neighbour = Neighbour(place, 2)
    worker = stage.worker(stage.redis(), stage.simulator(), **settings_of(place, delivery))
    for partition in range(PARTITIONS):
        send(place, partition, f"j{partition}")
    assert len(place.topics.replies(PARTITIONS - 1)) == 3
    for partition in (0, 1, 3):
        send(place, partition, f"k{partition}")
    stable = {f"{name}{p}" for name in "jk" for p in (0, 1, 3)}
    assert set(place.topics.replies(len(stable))) == stable, "the other isn't read before it is known where it begins"
    assert worker.metric("partitions_assigned") == PARTITIONS
    neighbour.end()
    assert set(place.topics.replies(len(stable) + 1)) == stable | {"j2"}
    wait_until(lambda: place.lag() == 0, "everything committed")


@BOTH
def test_while_what_leaves_ends_what_stays_goes_on_and_is_committed(stage, place, delivery):
    """The group waits for a call on a partition that is to go; an end on one that stays is committed meanwhile."""
    redis, sim = stage.redis(), stage.simulator()
    settings = settings_of(place, delivery, **{"worker.revoke_drain_ms": "60000"})
    first = stage.worker(redis, sim, name="first", **settings)
    for partition in range(PARTITIONS):
        send(place, partition, f"j{partition}", " [[fault:hold times=1]]")
    sim.wait_held(PARTITIONS)
    second = stage.worker(redis, sim, name="second", ready=False, **settings)
    (stays,) = wait_until(lambda: [ours for ours in owned(place) if len(ours) == 2] if len(owned(place)) == 2 else None, "the group's word on what stays")
    one = min(stays)
    sim.release(f"j{one}")
    wait_until(lambda: committed(place, one) == 1, "committed while the others leave")
    assert not first.events("kafka_revoked")
    sim.release()
    (revoked,) = first.wait_event("kafka_revoked")
    assert (revoked["partitions"], revoked["owned"]) == ("2", "2")
    assert set(place.topics.replies(PARTITIONS)) == {f"j{p}" for p in range(PARTITIONS)}
    wait_until(lambda: place.lag() == 0, "everything committed")
    assert second.wait_event("kafka_assigned") and sim.stats()["requests"] == PARTITIONS


@BOTH
def test_a_topic_made_anew_while_its_assignment_lives_is_read_from_its_beginning(stage, kafka, place, delivery):
    """Nothing of it is dropped as seen before, or committed over; the old one's jobs are answered, too."""
    sim = stage.simulator()
    worker = stage.worker(stage.redis(), sim, **settings_of(place, delivery, **{"kafka.topic.metadata.refresh.interval.ms": "600000", "kafka.session.timeout.ms": "180000"}))
    for n in range(20):
        send(place, 0, f"old{n}")
    send(place, 0, "held", " [[fault:hold times=1]]")
    sim.wait_held()
    place.topics.replies(20)
    wait_until(lambda: committed(place, 0) == 20, "the old one's are committed")
    worker.signal(signal.SIGSTOP)  # it can't look at the metadata between the two
    kafka.admin.delete_topics([place.topics.jobs])[place.topics.jobs].result(30)
    wait_until(lambda: place.topics.jobs not in kafka.admin.list_topics(timeout=10).topics, "deleted")
    kafka.create_topics(place.topics.jobs, partitions=PARTITIONS)
    wait_until(lambda: place.topics.jobs in kafka.admin.list_topics(timeout=10).topics, "made anew")
    for n in range(5):
        send(place, 0, f"new{n}")
    worker.signal(signal.SIGCONT)
    assert set(place.topics.replies(25)) == {f"old{n}" for n in range(20)} | {f"new{n}" for n in range(5)}
    wait_until(lambda: committed(place, 0) == 5, "the new one's are committed")
    sim.release()
    assert "held" in place.topics.replies(26)
    assert committed(place, 0) == 5, "in exactly-once an offset would have come with the reply"
    send(place, 0, "last")
    assert "last" in place.topics.replies(27)
    wait_until(lambda: committed(place, 0) == 6, "the old one's end says nothing of it")
    assert sim.stats()["requests"] == 27
    assert len({job_of(r) for r in place.topics.read(place.topics.replies_topic, 27)}) == 27, "each once"


STATIC_MEMBER = """
import sys, time
from confluent_kafka import Consumer
bootstrap, group, topic, instance, wanted = sys.argv[1:]
consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "group.instance.id": instance, "enable.auto.commit": False, "log_level": 0,
                     "session.timeout.ms": 300000, "max.poll.interval.ms": 600000, "partition.assignment.strategy": "cooperative-sticky", "heartbeat.interval.ms": 500})
consumer.subscribe([topic])
while len(consumer.assignment()) < int(wanted):
    consumer.poll(0.1)
print("has them", flush=True)
while sys.stdin.readline():  # from now on it hears of no revoke, and so doesn't join again
    pass
"""


class StaticMember:
    """A plain client with an instance id in a worker's group; a process of its own, since only so can it be killed."""

    def __init__(self, place, wanted: int):
        self.process = subprocess.Popen([sys.executable, "-c", STATIC_MEMBER, place.kafka.bootstrap, place.prefix, place.topics.jobs, "static", str(wanted)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "has them\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


IMPATIENT = {"kafka.session.timeout.ms": "6000", "worker.stuck_after_ms": "10000", "worker.revoke_drain_ms": "0"}


def worker_waits_for(place, stage):
    """A worker in the group of a StaticMember that should give up two partitions, and doesn't."""
    worker = stage.worker(stage.redis(), stage.simulator(), **place.settings, **IMPATIENT)
    wait_until(lambda: str(place.group().state).endswith("STABLE") and sorted(len(ours) for ours in owned(place)) == [0, 2], "two are to leave the member")
    return worker


def test_what_a_stable_group_gives_to_nobody_finds_an_owner(stage, place):
    """A static member is killed between the assignment that takes two partitions from it and its next join, and comes back under its id: it has its
    place without a rebalance, and the group is content."""
    member = StaticMember(place, PARTITIONS)
    try:
        worker = worker_waits_for(place, stage)
        member.kill()
        member = StaticMember(place, 2)
        wait_until(lambda: set().union(*owned(place)) == set(range(PARTITIONS)), "each has an owner")
        assert worker.wait_event("partitions_unowned")[0]["partitions"] == "2"
        wait_until(lambda: worker.metric("partitions_assigned") == 2, "the worker has two")
        ours = {int(p) for ours in owned(place) for p in ours} - {p.partition for m in place.group().members if m.group_instance_id for p in m.assignment.topic_partitions}
        for partition in ours:
            send(place, partition, f"j{partition}")
        assert set(place.topics.replies(2)) == {f"j{p}" for p in ours}
    finally:
        member.kill()


@pytest.mark.parametrize("strategy", ["cooperative-sticky", "range"])
def test_partitions_that_are_added_are_read_before_the_client_looks_for_them(stage, place, strategy):
    worker = stage.worker(stage.redis(), stage.simulator(), **place.settings, **IMPATIENT, **{"kafka.partition.assignment.strategy": strategy,
                                                                                              "kafka.topic.metadata.refresh.interval.ms": "600000"})
    added = range(PARTITIONS, PARTITIONS + 2)
    place.kafka.admin.create_partitions([NewPartitions(place.topics.jobs, added.stop)])[place.topics.jobs].result(30)
    wait_until(lambda: worker.metric("partitions_assigned") == added.stop, "they are the worker's")
    assert worker.events("partitions_unowned", partitions=len(added), first=added.start)
    for partition in added:
        send(place, partition, f"j{partition}")
    assert set(place.topics.replies(len(added))) == {f"j{p}" for p in added}


def test_a_worker_that_is_told_to_end_while_its_group_takes_long_to_rebalance_does_not_wait_for_it(stage, place):
    """The member that it waits for hears of no revoke. Its own passing member can't leave: the broker answers nothing behind a JoinGroup."""
    member = StaticMember(place, PARTITIONS)
    try:
        worker = worker_waits_for(place, stage)
        worker.wait_event("partitions_unowned")
        wait_until(lambda: "PREPARING" in str(place.group().state), "the passing member joins")
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0
        assert worker.events("group_nudged", joined=0)
        assert not worker.events("kafka_client", facility="REQTMOUT"), "a LeaveGroup had its five seconds"
    finally:
        member.kill()
