"""What is too large: jobs for the buffer, a reply for Kafka, a prompt for the model."""
import signal
import subprocess

from parts import Topics, wait_until

BUFFER = 65536  # the least that worker.buffered_bytes_max takes


def all_paused(worker):
    return worker.metric("partitions_paused") == worker.metric("partitions_assigned") > 0


def test_the_intake_pauses_by_bytes_and_goes_on(stage):
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **{"worker.buffered_bytes_max": str(BUFFER), "worker.threads": "2"})
    topics = Topics(worker.bootstrap)
    jobs = [f"j{n}" for n in range(20)]
    sim.signal(signal.SIGSTOP)  # no job ends
    for job in jobs:
        topics.send({"id": job, "message": "x" * 10000}, key=job)
    wait_until(lambda: all_paused(worker), "a pause of every partition")
    assert BUFFER <= worker.metric("jobs_alive_bytes") < BUFFER + 25000, "the one that fills it is the last: each counts for 22,000, its record and what was read of it"
    sim.signal(signal.SIGCONT)
    replies = topics.replies(len(jobs))
    assert {r["status"] for r in replies.values()} == {"ok"}
    wait_until(lambda: worker.metric("partitions_paused") == 0, "all partitions resumed")
    assert sim.stats()["requests"] == len(jobs)


def test_a_job_larger_than_the_whole_buffer_is_let_in_alone(stage):
    redis, sim = stage.redis(), stage.simulator("--latency", "300")
    worker = stage.worker(redis, sim, **{"worker.buffered_bytes_max": str(BUFFER)})
    topics = Topics(worker.bootstrap)
    sim.signal(signal.SIGSTOP)
    topics.send({"id": "large", "message": "x" * 2 * BUFFER}, key="a")
    wait_until(lambda: all_paused(worker), "a pause of every partition")
    assert worker.metric("jobs_alive_bytes") > 2 * BUFFER
    topics.send({"id": "small", "message": "hi"}, key="b")
    sim.signal(signal.SIGCONT)
    assert {r["status"] for r in topics.replies(2).values()} == {"ok"}
    assert sim.stats()["in_flight_max"] == 1, "the small one came in when the large one was gone"


def test_a_reply_too_large_for_kafka_becomes_an_error_reply_and_a_dead_letter(stage, redis_io):
    """It was paid: in Redis the job stays ok, and its turn is in the history."""
    redis, sim = stage.redis(), stage.simulator("--faults", "")
    worker = stage.worker(redis, sim, **{"worker.redis_io": redis_io, "kafka.message.max.bytes": "3000"})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "before", "message": "hi"}, key="s")
    topics.send({"id": "large", "message": "x" * 2500 + " " + "y" * 2500}, key="s")
    topics.send({"id": "after", "message": "hi"}, key="s")
    replies = topics.replies(3)
    assert [replies[job]["status"] for job in ("before", "large", "after")] == ["ok", "error", "ok"]
    assert replies["large"]["error"]["code"] == "reply_refused"
    (dead,) = topics.read("chat.dead", 1)
    headers = dict(dead.headers())
    assert headers["chat.error.code"] == b"reply_refused" and dead.key() == b"s"
    assert dead.value() is None and "chat.value.omitted" in headers, "nor does the job itself fit"
    state = subprocess.run(["redis-cli", "-s", str(redis.socket), "hget", "chat:{s}:job:large", "state"], capture_output=True, text=True, check=True)
    assert state.stdout.strip() == "ok"
    assert replies["after"]["message"]["content"].startswith("echo: hi [messages=5]")
    wait_until(lambda: worker.metric("jobs_alive") == 0, "all acknowledged")


def words(n):
    return " ".join(["word"] * n)


def test_a_context_overflow_is_asked_once_more_without_the_older_half(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator("--ctx", "90", "--ctx-shape", "openai")
    worker = stage.worker(redis, sim, **{"worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    for n in range(5):  # each turn: ten words, and the echo's twelve
        topics.send({"id": f"j{n}", "message": words(10)}, key="s")
    replies = topics.replies(5)
    assert {r["status"] for r in replies.values()} == {"ok"}
    assert replies["j4"]["attempts"] == 1, "its own length failed, not the provider"
    refused, answered = (r["body"]["messages"] for r in sim.get("/sim/requests?last=2"))
    assert answered == refused[-len(answered):] and len(refused) == 9 and len(answered) == 5
    assert sim.stats()["overflows"] == 1 and sim.stats()["requests"] == 6


def test_a_server_that_names_its_context_gets_as_many_turns_as_fit(stage):
    """llama.cpp says how long the prompt was and what it holds: of nine turns those that don't fit are left out, no more."""
    redis, sim = stage.redis(), stage.simulator("--ctx", "150", "--ctx-shape", "llamacpp")
    topics = Topics(stage.worker(redis, sim).bootstrap)
    for n in range(10):
        topics.send({"id": f"j{n}", "message": words(10)}, key="s")
    assert {r["status"] for r in topics.replies(10).values()} == {"ok"}
    lengths = [len(r["body"]["messages"]) for r in sim.get("/sim/requests?last=20")]
    refused = [n for n, length in enumerate(lengths[:-1]) if lengths[n + 1] < length]
    assert refused and all(lengths[n + 1] > lengths[n] / 2 + 1 for n in refused), lengths


def test_a_message_that_is_too_long_by_itself_is_a_dead_letter(stage):
    redis, sim = stage.redis(), stage.simulator("--ctx", "100")
    topics = Topics(stage.worker(redis, sim).bootstrap)
    topics.send({"id": "long", "message": words(200)}, key="s")
    topics.send({"id": "short", "message": "hi"}, key="s")
    replies = topics.replies(2)
    assert replies["long"]["error"]["code"] == "context_length_exceeded" and not replies["long"]["error"]["retriable"]
    assert replies["short"]["message"]["content"].startswith("echo: hi [messages=1]"), "what failed left no turn"
    assert dict(topics.read("chat.dead", 1)[0].headers())["chat.error.code"] == b"context_length_exceeded"
    assert sim.stats()["requests"] == 2, "there was nothing to leave out"
