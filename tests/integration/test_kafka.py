"""What only a real broker shows: groups, limits, transactions."""
import json
import signal
import socket
import threading
import time
from collections import Counter

import pytest
from confluent_kafka import Consumer, TopicPartition
from conftest import Place
from parts import LIMIT_S, free_port, job_of, wait_until


def test_a_session_keeps_its_order(stage, place, redis_io):
    sim = stage.simulator("--latency", "20", "--jitter", "lognormal")
    stage.worker(stage.redis(), sim, **place.settings, **{"worker.redis_io": redis_io})
    for turn in range(20):
        for session in "abcde":
            place.topics.send({"id": f"{session}{turn}", "message": f"turn {turn}"}, key=session)
    replies = place.topics.read(place.topics.replies_topic, 100)
    for session in "abcde":
        mine = [json.loads(r.value()) for r in replies if r.key() == session.encode()]
        assert [m["job"] for m in mine] == [f"{session}{turn}" for turn in range(20)]
        assert all(f"[messages={2 * n + 1}]" in m["message"]["content"] for n, m in enumerate(mine))
    assert sim.stats()["requests"] == 100


@pytest.mark.parametrize("strategy", ["cooperative-sticky", "range"])
def test_a_second_worker_joins_and_the_first_leaves_and_nothing_is_lost_or_paid_twice(stage, place, redis_io, strategy):
    """Cooperative, the first keeps two of its assignments; eager, it gives up all four and gets two anew."""
    redis, sim = stage.redis(), stage.simulator("--latency", "60")
    settings = {**place.settings, "worker.redis_io": redis_io, "worker.threads": "4", "kafka.partition.assignment.strategy": strategy}
    first = stage.worker(redis, sim, name="first", **settings)
    jobs = [(f"{session}-{turn}", f"s{session}") for turn in range(10) for session in range(20)]
    for job, session in jobs[:100]:
        place.topics.send({"id": job, "message": f"question {job}"}, key=session)
    first.wait_event("reply_enqueued", count=10)
    second = stage.worker(redis, sim, name="second", **settings)
    for job, session in jobs[100:]:
        place.topics.send({"id": job, "message": f"question {job}"}, key=session)
    second.wait_event("reply_enqueued", count=10)
    group = place.group()
    assert group.partition_assignor == strategy
    assert sorted(len(m.assignment.topic_partitions) for m in group.members) == [2, 2]
    (revoked,) = first.events("kafka_revoked")
    given_up, kept, assignments = ("2", "2", "4") if strategy == "cooperative-sticky" else ("4", "0", "6")
    assert (revoked["partitions"], revoked["owned"], revoked["lost"]) == (given_up, kept, "0")

    def generation():
        return first.events("kafka_assigned")[-1]["generation"]

    wait_until(lambda: generation() == assignments, "what it keeps it had from the first assignment on")  # eager, the second may have its part before it
    first.signal(signal.SIGTERM)
    assert first.wait() == 0
    assert generation() == assignments
    place.topics.replies(200)
    wait_until(lambda: place.lag() == 0, "everything committed")

    records = place.topics.all(place.topics.replies_topic)
    assert {json.loads(r.value())["status"] for r in records} == {"ok"}
    assert sim.stats()["requests"] == 200, "a reply that is repeated is repeated from the store"
    for session in {s for _, s in jobs}:
        order = list(dict.fromkeys(job_of(r) for r in records if r.key() == session.encode()))
        assert order == [job for job, s in jobs if s == session]


