"""A Kafka that refuses, is slow, moves and goes away: every job is answered all the same, and all of it is committed.

The numbers are those of the fifteen ways that other workers broke by."""
import json
import signal

import pytest
from confluent_kafka import Consumer, TopicPartition
from deltas import Reader, text
from parts import BIN, LIMIT_S, SANITIZED, Topics, wait_until

JOBS, PARTITIONS, SESSIONS, GROUP = 24, 4, 6, "chat-worker"
QUICK = {"kafka.session.timeout.ms": "3000", "kafka.heartbeat.interval.ms": "200", "kafka.retry.backoff.ms": "50", "kafka.reconnect.backoff.max.ms": "200",
         "worker.threads": "8"}
PATIENT = {"kafka.session.timeout.ms": "60000"}  # where a worker that a busy machine kept from its heartbeats must not be put out


class Place:
    """A worker between a Kafka that fails and a model that doesn't."""

    def __init__(self, stage, brokers=1):
        self.stage, self.redis, self.sim = stage, stage.redis(), stage.simulator()
        self.kafka = stage.kafka_mock(brokers, chat_jobs=PARTITIONS, chat_replies=PARTITIONS, chat_dead=PARTITIONS)
        self.topics = Topics(self.kafka.bootstrap)
        self.sent = 0

    def start(self, **settings):
        self.worker = self.stage.worker(self.redis, self.sim, bootstrap=self.kafka.bootstrap, **{**QUICK, **settings})
        return self.worker

    def send(self, count=JOBS):
        for n in range(self.sent, self.sent + count):
            self.topics.producer.produce(self.topics.jobs, value=json.dumps({"id": f"j{n}", "message": f"question {n}"}), key=f"s{n % SESSIONS}")
        self.topics.flush()
        self.sent += count

    def answer(self):
        """All that was sent is answered, and acknowledged: what is alive from now on came later."""
        self.topics.replies(self.sent)
        wait_until(lambda: self.worker.metric("jobs_alive") == 0, "all acknowledged")

    def lag(self):
        consumer = Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": GROUP, "enable.auto.commit": False, "log_level": 0})
        try:
            committed = consumer.committed([TopicPartition(self.topics.jobs, p) for p in range(PARTITIONS)], LIMIT_S)
            return sum(consumer.get_watermark_offsets(p, LIMIT_S)[1] - max(p.offset, 0) for p in committed)
        finally:
            consumer.close()

    def check(self):
        """Each job answered ok, asked once, a turn each in its session in order, nothing dead; all committed; a clean end."""
        self.worker.wait_event("worker_started")
        replies = self.topics.replies(self.sent)
        assert set(replies) == {f"j{n}" for n in range(self.sent)}
        for n in range(self.sent):
            reply = replies[f"j{n}"]
            assert reply["status"] == "ok" and reply["message"]["content"] == f"echo: question {n} [messages={2 * (n // SESSIONS) + 1}]", reply
        assert self.sim.stats()["requests"] == self.sent
        wait_until(lambda: self.worker.metric("jobs_alive") == 0 and self.lag() == 0, "everything committed")
        assert self.topics.all(self.topics.dead) == []
        assert self.worker.get("/healthz")[0] == 200 and self.worker.get("/readyz")[0] == 200
        self.rebalances = self.worker.metric("rebalances_total")
        self.worker.signal(signal.SIGTERM)
        assert self.worker.wait() == 0
        assert self.lag() == 0


@pytest.fixture
def place(stage):
    return Place(stage)


def test_a_commit_that_the_client_makes_again_itself(place):
    """Way 3: a commit in the wrong moment killed the poll thread, or lost the assignment."""
    place.start(**PATIENT)
    place.kafka.fail("OffsetCommit", "COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR", "REQUEST_TIMED_OUT", "_TRANSPORT")
    place.send()  # only now: one commit may be all that these jobs need
    place.kafka.wait_failed("OffsetCommit")
    place.check()
    assert place.rebalances == 1


REFUSALS = {"REBALANCE_IN_PROGRESS": "Group rebalance in progress", "ILLEGAL_GENERATION": "Specified group generation id is not valid", "UNKNOWN_MEMBER_ID": "Unknown member",
            "OFFSET_METADATA_TOO_LARGE": "Offset metadata string too large", "INVALID_COMMIT_OFFSET_SIZE": "Commit offset data size is not valid",
            "GROUP_AUTHORIZATION_FAILED": "Group authorization failed"}


