"""A job that kills the process takes nobody with it: neither the service, nor the jobs that ran beside it."""
import json
import signal

from parts import BIN, job_of, wait_until

CRASHES = 5


def test_one_poison_job_among_64_innocents_ends_as_the_only_dead_letter(stage, place, redis_io):
    """The worker dies as soon as the poison is at the model, each time, whoever runs beside it."""
    redis, sim = stage.redis(), stage.simulator("--latency", "700")
    settings = {**place.settings, "worker.redis_io": redis_io, "worker.threads": "65", "kafka.group.instance.id": "pod-0"}
    jobs = [f"j{n}" for n in range(64)]
    jobs.insert(20, "poison")
    for job in jobs:
        message = "[[fault:stall]]" if job == "poison" else "hi"
        place.topics.producer.produce(place.topics.jobs, value=json.dumps({"id": job, "message": message}), key=job)
    assert place.topics.producer.flush(30) == 0

    for crash in range(1, CRASHES + 1):
        worker = stage.worker(redis, sim, name=f"life-{crash}", ready=False, **settings)
        wait_until(lambda: sim.stats()["faults"].get("stall", 0) == crash, f"the poison at the model for the {crash}. time", 90)  # noqa: B023
        if crash > 3:
            assert worker.metric("threads_busy") == 1, "alone"
        worker.signal(signal.SIGKILL)
        worker.wait()
    worker = stage.worker(redis, sim, name="last-life", **settings)
    replies = place.topics.replies(65)
    wait_until(lambda: place.lag() == 0, "everything committed")

    assert {job for job, reply in replies.items() if reply["status"] != "ok"} == {"poison"}
    assert replies["poison"]["error"]["code"] == "crashed_alone"
    (letter,) = place.topics.all(place.topics.dead)
    assert json.loads(letter.value())["id"] == "poison"
    assert sim.stats()["faults"]["stall"] == CRASHES
    for job in jobs:
        assert redis.client.llen(f"{place.prefix}:{{{job}}}:history") == (job != "poison"), job
    assert {job_of(r) for r in place.topics.all(place.topics.replies_topic)} == set(jobs)


def test_many_violent_ends_make_no_innocent_a_dead_letter(stage, place):
    """Killed by others again and again with the same jobs under way: they run fewer at a time, and end well."""
    redis, sim = stage.redis(), stage.simulator("--latency", "400")
    settings = {**place.settings, "worker.threads": "16", "kafka.group.instance.id": "pod-0"}
    for n in range(16):
        place.topics.producer.produce(place.topics.jobs, value=json.dumps({"id": f"j{n}", "message": "hi"}), key=f"s{n}")
    assert place.topics.producer.flush(30) == 0
    for life in range(4):
        asked = sim.stats()["requests"]
        worker = stage.worker(redis, sim, name=f"life-{life}", ready=False, **settings)
        wait_until(lambda: sim.stats()["requests"] > asked, "a job at the model", 90)  # noqa: B023
        worker.signal(signal.SIGKILL)
        worker.wait()
    worker = stage.worker(redis, sim, name="last-life", **settings)
    assert {r["status"] for r in place.topics.replies(16).values()} == {"ok"}
    assert worker.metric("job_suspects_total") > 0
    wait_until(lambda: place.lag() == 0, "everything committed")


def test_a_record_that_kills_the_decoder_is_a_dead_letter_after_two_crashes(stage, place, tmp_path):
    """It has no claim that could tell: the crash file does, and nobody else is blamed."""
    redis, sim = stage.redis(), stage.simulator()
    settings = {**place.settings, "worker.crash_file": str(tmp_path / "crashes"), "kafka.group.instance.id": "pod-0"}
    env = {"LD_PRELOAD": str(BIN / "test/broken_client.so"), "CHAT_TEST_BREAK": "decode"}
    jobs = [f"j{n}" for n in range(30)]
    jobs.insert(10, "poison")
    for job in jobs:
        message = "DECODER-POISON" if job == "poison" else "hi"
        place.topics.producer.produce(place.topics.jobs, value=json.dumps({"id": job, "message": message}), key=job)
    assert place.topics.producer.flush(30) == 0
    for life in (1, 2):
        worker = stage.worker(redis, sim, name=f"life-{life}", ready=False, env=env, **settings)
        assert worker.wait() == -signal.SIGILL
    worker = stage.worker(redis, sim, name="last-life", env=env, **settings)
    replies = place.topics.replies(31)
    wait_until(lambda: place.lag() == 0, "everything committed")
    errors = {job: reply for job, reply in replies.items() if reply["status"] != "ok"}
    assert [reply["error"]["code"] for reply in errors.values()] == ["crashed_decoding"]
    assert set(replies) - set(errors) == set(jobs) - {"poison"}
    (letter,) = place.topics.all(place.topics.dead)
    headers = dict(letter.headers())
    assert json.loads(letter.value())["id"] == "poison" and headers["chat.error.class"] == b"permanent"
    (noted,) = worker.events("crashed_before")
    assert (noted["doing"], noted["times"]) == ("decoding", "2")
    assert (noted["partition"], noted["offset"]) == tuple(headers[f"__dlq.errors.{name}"].decode() for name in ("partition", "offset"))