def test_a_killed_worker_loses_nothing_and_what_is_stored_is_not_paid_again(stage, place, redis_io):
    """One slow call holds back what its partition may commit, so that the heir is given jobs whose replies are stored."""
    redis, sim = stage.redis(), stage.simulator("--latency", "200", "--jitter", "lognormal")
    settings = {**place.settings, "worker.redis_io": redis_io, "worker.threads": "8", "kafka.session.timeout.ms": "6000", "redis.lease_ms": "3000"}
    victim = stage.worker(redis, sim, name="victim", **settings)
    questions = {f"{session}-{turn}": f"question {session}-{turn}" for turn in range(5) for session in range(12)}
    questions["0-0"] += " [[fault:hold times=1]]"
    for job, question in questions.items():
        place.topics.send({"id": job, "message": question}, key=f"s{job.split('-')[0]}")
    (slow,) = place.topics.read(place.topics.jobs, 1, key="s0")
    victim.wait_event("reply_enqueued", count=3, partition=slow.partition())
    victim.wait_event("reply_enqueued", count=20)
    victim.signal(signal.SIGKILL)
    victim.wait()
    stored = [job for job in questions if state(redis, place, job) == "ok"]
    heir = stage.worker(redis, sim, name="heir", ready=False, **settings)
    replies = place.topics.replies(60)

    assert {r["status"] for r in replies.values()} == {"ok"}
    asked = sim.get("/sim/messages")
    assert 20 <= len(stored) < 60 and {asked[questions[job]]["requests"] for job in stored} == {1}
    assert sim.stats()["requests"] <= 60 + 8, "only what was in flight at the kill may be asked twice"
    wait_until(lambda: heir.events("reply_from_store") or heir.metric("jobs_done_before_total") > 0, "they were given to the heir")
    for session in range(12):
        in_order = [f"{session}-{turn}" for turn in range(5)]
        assert history(redis, place, session) == in_order
        assert all(f"[messages={2 * n + 1}]" in replies[job]["message"]["content"] for n, job in enumerate(in_order))
    wait_until(lambda: place.lag() == 0, "everything committed")


def state(redis, place, job: str) -> str | None:
    return redis.client.hget(f"{place.prefix}:{{s{job.split('-')[0]}}}:job:{job}", "state")


def history(redis, place, session: int) -> list[str]:
    """The jobs whose turns a session holds, oldest first."""
    return [json.loads(turn)["job"] for turn in redis.client.lrange(f"{place.prefix}:{{s{session}}}:history", 0, -1)]


def test_a_second_term_in_the_middle_loses_nothing(stage, place, redis_io):
    redis, sim = stage.redis(), stage.simulator()
    settings = {**place.settings, "worker.redis_io": redis_io, "worker.threads": "4", "kafka.session.timeout.ms": "6000", "redis.lease_ms": "3000"}
    hasty = stage.worker(redis, sim, name="hasty", **settings)

    def send(kind, sessions, fault=""):
        for session in sessions:
            place.topics.send({"id": f"{kind}-{session}", "message": f"{kind} question {session}{fault}"}, key=f"s{session}")

    send("early", range(8))
    place.topics.replies(8)
    wait_until(lambda: hasty.metric("jobs_alive") == 0, "all acknowledged")
    send("running", range(3), " [[fault:hold times=1]]")
    send("waiting", range(3))
    wait_until(lambda: sim.stats()["in_flight"] == 3 and hasty.metric("jobs_alive") == 6, "three running, three waiting behind them")
    send("beside", range(3, 8))
    place.topics.replies(8 + 5)
    jobs = {json.loads(r.value())["id"]: r for r in place.topics.all(place.topics.jobs)}
    held_from = {jobs[f"running-{n}"].partition(): jobs[f"running-{n}"].offset() for n in (2, 1, 0)}
    left = {job for job, r in jobs.items() if r.offset() >= held_from.get(r.partition(), r.offset() + 1)}
    assert {job.split("-")[0] for job in left} == {"running", "waiting", "beside"}
    wait_until(lambda: place.lag() == len(left), "all committed that isn't behind a running one")
    hasty.signal(signal.SIGTERM)
    hasty.wait_event("drain_started")
    hasty.signal(signal.SIGTERM)
    assert hasty.wait() == 75
    assert place.lag() == len(left)

    heir = stage.worker(redis, sim, name="heir", ready=False, **settings)
    wait_until(lambda: place.lag() == 0, "everything committed")
    replies = [json.loads(r.value()) for r in place.topics.all(place.topics.replies_topic)]
    assert {r["status"] for r in replies} == {"ok"} and {r["job"] for r in replies} == set(jobs)
    assert heir.metric("jobs_received_total") + heir.metric("jobs_done_before_total") == len(left)
    assert {n for job, n in Counter(r["job"] for r in replies).items() if job not in left} == {1}, "what was committed isn't answered again"
    assert sim.stats()["requests"] == len(jobs) + 3, "only what was running is asked again"


