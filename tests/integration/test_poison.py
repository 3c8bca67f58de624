"""A job that kills the process takes nobody with it: neither the service, nor the jobs that ran beside it."""
import json
import signal

from parts import BIN, job_of, wait_until

CRASHES = 5


def most_at_once(call, others):
    """How many of the others were under way at some moment of this call's."""
    beside = [other for other in others if other["start_ms"] < call["end_ms"] and call["start_ms"] < other["end_ms"]]
    moments = [max(call["start_ms"], other["start_ms"]) for other in beside]
    return max((sum(other["start_ms"] <= moment < other["end_ms"] for other in beside) for moment in moments), default=0)


def test_one_poison_job_among_64_innocents_ends_as_the_only_dead_letter(stage, place, redis_io):
    """The worker dies as soon as the poison is at the model, each time, whoever runs beside it. The model's journal says who did."""
    journal = stage.folder / "journal.ndjson"
    redis, sim = stage.redis(), stage.simulator("--latency", "700", "--journal", journal)
    settings = {**place.settings, "worker.redis_io": redis_io, "worker.threads": "65", "kafka.group.instance.id": "pod-0"}
    jobs = [f"j{n}" for n in range(64)]
    jobs.insert(20, "poison")
    for job in jobs:
        message = "[[fault:stall]]" if job == "poison" else "hi"
        place.topics.producer.produce(place.topics.jobs, value=json.dumps({"id": job, "message": message}), key=job)
    place.topics.flush()

    sim.faults("slow ms=60000")  # so that none of them has ended when the poison comes
    for crash in range(1, CRASHES + 1):
        worker = stage.worker(redis, sim, name=f"life-{crash}", ready=False, **settings)
        wait_until(lambda: sim.stats()["faults"].get("stall", 0) == crash, f"the poison at the model for the {crash}. time")
        worker.signal(signal.SIGKILL)
        worker.wait()
        sim.faults("")
    worker = stage.worker(redis, sim, name="last-life", **settings)
    replies = place.topics.replies(65)
    wait_until(lambda: place.lag() == 0, "everything committed")

    assert {job for job, reply in replies.items() if reply["status"] != "ok"} == {"poison"}
    assert replies["poison"]["error"]["code"] == "crashed_alone"
    (dead_letter,) = place.topics.all(place.topics.dead)
    assert json.loads(dead_letter.value())["id"] == "poison"
    assert sim.stats()["faults"]["stall"] == CRASHES
    calls = [json.loads(line) for line in journal.read_text().splitlines()]
    others, poison = [call for call in calls if "stall" not in call["message"]], [call for call in calls if "stall" in call["message"]]
    beside = [most_at_once(call, others) for call in poison]
    assert beside[0] > 8 and beside[2] <= 8 and beside[3:] == [0, 0], f"at first it runs among all, then among few, then alone: {beside}"
    for job in jobs:
        assert redis.client.llen(f"{place.prefix}:{{{job}}}:history") == (job != "poison"), job
    assert {job_of(r) for r in place.topics.all(place.topics.replies_topic)} == set(jobs)


def test_many_violent_ends_make_no_innocent_a_dead_letter(stage, place):
    """Killed by others again and again with the same jobs under way: they run fewer at a time, and end well."""
    redis, sim = stage.redis(), stage.simulator("--latency", "400")
    settings = {**place.settings, "worker.threads": "16", "kafka.group.instance.id": "pod-0"}
    for n in range(16):
        place.topics.producer.produce(place.topics.jobs, value=json.dumps({"id": f"j{n}", "message": "hi"}), key=f"s{n}")
    place.topics.flush()
    for life in range(4):
        asked = sim.stats()["requests"]
        worker = stage.worker(redis, sim, name=f"life-{life}", ready=False, **settings)
        wait_until(lambda: sim.stats()["requests"] > asked, "a job at the model")
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
    place.topics.flush()
    for life in (1, 2):
        worker = stage.worker(redis, sim, name=f"life-{life}", ready=False, env=env, **settings)
        assert worker.wait() == -signal.SIGILL
    worker = stage.worker(redis, sim, name="last-life", env=env, **settings)
    replies = place.topics.replies(31)
    wait_until(lambda: place.lag() == 0, "everything committed")
    errors = {job: reply for job, reply in replies.items() if reply["status"] != "ok"}
    assert [reply["error"]["code"] for reply in errors.values()] == ["crashed_decoding"]
    assert set(replies) - set(errors) == set(jobs) - {"poison"}
    (dead_letter,) = place.topics.all(place.topics.dead)
    headers = dict(dead_letter.headers())
    assert json.loads(dead_letter.value())["id"] == "poison" and headers["chat.error.class"] == b"permanent"
    (noted,) = worker.events("crashed_before")
    assert (noted["doing"], noted["times"]) == ("decoding", "2")
    assert (noted["partition"], noted["offset"]) == tuple(headers[f"__dlq.errors.{name}"].decode() for name in ("partition", "offset"))
