"""Jobs in, replies out: the main story, in both forms of Redis I/O."""
import json
import signal
from collections import Counter

import pytest
from parts import Topics, job_of, wait_until


def test_a_job_is_answered_and_the_next_one_sees_the_history(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **{"worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)

    topics.send({"id": "one", "message": "hello"}, key="s1")
    topics.send({"id": "two", "message": "again", "metadata": {"tenant": "a", "n": [1, None]}}, key="s1")
    replies = topics.replies(2)

    assert replies["one"]["status"] == "ok" and replies["one"]["session"] == "s1"
    assert replies["one"]["message"]["content"].startswith("echo: hello [messages=1]")
    assert replies["two"]["message"]["content"].startswith("echo: again [messages=3]"), "the first turn was in the prompt"
    assert replies["two"]["metadata"] == {"tenant": "a", "n": [1, None]}
    wait_until(lambda: worker.metric("jobs_alive") == 0, "both acknowledged")


def test_a_session_is_answered_in_order_and_sessions_side_by_side(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator("--latency", "30")
    worker = stage.worker(redis, sim, **{"worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    for turn in range(20):
        for session in "abc":
            topics.send({"id": f"{session}{turn}", "message": f"turn {turn}"}, key=session)
    replies = topics.read("chat.replies", 60)
    for session in "abc":
        mine = [json.loads(r.value()) for r in replies if r.key() == session.encode()]
        assert [m["job"] for m in mine] == [f"{session}{turn}" for turn in range(20)]
        assert [m["message"]["content"].split("[messages=")[1][:2].strip("]") for m in mine] == [str(2 * n + 1) for n in range(20)]


def test_headers_travel_and_a_reply_topic_must_be_allowed(stage):
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim)
    topics = Topics(worker.bootstrap)
    headers = [("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("kafka_correlationId", b"\x00\x01"),
               ("kafka_replyTopic", b"somewhere.else")]
    topics.send({"id": "h", "message": "hi"}, key="s", headers=headers)
    (reply,) = topics.read("chat.replies", 1)
    got = dict(reply.headers())
    assert got["traceparent"] == headers[0][1] and got["kafka_correlationId"] == b"\x00\x01"
    worker.wait_event("reply_topic_refused", job="h")


def test_a_stored_reply_is_not_asked_for_again(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **{"worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "same", "message": "once"}, key="s")
    topics.replies(1)
    topics.send({"id": "same", "message": "once"}, key="s")
    first, second = topics.read("chat.replies", 2)
    assert first.value() == second.value()
    assert sim.stats()["requests"] == 1
    topics.send({"id": "same", "message": "something else"}, key="s")
    (dead,) = topics.read("chat.dead", 1)
    assert dict(dead.headers())["chat.error.code"] == b"id_conflict"


def test_a_worker_killed_in_the_middle_loses_nothing_and_pays_once(stage, redis_io):
    """kill -9 while four of 40 jobs are at the model and the others are answered; another worker finishes."""
    redis, sim, kafka = stage.redis(), stage.simulator(), stage.kafka_mock(chat_jobs=4, chat_replies=4, chat_dead=4)
    topics = Topics(kafka.bootstrap)
    options = {"worker.redis_io": redis_io, "kafka.session.timeout.ms": "6000", "worker.threads": "8", "redis.lease_ms": "3000"}
    victim = stage.worker(redis, sim, name="victim", bootstrap=kafka.bootstrap, **options)
    jobs = {f"job-{n}": f"question {n}" + (" [[fault:hold times=1]]" if n % 10 == 0 else "") for n in range(40)}
    for job, message in jobs.items():
        topics.send({"id": job, "message": message}, key=f"s-{job}")
    assert len(topics.replies(36)) == 36
    sim.wait_held(4)
    victim.signal(signal.SIGKILL)
    victim.wait()
    stage.worker(redis, sim, name="heir", bootstrap=kafka.bootstrap, ready=False, **options)
    replies = topics.replies(40)
    assert {r["status"] for r in replies.values()} == {"ok"} and set(replies) == set(jobs)
    asked = sim.get("/sim/messages")
    assert {job: asked[message]["requests"] for job, message in jobs.items()} == {job: 2 if "hold" in message else 1 for job, message in jobs.items()}
    said = {(job_of(r), r.value()) for r in topics.all("chat.replies")}
    assert set(Counter(job for job, _ in said).values()) == {1}, "whatever is told again is told in the same words"


def test_a_reply_that_was_stored_but_not_published_is_not_paid_for_again(stage, redis_io):
    """The record comes again after its job was answered: as after a kill between finish and commit."""
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **{"worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    for _ in range(5):
        topics.send({"id": "same", "message": "once"}, key="s")
    topics.send({"id": "next", "message": "and then"}, key="s")
    replies = topics.read("chat.replies", 6)
    assert [job_of(r) for r in replies] == ["same"] * 5 + ["next"]
    assert sim.stats()["requests"] == 2
    assert "[messages=3]" in json.loads(replies[-1].value())["message"]["content"], "the history has the turn once"


@pytest.mark.parametrize("mode", ["jobs", "text", "records"])
def test_a_byte_order_mark_reaches_no_model(stage, mode, tmp_path):
    """As editors put it before a file, and some clients before each value."""
    worker = stage.worker(stage.redis(), stage.simulator())
    topics, file = Topics(worker.bootstrap), tmp_path / "in"
    if mode == "records":
        topics.send(b'\xef\xbb\xbf{"id":"a","message":"hi"}', key="s")
        topics.send(b'\xef\xbb\xbf{"id":"b","message":"hi"}', key="t")
    elif mode == "jobs":
        file.write_bytes(b'\xef\xbb\xbf{"id":"a","message":"hi"}\n{"id":"b","message":"hi"}\n')
        stage.producer(worker, "submit", "--file", str(file), check=0)
    else:
        file.write_bytes(b"\xef\xbb\xbfhi\nhi\n")
        stage.producer(worker, "submit", "--text", "--file", str(file), check=0)
    replies = topics.replies(2).values()
    assert [reply["message"]["content"].split("[")[0].strip() for reply in replies] == ["echo: hi"] * 2


HEADERS = {"HTTP-Referer": "https://app.test/?a=b;c", "X-Title": "Müllers app", "X-Empty": "", "User-Agent": "mine/1"}


@pytest.mark.parametrize("way", ["file", "environment", "-X"])
def test_a_provider_is_sent_its_headers_with_each_call(stage, way):
    sim, text, file = stage.simulator(), json.dumps(HEADERS), stage.folder / "headers"
    file.write_text(json.dumps(HEADERS, indent=1))
    given = {"file": {"provider.main.headers_file": str(file)}, "environment": {"env": {"CHATW__PROVIDER__MAIN__HEADERS": text}}, "-X": {"provider.main.headers": text}}[way]
    worker = stage.worker(stage.redis(), sim, **{"provider.main.api_key": "k", **given})
    topics = Topics(worker.bootstrap)
    for n, stream in enumerate((False, True)):
        topics.send({"id": f"j{n}", "message": "hi", "stream": stream}, key="s")
        assert topics.reply_of(f"j{n}")["status"] == "ok"
    for request in sim.get("/sim/requests?last=2"):
        headers = {name.lower(): value for name, value in request["headers"].items()}
        assert {name: headers.get(name.lower()) for name in HEADERS} == HEADERS
        assert (headers["content-type"], headers["authorization"]) == ("application/json", "Bearer k")
    assert "app.test" not in worker.text() and "Müllers" not in worker.text()