def test_a_partition_that_left_while_paused_is_read_when_it_comes_back(stage, place):
    """librdkafka keeps a pause over revoke and assignment; the worker must not. Here nothing of the jobs is given back before the
    partitions go, which would end the pauses: the worker itself was stopped, and finds that another has them."""
    redis, sim = stage.redis(), stage.simulator()
    settings = {**place.settings, "kafka.session.timeout.ms": "6000", "kafka.heartbeat.interval.ms": "500", "worker.buffered_jobs_max": "64"}
    first = stage.worker(redis, sim, name="first", **settings)
    sim.signal(signal.SIGSTOP)
    for n in range(48):  # of one session in each partition, more than its share of the buffer, and less than the buffer
        place.topics.producer.produce(place.topics.jobs, json.dumps({"id": f"line{n}", "message": "hi"}), key=f"hot{n % 4}", partition=n % 4)
    place.topics.flush()
    wait_until(lambda: first.metric("partitions_paused") == 4, "all paused")
    first.signal(signal.SIGSTOP)
    second = stage.worker(redis, sim, name="second", **settings)
    wait_until(lambda: second.metric("partitions_assigned") == 4, "the stopped worker is put out of the group")
    first.signal(signal.SIGCONT)
    first.wait_event("kafka_revoked", lost=1)
    second.signal(signal.SIGTERM)
    sim.signal(signal.SIGCONT)
    assert second.wait() == 0
    wait_until(lambda: first.metric("partitions_assigned") == 4, "all back")
    for n in range(40):
        place.topics.send({"id": f"j{n}", "message": "hi"}, key=f"s{n}")
    assert len({r.partition() for r in place.topics.all(place.topics.jobs)}) == 4
    wait_until(lambda: place.lag() == 0, "everything read and committed")
    assert set(place.topics.replies(88)) == {f"line{n}" for n in range(48)} | {f"j{n}" for n in range(40)}


class Neighbour:
    """Another member of a worker's group, a plain client that polls as long as it is told to."""

    def __init__(self, place, **more):
        self.consumer = Consumer({"bootstrap.servers": place.kafka.bootstrap, "group.id": place.prefix, "enable.auto.commit": False, "session.timeout.ms": 6000,
                                  "partition.assignment.strategy": "cooperative-sticky", "log_level": 0, **more})
        self.consumer.subscribe([place.topics.jobs])

    def poll_until(self, check, what):
        def look():
            self.consumer.poll(0.05)
            return check()
        return wait_until(look, what)

    def partitions(self):
        return {p.partition for p in self.consumer.assignment()}


@pytest.mark.parametrize("hold", [signal.SIGTSTP, signal.SIGTERM])
def test_a_worker_that_takes_no_records_stays_in_its_group(stage, place, hold):
    """Held, or draining: it polls. Its neighbour, which has the same time to do so and doesn't, is put out of the group."""
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **place.settings, **{"kafka.session.timeout.ms": "6000", "kafka.heartbeat.interval.ms": "500", "kafka.max.poll.interval.ms": "6000"})
    place.topics.send({"id": "long", "message": "hi [[fault:stall]]"}, key="s")
    wait_until(lambda: sim.stats()["in_flight"] == 1, "a job under way, so that a drain waits")
    neighbour = Neighbour(place, **{"max.poll.interval.ms": 6000})
    try:
        neighbour.poll_until(lambda: len(neighbour.partitions()) == 2 and worker.metric("partitions_assigned") == 2, "half of the partitions each")
        worker.signal(hold)
        wait_until(lambda: worker.metric("partitions_paused") >= 2, "nothing is taken")
        wait_until(lambda: worker.metric("partitions_assigned") == 4, "what the neighbour had")
        (member,) = place.group().members
        assert len(member.assignment.topic_partitions) == 4
    finally:
        neighbour.consumer.close()
        worker.signal(signal.SIGTERM)
        worker.signal(signal.SIGTERM)