@pytest.mark.parametrize("error", REFUSALS)
def test_a_refused_commit_is_said_and_made_again(place, error):
    """Way 4: a rejected commit was recorded as success."""
    place.start()
    place.kafka.fail("OffsetCommit", *[error] * 3)
    place.send()
    place.kafka.wait_failed("OffsetCommit")
    place.check()
    assert len(place.worker.events("commit_refused", level="warn", error=f"Broker: {REFUSALS[error]}")) >= 3


AT_THE_START = {
    "FindCoordinator": ["COORDINATOR_NOT_AVAILABLE", "REQUEST_TIMED_OUT", "_TRANSPORT"],
    "JoinGroup": ["COORDINATOR_LOAD_IN_PROGRESS", "NOT_COORDINATOR", "UNKNOWN_MEMBER_ID", "REBALANCE_IN_PROGRESS", "REQUEST_TIMED_OUT", "UNKNOWN", "_TRANSPORT"],
    "SyncGroup": ["COORDINATOR_LOAD_IN_PROGRESS", "NOT_COORDINATOR", "UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION", "REBALANCE_IN_PROGRESS", "REQUEST_TIMED_OUT", "UNKNOWN", "_TRANSPORT"],
    "OffsetFetch": ["COORDINATOR_LOAD_IN_PROGRESS", "NOT_COORDINATOR", "UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION", "UNSTABLE_OFFSET_COMMIT", "REQUEST_TIMED_OUT", "UNKNOWN", "_TRANSPORT"],
    "ListOffsets": ["LEADER_NOT_AVAILABLE", "NOT_LEADER_FOR_PARTITION", "UNKNOWN_TOPIC_OR_PART", "REQUEST_TIMED_OUT", "UNKNOWN", "_TRANSPORT"],
    "InitProducerId": ["COORDINATOR_LOAD_IN_PROGRESS", "NOT_COORDINATOR", "REQUEST_TIMED_OUT", "UNKNOWN", "_TRANSPORT"],
}


@pytest.mark.parametrize("api", AT_THE_START)
def test_a_start_among_errors(place, api):
    """Way 1: after a join that failed halfway the member looked healthy and consumed nothing."""
    place.send()
    place.kafka.fail(api, *AT_THE_START[api])
    place.start(ready=False)
    place.kafka.wait_failed(api)
    place.check()


def test_a_second_life_begins_where_the_first_one_ended(place):
    """Ways 5 and 11: whatever the broker says first, no record is skipped, and none that is done is done again."""
    place.start()
    place.send()
    place.topics.replies(JOBS)
    wait_until(lambda: place.lag() == 0, "the first life's commits")
    place.worker.signal(signal.SIGTERM)
    assert place.worker.wait() == 0
    place.send()
    place.kafka.fail("OffsetFetch", *AT_THE_START["OffsetFetch"])
    place.start(name="second", ready=False)
    place.kafka.wait_failed("OffsetFetch")
    place.check()
    assert place.worker.events("reply_from_store") == []


@pytest.mark.parametrize("topic", ["chat.jobs", "chat.replies"])
@pytest.mark.parametrize("error", ["LEADER_NOT_AVAILABLE", "UNKNOWN_TOPIC_OR_PART", "REQUEST_TIMED_OUT"])
def test_a_topic_whose_metadata_fail_is_waited_for(place, topic, error):
    """Of Metadata the mock cluster fails a topic, not a request."""
    if error != "UNKNOWN_TOPIC_OR_PART" and place.kafka.tell("version") == "2.8.0":
        pytest.skip("librdkafka 2.8.0 crashes there, and so does kcat; compare https://github.com/confluentinc/librdkafka/issues/4907")
    place.send()
    place.kafka.tell("topic", topic, error)
    place.start(ready=False, **{"worker.startup_wait_ms": "30000"})
    place.worker.wait_event("startup_waits")
    place.kafka.tell("topic", topic, "NO_ERROR")
    place.check()


