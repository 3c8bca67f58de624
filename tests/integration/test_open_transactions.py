"""Transactions that nobody ends, as a broker with KAFKA-20734 or a producer with a long time-out leaves them: the worker says where, and
what its hint names is the cure."""
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import NewTopic
from parts import LIMIT_S, Kafka, Topics, kafkas, wait_until
from stage import Stage

SETTINGS = {"worker.stuck_after_ms": "4000"}  # it looks each second
LONG_MS = 900000  # the longest that a broker allows unless told otherwise


def transactional(kafka, name, bootstrap=None):
    producer = Producer({"bootstrap.servers": bootstrap or kafka.bootstrap, "transactional.id": name, "transaction.timeout.ms": LONG_MS, "log_level": 0})
    producer.init_transactions(LIMIT_S)
    return producer


def put(producer, topic, partition, job):
    """A job in the open transaction; where it stands."""
    found = []
    producer.produce(topic, f'{{"id":"{job}","message":"hi"}}', key=job, partition=partition, on_delivery=lambda err, record: found.append(err or record.offset()))
    assert producer.flush(LIMIT_S) == 0
    assert isinstance(found[0], int), found
    return found[0]


def told(worker):
    return [(event["topic"], int(event["partition"]), int(event["offset"])) for event in worker.events("transaction_stays_open")]


def test_a_transaction_left_open_among_the_jobs_is_told_once_and_its_hint_is_the_cure(stage, place, kafka):
    jobs = place.topics.jobs
    worker = stage.worker(stage.redis(), stage.simulator(), **place.settings, **SETTINGS)
    ended = transactional(kafka, f"{place.prefix}-ended")  # its log ends with a marker, which nobody reads either
    ended.begin_transaction()
    put(ended, jobs, 1, "committed")
    ended.commit_transaction(LIMIT_S)
    place.topics.reply_of("committed")

    gone = transactional(kafka, f"{place.prefix}-gone")
    gone.begin_transaction()
    first = put(gone, jobs, 0, "never")
    put(plain := Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0}), jobs, 0, "behind")
    worker.wait_event("transaction_stays_open")
    other = transactional(kafka, f"{place.prefix}-other")  # told as many looks later as the first one had to wait
    other.begin_transaction()
    put(plain, jobs, 2, "before")
    second = put(other, jobs, 2, "never-either")
    worker.wait_event("transaction_stays_open", partition=2)
    assert told(worker) == [(jobs, 0, first), (jobs, 2, second)]
    assert set(place.topics.replies(2)) == {"committed", "before"}

    hint = worker.events("transaction_stays_open")[0]["hint"]
    assert "kafka-transactions.sh abort --topic TOPIC --partition PARTITION --start-offset OFFSET" in hint
    kafka.transactions("abort", "--topic", jobs, "--partition", "0", "--start-offset", str(first))
    assert place.topics.reply_of("behind")["status"] == "ok"

    again = transactional(kafka, f"{place.prefix}-again")
    again.begin_transaction()
    third = put(again, jobs, 0, "nor-this")
    worker.wait_event("transaction_stays_open", offset=third)
    assert told(worker) == [(jobs, 0, first), (jobs, 2, second), (jobs, 0, third)]


@pytest.fixture
def twin():
    world = Stage()
    try:
        yield world
    finally:
        world.end()


class Two:
    """Brokers of one version: the first has all but the jobs, which the second has."""

    def __init__(self, world, jars):
        short = {"broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "400"}
        self.first = world._add(Kafka(world.folder, jars=jars, **short))
        transactional(self.first, "the-producer")  # makes the transactions' log, here
        self.second = world._add(Kafka(world.folder, jars=jars, node=2, controller=self.first.controller, **short))

    def make(self, name, node) -> None:
        """Of a broker that is fenced, since it was late with a heartbeat, none can be made."""
        def is_made():
            try:
                self.first.make(NewTopic(name, 1, replica_assignment=[[node]]))
            except KafkaException as refused:
                if refused.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    return True
                assert refused.args[0].code() == KafkaError.INVALID_REPLICA_ASSIGNMENT, refused
                return False
            return True

        wait_until(is_made, f"the topic {name}", pause_s=0.2)

    def leader(self, topic) -> int:
        return self.first.admin.list_topics(topic, timeout=10).topics[topic].partitions[0].leader


@pytest.mark.parametrize("version", ["main", "oldest", "hanging"])
def test_of_a_coordinator_that_leaves_a_partition_out(twin, version):
    """KAFKA-20734, by plain clients: a partition's leader is away while a transaction is committed. A coordinator without the fault writes
    the partition's marker when the leader is back. One with it never does, and a job that was acknowledged as committed isn't seen."""
    two = Two(twin, kafkas()[version])
    jobs = "split.jobs"
    for name, node in ((jobs, 2), ("split.replies", 1), ("split.dead", 1), ("split.control", 1), ("split.deltas", 1)):
        two.make(name, node)
    wait_until(lambda: two.leader(jobs) == 2, "the second broker's lead")
    producer = transactional(two.first, "the-producer")
    producer.begin_transaction()
    offset = put(producer, jobs, 0, "acknowledged")
    two.second.signal(9)
    two.second.wait()
    wait_until(lambda: two.leader(jobs) == -1, "nobody's lead")
    producer.commit_transaction(LIMIT_S)
    two.second.again()
    wait_until(lambda: two.leader(jobs) == 2, "the second broker's lead again")

    names = {f"worker.{key}": f"split.{key.split('_')[0]}" for key in ("jobs_topic", "replies_topic", "dead_topic", "control_topic", "deltas_topic")}
    worker = twin.worker(twin.redis(), twin.simulator(), bootstrap=two.first.bootstrap, **names, **SETTINGS)
    topics = Topics(two.first.bootstrap, "split")
    if version == "hanging":
        worker.wait_event("transaction_stays_open", topic=jobs, partition=0, offset=offset)
        assert f"Couldn't find leader endpoint for partitions Set({jobs}-0)" in two.first.text()
        two.first.transactions("abort", "--topic", jobs, "--partition", "0", "--start-offset", str(offset))
        topics.send({"id": "behind", "message": "hi"}, key="s")
        assert set(topics.replies(1)) == {"behind"}, "the abort took away what had been acknowledged"
    else:
        assert topics.reply_of("acknowledged")["status"] == "ok"
        assert not worker.events("transaction_stays_open")