def test_what_ends_after_its_partition_went_is_not_committed(stage, place):
    """Not by the worker, which is a member still and commits what it has."""
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **place.settings, **{"kafka.heartbeat.interval.ms": "500", "worker.revoke_drain_ms": "0"})
    sim.signal(signal.SIGSTOP)
    for n in range(40):
        place.topics.send({"id": f"j{n}", "message": "hi"}, key=f"s{n}")
    jobs = {job["id"]: record.partition() for record in place.topics.all(place.topics.jobs) for job in [json.loads(record.value())]}
    assert set(jobs.values()) == set(range(4))
    wait_until(lambda: worker.metric("jobs_alive") == 40 == worker.metric("threads_busy"), "each with a thread")
    neighbour = Neighbour(place)
    try:
        neighbour.poll_until(lambda: len(neighbour.partitions()) == 2 and worker.metric("partitions_assigned") == 2, "half of the partitions each")
        gone = neighbour.partitions()
        sim.signal(signal.SIGCONT)
        kept = [job for job, partition in jobs.items() if partition not in gone]
        neighbour.poll_until(lambda: place.lag() == len(jobs) - len(kept), "what is kept is committed")
        wait_until(lambda: worker.metric("jobs_alive") == 0, "the others have ended, too")
        sent = [f"later{n}" for n in range(40)]
        for job in sent:
            place.topics.send({"id": job, "message": "hi"}, key=job)
        later = [r.partition() for r in place.topics.all(place.topics.jobs) if json.loads(r.value())["id"] in sent]
        behind = len(jobs) - len(kept) + sum(partition in gone for partition in later)
        assert behind < len(jobs) - len(kept) + len(later)
        neighbour.poll_until(lambda: place.lag() == behind, "a later commit")
        assert worker.metric("partitions_assigned") == 2
    finally:
        neighbour.consumer.close()


class Swallower:
    """A way to a broker on which requests of one kind never arrive."""

    def __init__(self, port: int, api_key: int):
        self.port, self.api_key, self.swallowed = port, api_key, threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            try:
                broker = socket.create_connection(("127.0.0.1", self.port))
            except OSError:  # not there yet, as for whoever asks it directly
                client.close()
                continue
            threading.Thread(target=self.requests, args=(client, broker), daemon=True).start()
            threading.Thread(target=self.answers, args=(broker, client), daemon=True).start()

    def requests(self, client, broker):
        source = client.makefile("rb")
        while (size := source.read(4)) and (body := source.read(int.from_bytes(size, "big"))):
            if int.from_bytes(body[:2], "big") == self.api_key:
                self.swallowed.set()
            else:
                broker.sendall(size + body)
        broker.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def answers(broker, client):
        while part := broker.recv(65536):
            client.sendall(part)
        client.close()


def test_a_worker_that_is_told_to_end_while_it_joins_ends_in_order(stage):
    """librdkafka before 2.3.0 aborts where such a consumer is destroyed."""
    port, direct = free_port(), free_port()
    front = Swallower(port, api_key=14)  # SyncGroup: joined, and never given anything
    broker = stage.kafka(bootstrap=f"127.0.0.1:{direct}", **{
        "listeners": f"PLAINTEXT://127.0.0.1:{port},DIRECT://127.0.0.1:{direct},CONTROLLER://127.0.0.1:{(controller := free_port())}",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}", "inter.broker.listener.name": "DIRECT",
        "advertised.listeners": f"PLAINTEXT://{front.address},DIRECT://127.0.0.1:{direct}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,DIRECT:PLAINTEXT,CONTROLLER:PLAINTEXT"})
    broker.create_topics("chat.jobs", "chat.replies", "chat.dead")
    worker = stage.worker(stage.redis(), stage.simulator(), bootstrap=front.address, ready=False, **{"worker.startup_wait_ms": "60000"})  # the broker's other listener may come later
    assert front.swallowed.wait(LIMIT_S)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, worker.text()[-1000:]
    assert worker.events("kafka_assigned") == []


def test_of_two_workers_with_one_instance_id_the_older_is_fenced(stage, place):
    redis, sim = stage.redis(), stage.simulator("--faults", "hold")
    settings = {**place.settings, "kafka.group.instance.id": "the-one", "kafka.heartbeat.interval.ms": "500", "worker.threads": "4"}
    older = stage.worker(redis, sim, name="older", **settings)
    for n in range(12):
        place.topics.send({"id": f"early-{n}", "message": f"question {n}"}, key=f"s{n}")
    sim.wait_held(4)
    newer = stage.worker(redis, sim, name="newer", **settings)
    older.wait_event("intake_failed")
    wait_until(lambda: older.get("/readyz")[0] == 503, "not ready once it is fenced, while its calls end")
    sim.faults("")
    sim.release()

    assert older.wait() == 78
    (said,) = older.events("intake_failed", level="error")
    assert said["code"] == "FENCED_INSTANCE_ID" and 'kafka.group.instance.id, "the-one"; give each its own' in said["error"]
    assert f"chat-worker: {said['error']}" in older.text().splitlines()
    assert len(older.events("commit_refused")) <= 2 * 4, "it doesn't go on committing"
    place.topics.send({"id": "late", "message": "question"}, key="s0")
    assert {r["status"] for r in place.topics.replies(13).values()} == {"ok"}
    newer.wait_event("reply_enqueued", job="late")
    wait_until(lambda: place.lag() == 0, "everything committed")
    assert newer.get("/healthz")[0] == 200 and [m.group_instance_id for m in place.group().members] == ["the-one"]