def test_a_coordinator_that_cannot_tell_offsets_for_long_is_asked_until_it_can(place):
    """Way 1: partitions whose offsets couldn't be read stayed assigned, and nothing was read from them for hours."""
    place.send()
    place.kafka.fail("OffsetFetch", *["NOT_COORDINATOR"] * 70)
    place.start(**PATIENT)
    place.worker.wait_event("grants_wait")
    place.kafka.wait_failed("OffsetFetch")
    place.check()
    assert place.rebalances == 1, "it is in the group all the time"


def test_of_a_loss_that_the_client_tells_nothing_else_is_said(place):
    """Its member id is another one then, too, but nothing is left that could begin anew."""
    place.start(**{"kafka.heartbeat.interval.ms": "100"})
    place.send()
    place.topics.replies(JOBS)
    place.kafka.fail("Heartbeat", "UNKNOWN_MEMBER_ID")
    place.worker.wait_event("kafka_revoked", lost=1)
    place.check()
    assert place.worker.events("membership_lost") == []


IN_THE_MIDDLE = {
    "Fetch": ["NOT_LEADER_FOR_PARTITION", "LEADER_NOT_AVAILABLE", "UNKNOWN_TOPIC_OR_PART", "KAFKA_STORAGE_ERROR", "FENCED_LEADER_EPOCH", "UNKNOWN_LEADER_EPOCH",
              "OFFSET_OUT_OF_RANGE", "REQUEST_TIMED_OUT", "UNKNOWN", "_TRANSPORT"],
    "Heartbeat": ["COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR", "UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION", "REBALANCE_IN_PROGRESS", "REQUEST_TIMED_OUT", "UNKNOWN", "_TRANSPORT"],
    "Produce": ["NOT_LEADER_FOR_PARTITION", "LEADER_NOT_AVAILABLE", "NOT_ENOUGH_REPLICAS", "NOT_ENOUGH_REPLICAS_AFTER_APPEND", "UNKNOWN_TOPIC_OR_PART", "KAFKA_STORAGE_ERROR",
                "REQUEST_TIMED_OUT", "_TRANSPORT"],
}


@pytest.mark.parametrize("api", IN_THE_MIDDLE)
def test_errors_in_the_middle(place, api):
    """Way 6: after partitions were lost the count of what is in flight leaked, and the intake stayed paused."""
    # One batch at a time: this cluster takes the second though it refused the first, which no broker does to an idempotent producer.
    place.start(**{"kafka.max.in.flight.requests.per.connection": "1"})
    place.send()
    place.answer()
    place.sim.signal(signal.SIGSTOP)  # the jobs are under way, their replies come when the errors wait for them
    place.send()
    wait_until(lambda: place.worker.metric("jobs_alive") > 0, "jobs under way")
    place.kafka.fail(api, *IN_THE_MIDDLE[api])
    if api != "Produce":
        place.kafka.wait_failed(api)
    place.sim.signal(signal.SIGCONT)
    place.kafka.wait_failed(api)
    place.check()
    assert place.worker.events("publish_refused") == []


def test_the_coordinator_moves(stage):
    """From one of three brokers to the next while jobs run; the mock cluster takes the offsets along."""
    place = Place(stage, brokers=3)
    place.kafka.tell("coordinator", GROUP, 1)
    place.start()
    for broker in (2, 3, 1):
        place.send()
        place.kafka.tell("coordinator", GROUP, broker)
        place.topics.replies(place.sent)
    place.check()


