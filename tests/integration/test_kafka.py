"""What only a real broker shows: groups, limits, transactions."""
import json
import signal
from collections import Counter

from confluent_kafka import Consumer
from parts import job_of, wait_until


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


def test_a_second_worker_joins_and_the_first_leaves_and_nothing_is_lost_or_paid_twice(stage, place, redis_io):
    redis, sim = stage.redis(), stage.simulator("--latency", "60")
    settings = {**place.settings, "worker.redis_io": redis_io, "worker.threads": "4"}
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
    assert group.partition_assignor == "cooperative-sticky"
    assert sorted(len(m.assignment.topic_partitions) for m in group.members) == [2, 2]
    (revoked,) = first.events("kafka_revoked")
    assert (revoked["partitions"], revoked["owned"], revoked["lost"]) == ("2", "2", "0")
    assert first.events("kafka_assigned")[-1]["generation"] == "4", "what it keeps it had from the first grant on"
    first.signal(signal.SIGTERM)
    assert first.wait() == 0
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
    questions["0-0"] += " [[fault:slow ms=60000 times=1]]"
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
    assert heir.events("reply_from_store") or heir.metric("jobs_done_before_total") > 0, "they were given to the heir"
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
    send("running", range(3), " [[fault:slow ms=60000 times=1]]")
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
    assert hasty.wait(10) == 75
    assert place.lag() == len(left)

    heir = stage.worker(redis, sim, name="heir", ready=False, **settings)
    wait_until(lambda: place.lag() == 0, "everything committed")
    replies = [json.loads(r.value()) for r in place.topics.all(place.topics.replies_topic)]
    assert {r["status"] for r in replies} == {"ok"} and {r["job"] for r in replies} == set(jobs)
    assert heir.metric("jobs_received_total") + heir.metric("jobs_done_before_total") == len(left)
    assert {n for job, n in Counter(r["job"] for r in replies).items() if job not in left} == {1}, "what was committed isn't answered again"
    assert sim.stats()["requests"] == len(jobs) + 3, "only what was running is asked again"


def test_of_two_workers_with_one_instance_id_the_older_is_fenced(stage, place):
    redis, sim = stage.redis(), stage.simulator("--latency", "1000")
    settings = {**place.settings, "kafka.group.instance.id": "the-one", "kafka.heartbeat.interval.ms": "500", "worker.threads": "4"}
    older = stage.worker(redis, sim, name="older", **settings)
    for n in range(12):
        place.topics.send({"id": f"early-{n}", "message": f"question {n}"}, key=f"s{n}")
    wait_until(lambda: sim.stats()["in_flight"] == 4, "calls under way")
    newer = stage.worker(redis, sim, name="newer", **settings)

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
    assert Counter(r.key() for r in committed(place, place.topics.jobs, 2)) == {b"s": 2}
    assert sim.stats()["requests"] == 2


def committed(place, topic, count):
    """What a consumer sees that reads only committed transactions; looks on for a second more."""
    consumer = Consumer({"bootstrap.servers": place.kafka.bootstrap, "group.id": f"{place.prefix}-look", "auto.offset.reset": "earliest",
                         "isolation.level": "read_committed", "enable.auto.commit": False, "log_level": 0})
    consumer.subscribe([topic])
    found = []
    try:
        wait_until(lambda: found.extend(r for r in consumer.consume(10, 0.5) if not r.error()) or len(found) >= count, f"{count} committed records")
        found.extend(r for r in consumer.consume(10, 1.0) if not r.error())
    finally:
        consumer.close()
    return found


def test_ten_megabytes_are_a_dead_letter_and_the_neighbours_are_answered(stage, place):
    worker = stage.worker(stage.redis(), stage.simulator(), **place.settings, **{"kafka.message.max.bytes": "20000000"})
    place.topics.send({"id": "before", "message": "a"}, key="s")
    place.topics.send(json.dumps({"id": "big", "message": "x" * 10_000_000}), key="s")
    place.topics.send({"id": "after", "message": "b"}, key="s")
    replies = [json.loads(r.value()) for r in place.topics.read(place.topics.replies_topic, 3)]
    assert sorted(r["status"] for r in replies) == ["error", "ok", "ok"]
    (bad,) = [r for r in replies if r["status"] == "error"]
    assert bad["error"]["code"] == "value_too_large"
    (letter,) = place.topics.read(place.topics.dead, 1)
    assert len(letter.value() or b"") > 10_000_000 or "chat.value.omitted" in dict(letter.headers())
    assert worker.get("/healthz")[0] == 200


def test_a_topic_that_is_missing_is_named(stage, place):
    settings = {**place.settings, "worker.jobs_topic": "nobody.made.this"}
    worker = stage.worker(stage.redis(), stage.simulator(), ready=False, **settings)
    assert worker.wait() == 69
    (line,) = [line for line in worker.text().splitlines() if line.startswith("chat-worker:")]
    assert "nobody.made.this" in line and place.kafka.bootstrap in line