def test_a_dead_letter_is_replayed_once_however_often_replay_runs(stage, place):
    sim = stage.simulator()
    worker = stage.worker(stage.redis(), sim, **place.settings)
    place.topics.send({"id": "broke", "message": "hi [[fault:billing times=1]]"}, key="s")
    assert place.topics.replies(1)["broke"]["status"] == "error"
    place.topics.read(place.topics.dead, 1)

    replay = ["replay", "--topic", place.topics.dead]
    stage.producer(worker, *replay, check=0)
    assert len(place.topics.all(place.topics.jobs)) == 1, "without --execute nothing is sent"
    stage.producer(worker, *replay, "--execute", check=0)
    stage.producer(worker, *replay, "--execute", check=0)

    replies = [json.loads(r.value()) for r in place.topics.read(place.topics.replies_topic, 2)]
    assert [r["status"] for r in replies] == ["error", "ok"]
    wait_until(lambda: worker.metric("jobs_alive") == 0, "acknowledged")
    assert Counter(r.key() for r in committed(place, place.topics.jobs)) == {b"s": 2}
    assert sim.stats()["requests"] == 2


def test_a_dead_letter_that_a_broker_refuses_is_passed_over_and_named_later(stage, place):
    """Of a batch of which one is beyond the topic's limit; then that one alone, to where it fits."""
    small = f"{place.prefix}.small"
    place.kafka.create_topics(small, partitions=1, **{"max.message.bytes": "3000"})
    worker = stage.worker(stage.redis(), stage.simulator(), **place.settings)
    headers = [("__dlq.errors.topic", small.encode()), ("__dlq.errors.partition", b"0"), ("__dlq.errors.offset", b"1")]
    for n, size in enumerate([10, 10, 10_000, 10]):
        place.topics.send(json.dumps({"id": f"j{n}", "message": "x" * size}), key="s", topic=place.topics.dead, headers=headers)
    (large,) = [r for r in place.topics.read(place.topics.dead, 4) if len(r.value()) > 5000]
    replay = ["replay", "--topic", place.topics.dead, "--execute"]
    done = stage.producer(worker, *replay, check=1)
    where = f"{place.topics.dead}-{large.partition()}-{large.offset()}"
    assert f"not sent {where}: {small} takes it not" in done.stdout and "3 letters sent back, 1 not sent" in done.stdout and "max.message.bytes" in done.stdout, done.stdout + done.stderr
    assert [json.loads(r.value())["id"] for r in committed(place, small)] == ["j0", "j1", "j3"]
    assert "0 letters sent back, 0 not sent" in stage.producer(worker, *replay, check=0).stdout
    assert "1 letters sent back" in stage.producer(worker, *replay, "--letter", where, "--to", place.topics.jobs, check=0).stdout
    assert place.topics.reply_of("j2")["status"] == "ok"


def test_a_topic_with_the_brokers_time_needs_none_of_the_producers(stage, place):
    """LogAppendTime: whatever the producer wrote, the record's timestamp is when the broker took it. CreateTime is the producer's word."""
    own = f"{place.prefix}.appended"
    place.kafka.create_topics(own, **{"message.timestamp.type": "LogAppendTime"})
    wait_until(lambda: own in place.kafka.admin.list_topics(timeout=10).topics, "the topic known")
    seconds = int(time.time())
    for n, topic in enumerate([own, place.topics.jobs]):
        worker = stage.worker(stage.redis(), stage.simulator(), name=f"worker-{n}", **{**place.settings, "worker.jobs_topic": topic, "kafka.group.id": f"{place.prefix}-{n}"})
        place.topics.producer.produce(topic, value=json.dumps({"id": f"j{n}", "message": "hi", "deadline_ms": 600_000}), key="s", timestamp=seconds)
        place.topics.flush()
        reply = place.topics.reply_of(f"j{n}")
        assert (reply["status"], worker.metric("odd_timestamps_total")) == (("ok", 0) if topic == own else ("error", 1))
    assert "looks like seconds" in reply["error"]["message"]