def test_a_leader_moves(stage):
    """Of the jobs' and of the replies' partitions, with records on their way, and never back to a broker that led before.

    The mock cluster doesn't look at sequence numbers. If a partition left a broker and came back between two produce requests of one producer, it would
    refuse the first and take the second, which a real broker refuses too; librdkafka would then, rightly, count the first as written: a lost record."""
    place = Place(stage, brokers=4)

    def lead(broker):
        for topic in (place.topics.jobs, place.topics.replies_topic):
            for partition in range(PARTITIONS):
                place.kafka.tell("leader", topic, partition, broker)

    lead(1)
    place.start(**{"kafka.topic.metadata.refresh.interval.ms": "500"})
    for broker in (2, 3, 4):
        place.send(JOBS // 2)
        lead(broker)
        place.send(JOBS // 2)
    place.check()


@pytest.mark.parametrize("brokers", [1, 3])
def test_every_broker_goes_away_and_comes_back(stage, brokers):
    """Ways 2 and 14: nothing spins, nothing is given up, and the drain after it is whole."""
    place = Place(stage, brokers)
    place.start()
    place.send()
    place.answer()
    place.sim.signal(signal.SIGSTOP)
    place.send()
    wait_until(lambda: place.worker.metric("jobs_alive") == JOBS, "jobs under way")
    place.kafka.tell("down", -1)
    place.sim.signal(signal.SIGCONT)
    wait_until(lambda: len(place.worker.events("reply_enqueued")) >= JOBS + SESSIONS, "answers that can't be sent")
    assert place.worker.get("/healthz")[0] == 200
    place.kafka.tell("up", -1)
    place.check()


def test_one_broker_of_three_goes_away_and_comes_back(stage):
    place = Place(stage, brokers=3)
    place.start()
    for broker in (1, 2, 3):
        place.send()
        place.kafka.tell("down", broker)
        place.kafka.tell("up", broker)
        place.topics.replies(place.sent)
    place.check()


def test_a_kafka_that_is_slow_is_waited_for(place):
    """A fifth of a second for each answer."""
    place.kafka.tell("rtt", -1, 200)
    place.start()
    place.send()
    place.check()


def test_a_worker_told_to_end_while_kafka_says_nothing_ends_all_the_same(place):
    """Neither its last commit nor its leaving is answered; librdkafka would wait a minute for the one and for ever for the other."""
    place.start(**{"worker.commit_interval_ms": "60000"})
    place.send(5)
    place.answer()
    place.kafka.signal(signal.SIGSTOP)
    place.worker.signal(signal.SIGTERM)
    assert place.worker.wait() == 0
    assert place.worker.events("group_not_left", level="warn")
    place.kafka.signal(signal.SIGCONT)


def test_a_consumer_that_no_longer_knows_its_protocol_is_left_as_it_was(place):
    """librdkafka says nothing of it any more once its group is being left, and partitions may go then."""
    env = {"LD_PRELOAD": str(BIN / "test/broken_client.so"), "CHAT_TEST_BREAK": "protocol"}
    if SANITIZED:
        env["ASAN_OPTIONS"] = "verify_asan_link_order=0"
    place.worker = place.stage.worker(place.redis, place.sim, bootstrap=place.kafka.bootstrap, env=env, **QUICK)
    place.send()
    place.check()


def test_while_the_client_is_full_for_kafka_redis_is_told_all_the_same(place):
    """Three times what the client has room for: answers are paid, and a lane's next job needs its predecessor's turn."""
    jobs = 60
    place.start(**{"kafka.queue.buffering.max.messages": "20", **PATIENT})
    place.sim.signal(signal.SIGSTOP)
    place.send(jobs)
    wait_until(lambda: place.worker.metric("jobs_alive") == jobs, "jobs under way")
    place.kafka.signal(signal.SIGSTOP)
    place.sim.signal(signal.SIGCONT)

    def states():
        return [place.redis.client.hget(key, "state") for key in place.redis.client.scan_iter("chat:{*}:job:*")]

    wait_until(lambda: states() == ["ok"] * jobs, "every end told to Redis")
    assert place.worker.metric("jobs_alive") == jobs
    place.kafka.signal(signal.SIGCONT)
    place.check()


def test_a_coordinator_that_is_away_keeps_no_worker_from_its_end(stage):
    """librdkafka looks at no time-out while it sends offsets (its issue 5456): the transactions' thread doesn't come back, and the process ends without it."""
    place = Place(stage, brokers=3)
    for topic in (place.topics.jobs, place.topics.replies_topic, place.topics.dead):
        for partition in range(PARTITIONS):
            place.kafka.tell("leader", topic, partition, 1)
    place.kafka.tell("coordinator", GROUP, 2)  # the transactions' is another: the id's place among three brokers
    place.start(**{"worker.delivery": "exactly-once", "kafka.group.instance.id": "x1", **PATIENT, "worker.drain_timeout_ms": "500"})
    place.send(5)
    place.answer()
    place.sim.signal(signal.SIGSTOP)
    place.send(3)
    wait_until(lambda: place.worker.metric("jobs_alive") == 3, "jobs under way")
    place.kafka.tell("down", 2)
    place.sim.signal(signal.SIGCONT)

    def states():
        return [place.redis.client.hget(key, "state") for key in place.redis.client.scan_iter("chat:{*}:job:*")]

    wait_until(lambda: states() == ["ok"] * 8, "all answers kept")
    place.worker.signal(signal.SIGTERM)
    assert place.worker.wait() == 75, "not all of it was acknowledged: start it again"


def test_requests_that_time_out_are_made_again(place):
    """Three answers of each kind come later than the worker waits for them."""
    place.start(**{"kafka.socket.timeout.ms": "1000", "kafka.session.timeout.ms": "6000"})
    place.sim.signal(signal.SIGSTOP)
    place.send()
    wait_until(lambda: place.worker.metric("jobs_alive") > 0, "jobs under way")
    for api in ("Produce", "OffsetCommit", "Heartbeat"):
        place.kafka.fail(api, *["NO_ERROR"] * 3, rtt_ms=1500)
    place.sim.signal(signal.SIGCONT)
    place.kafka.wait_failed("Produce", "Heartbeat")
    # One commit may be all that these jobs need, and an answer that comes before the client looks for late ones is no reason for another.
    wait_until(lambda: place.kafka.tell("left", "OffsetCommit") == "0" or (place.sent < 120 and place.send(1)), "every late OffsetCommit met", pause_s=0.5)
    place.check()


def test_a_producer_that_fails_for_good_is_replaced(place):
    """What the broker said it had is gone there, so the client takes no record any more. Another one does; no job is asked again."""
    worker = place.start()
    place.send()
    place.answer()
    place.sim.signal(signal.SIGSTOP)
    place.send()
    wait_until(lambda: worker.metric("jobs_alive") > 0, "jobs under way")
    place.kafka.fail("Produce", "OUT_OF_ORDER_SEQUENCE_NUMBER")
    place.sim.signal(signal.SIGCONT)
    place.check()
    assert [event["code"] for event in worker.events("producer_renewed")] == ["OUT_OF_ORDER_SEQUENCE_NUMBER"] and worker.events("publish_refused") == []


@pytest.mark.skipif(SANITIZED, reason="the preload is built without the sanitizer")
def test_a_producer_of_deltas_that_fails_for_good_is_replaced(stage):
    place = Place(stage)
    worker = place.start(env={"LD_PRELOAD": str(BIN / "test/broken_client.so"), "CHAT_TEST_BREAK": "producer"}, **{"llm.stream": "always"})
    place.send()
    worker.wait_event("deltas_producer_renewed", code="OUT_OF_ORDER_SEQUENCE_NUMBER")
    place.answer()
    place.send(1)
    deltas = Reader(place.topics).last(f"j{place.sent - 1}")  # before the end, which waits for no delta
    place.check()
    assert text(deltas) == place.topics.reply_of(f"j{place.sent - 1}")["message"]["content"]


@pytest.mark.skipif(SANITIZED, reason="the preload is built without the sanitizer")
def test_producers_that_fail_one_after_the_other_end_the_worker_and_the_next_one_answers(stage):
    place = Place(stage)
    worker = place.start(env={"LD_PRELOAD": str(BIN / "test/broken_client.so"), "CHAT_TEST_BREAK": "producers"})
    place.send()
    assert worker.wait() == 75
    (line,) = [line for line in worker.text().splitlines() if line.startswith("chat-worker:")]
    assert "start the worker again" in line and len(worker.events("producer_renewed")) == 3
    place.start(name="next")
    place.check()


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_a_producer_that_may_not_produce_ends_the_worker_before_a_job_is_paid_for(stage, delivery):
    """It says so before the first record. A start that can't make its transactional producer is no start."""
    place = Place(stage)
    place.kafka.fail("InitProducerId", *["CLUSTER_AUTHORIZATION_FAILED" if delivery == "at-least-once" else "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"] * 50)
    place.sim.faults("hold")
    place.send()
    worker = place.start(ready=False, **{"worker.delivery": delivery, "worker.drain_timeout_ms": "0"})
    assert worker.wait() in (75, 78) and place.topics.all(place.topics.replies_topic) == []
    assert any("AUTHORIZATION_FAILED" in line for line in worker.text().splitlines() if line.startswith("chat-worker:"))