def committed(place, topic):
    """What a consumer sees that reads only committed transactions, up to the end of each partition."""
    consumer = Consumer({"bootstrap.servers": place.kafka.bootstrap, "group.id": f"{place.prefix}-look", "enable.partition.eof": True,
                         "isolation.level": "read_committed", "enable.auto.commit": False, "log_level": 0})
    try:
        partitions = consumer.list_topics(topic, LIMIT_S).topics[topic].partitions
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
        found, ended = [], set()

        def all_ended():
            record = consumer.poll(0.2)
            if record is not None and record.error():
                ended.add(record.partition())
            elif record is not None:
                found.append(record)
            return len(ended) == len(partitions)

        wait_until(all_ended, "the end of each partition")
        return found
    finally:
        consumer.close()


def test_ten_megabytes_are_a_dead_letter_and_the_neighbours_are_answered(stage, place):
    worker = stage.worker(stage.redis(), stage.simulator(), **place.settings, **{"kafka.message.max.bytes": "20000000"})
    place.topics.send({"id": "before", "message": "a"}, key="s")
    big = json.dumps({"id": "big", "message": "x" * 10_000_000}).encode()
    place.topics.send(big, key="s")
    place.topics.send({"id": "after", "message": "b"}, key="s")
    replies = [json.loads(r.value()) for r in place.topics.read(place.topics.replies_topic, 3)]
    assert sorted(r["status"] for r in replies) == ["error", "ok", "ok"]
    (bad,) = [r for r in replies if r["status"] == "error"]
    assert bad["error"]["code"] == "value_too_large"
    (dead_letter,) = place.topics.read(place.topics.dead, 1)
    assert dead_letter.value() == big and "chat.value.omitted" not in dict(dead_letter.headers()), "its topic has room for it"
    assert worker.get("/healthz")[0] == 200


def test_one_reply_too_large_for_its_topic_costs_its_batch_nothing(stage, place):
    """The broker refuses the whole batch; only the culprit becomes an error, and each session's replies keep their order."""
    place.topics.replies_topic = f"{place.prefix}.small"
    place.kafka.create_topics(place.topics.replies_topic, partitions=1, **{"max.message.bytes": "2000"})
    wait_until(lambda: place.kafka.admin.list_topics(place.topics.replies_topic, 10).topics[place.topics.replies_topic].error is None, "the topic")
    sim = stage.simulator()
    worker = stage.worker(stage.redis(), sim, **{**place.settings, "worker.replies_topic": place.topics.replies_topic, "worker.threads": "128", "kafka.linger.ms": "1000"})
    sim.signal(signal.SIGSTOP)
    sent = {"large": "s"}
    place.topics.send({"id": "large", "message": "x" * 5000}, key="s")
    for n in range(100):
        place.topics.send({"id": f"j{n}", "message": "hi"}, key=f"s{n % 80}")
        sent[f"j{n}"] = f"s{n % 80}"
    place.topics.send({"id": "after", "message": "a"}, key="s")
    sent["after"] = "s"
    wait_until(lambda: worker.metric("jobs_alive") == 102, "all held by the model")
    sim.signal(signal.SIGCONT)
    place.topics.replies(102)
    wait_until(lambda: place.lag() == 0 and worker.metric("jobs_alive") == 0, "everything committed")

    records = place.topics.all(place.topics.replies_topic)
    assert [job_of(r) for r in records if json.loads(r.value())["status"] != "ok"] == ["large"] and len(records) == 102
    for session in set(sent.values()):
        assert [job_of(r) for r in records if r.key() == session.encode()] == [job for job, s in sent.items() if s == session]
    (dead_letter,) = place.topics.all(place.topics.dead)
    assert json.loads(dead_letter.value())["id"] == "large" and dict(dead_letter.headers())["chat.error.code"] == b"reply_refused"
    assert worker.metric("publish_failures_total") == 1 and worker.events("batch_refused")
    place.topics.send({"id": "later", "message": "b"}, key="s")
    assert place.topics.replies(103)["later"]["status"] == "ok"


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_a_reply_whose_own_topic_is_missing_goes_to_the_usual_one(stage, place, delivery):
    """It is allowed, but nobody made it: the answer is paid, so it is worth having where replies usually go."""
    worker = stage.worker(stage.redis(), stage.simulator(), **place.settings, **{
        "worker.delivery": delivery, "worker.reply_topics_allowed": "nobody.made.this", "kafka.topic.metadata.propagation.max.ms": "500",
        "kafka.topic.metadata.refresh.interval.ms": "300"})
    for n in range(3):
        place.topics.send({"id": f"own{n}", "message": "hi"}, key="s", headers=[("kafka_replyTopic", b"nobody.made.this")])
    place.topics.send({"id": "usual", "message": "hi"}, key="s")
    assert {r["status"] for r in place.topics.replies(4).values()} == {"ok"}
    wait_until(lambda: place.lag() == 0 and worker.metric("jobs_alive") == 0, "everything committed")
    assert {e["job"] for e in worker.events("reply_topic_unusable", level="warn")} == {"own0", "own1", "own2"}
    assert worker.metric("publish_failures_total") == 0 and place.topics.all(place.topics.dead) == []


def test_a_topic_that_is_missing_is_named(stage, place):
    settings = {**place.settings, "worker.jobs_topic": "nobody.made.this"}
    worker = stage.worker(stage.redis(), stage.simulator(), ready=False, **settings)
    assert worker.wait() == 69
    (line,) = [line for line in worker.text().splitlines() if line.startswith("chat-worker:")]
    assert "nobody.made.this" in line and place.kafka.bootstrap in line


def test_a_broker_that_allows_little_metadata_holds_the_intake_and_loses_nothing(stage):
    """Every other of 400 jobs is slow: more than 70 characters can tell. Less and less is said until the broker takes it."""
    place = Place(stage.kafka(**{"offset.metadata.max.bytes": "70"}), "little", partitions=1)
    sim = stage.simulator()
    worker = stage.worker(stage.redis(), sim, **place.settings, **{"worker.threads": "256"})
    for n in range(400):
        slow = "[[fault:hold]] " if n % 2 == 0 else ""
        place.topics.producer.produce(place.topics.jobs, value=json.dumps({"id": f"j{n}", "message": slow + "hi"}), key=f"s{n}")
    place.topics.flush()
    (refused, *_) = worker.wait_event("commit_refused")
    assert "metadata" in refused["error"].lower()
    worker.wait_event("completed_set_full", partition="0")
    wait_until(lambda: worker.metric("partitions_paused") == worker.metric("partitions_set_full") == 1, "the intake held")
    for n in range(20):
        place.topics.send({"id": f"late{n}", "message": "hi"}, key=f"s{n}")
    released = 0

    def all_answered():  # the intake may have been held before it had all the slow ones
        nonlocal released
        released += sim.release()
        return worker.metric("jobs_ok_total") == 420

    wait_until(all_answered, "all answered")
    assert released == 200
    assert {r["status"] for r in place.topics.replies(420).values()} == {"ok"}
    worker.wait_event("completed_set_fits", partition="0")
    wait_until(lambda: place.lag() == 0, "everything committed")
    assert sim.stats()["requests"] == 420


def test_what_runs_when_a_partition_goes_may_end_where_it_runs(stage, place, redis_io):
    """Else its answer is stored, and the new owner publishes it: paid once too, but later."""
    redis, sim = stage.redis(), stage.simulator("--faults", "hold")
    settings = {**place.settings, "worker.redis_io": redis_io, "worker.revoke_drain_ms": "60000", "kafka.max.poll.interval.ms": "600000"}
    first = stage.worker(redis, sim, name="first", **settings)
    for n in range(16):
        place.topics.send({"id": f"j{n}", "message": "hi"}, key=f"s{n}")
    sim.wait_held(16)
    second = stage.worker(redis, sim, name="second", ready=False, **settings)
    wait_until(lambda: first.metric("rebalances_total") >= 2, "the first one told that two partitions go")
    sim.release()
    second.wait_event("kafka_assigned", partitions="2")
    assert {r["status"] for r in place.topics.replies(16).values()} == {"ok"}
    wait_until(lambda: place.lag() == 0, "everything committed")
    assert first.metric("jobs_ok_total") == 16 and second.metric("jobs_received_total") == 0
    assert len(place.topics.all(place.topics.replies_topic)) == 16
