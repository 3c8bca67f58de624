"""Answers in deltas: what a reader of the deltas topic sees, and what becomes of streams that break."""
import json
import os
import subprocess

import pytest
from deltas import Reader, text
from parts import BIN, LIMIT_S, Topics, wait_until
from scripted import DONE, delta

STREAM = {"llm.stream": "always", "retry.backoff_max_ms": "50"}


def start(stage, *sim, **settings):
    redis, sim = stage.redis(), stage.simulator(*sim)
    worker = stage.worker(redis, sim, **{**STREAM, **settings})
    topics = Topics(worker.bootstrap)
    return worker, topics, sim, Reader(topics)


def test_the_deltas_in_order_are_the_answer(stage, redis_io):
    worker, topics, sim, reader = start(stage, "--tokens", "30", **{"llm.stream": "asked", "worker.redis_io": redis_io})
    topics.send({"id": "j", "message": "hello big world", "stream": True}, key="s")
    topics.send({"id": "k", "message": "not for me"}, key="t")
    replies = topics.replies(2)
    deltas = reader.last("j")
    assert text(deltas) == replies["j"]["message"]["content"] and replies["j"]["usage"]["completion_tokens"] == 30
    assert [d["seq"] for d in deltas] == list(range(len(deltas))) and deltas[0]["session"] == "s"
    assert {r.key() for r in topics.all("chat.deltas")} == {b"s"} and reader.streams("k") == {}
    bodies = [request["body"] if isinstance(request["body"], dict) else json.loads(request["body"]) for request in sim.get("/sim/requests?last=2")]
    assert sorted((body.get("stream", False), body.get("stream_options")) for body in bodies) == [(False, None), (True, {"include_usage": True})]
    assert worker.metric("deltas_dropped_total") == 0


def test_deltas_come_while_the_answer_is_written(stage):
    _, topics, sim, reader = start(stage, "--tokens", "30", "--faults", "hold n=10")
    topics.send({"id": "j", "message": "a long story"}, key="s")
    wait_until(lambda: len(text([d for stream in reader.streams("j").values() for d in stream]).split()) == 10, "the ten words that are written")
    assert sim.stats()["held"] == 1, "the model still writes"
    sim.release()
    assert text(reader.last("j")) == topics.reply_of("j")["message"]["content"]


def test_never_means_never(stage):
    worker, topics, _, reader = start(stage, **{"llm.stream": "never"})
    topics.send({"id": "j", "message": "hi", "stream": True}, key="s")
    assert topics.replies(1)["j"]["status"] == "ok"
    assert reader.streams("j") == {} and worker.metric("deltas_total") == 0


# Streams that break, each once: an end in order without [DONE], an error in it, a cut, a reset, silence.
@pytest.mark.parametrize("fault", ["no-done n=2", "stream-error n=2", "truncated n=2", "stall n=2", "not-json", "chatter"])
def test_a_stream_that_breaks_is_asked_again_and_told_apart(stage, fault):
    _worker, topics, sim, reader = start(stage, "--tokens", "6", **{"provider.main.idle_timeout_ms": "3000", "provider.main.first_token_timeout_ms": "3000"})
    topics.send({"id": "j", "message": f"hi [[fault:{fault} times=1]]"}, key="s")
    reply = topics.replies(1)["j"]
    assert (reply["status"], reply["attempts"]) == ("ok", 2) and sim.stats()["requests"] == 2
    deltas = reader.last("j")
    assert text(deltas) == reply["message"]["content"]
    streams = reader.streams("j")
    if "n=2" in fault:
        assert len(streams) == 2 and not min(streams.items())[1][-1].get("final"), "readers drop the lower epoch"
        assert len({epoch for epoch, _ in streams}) == 2


@pytest.mark.parametrize("fault", ["comments", "crlf", "split-utf8", "empty-choices", "no-usage", "length", "tool-calls", "slow ms=100"])
def test_a_strange_stream_is_read_as_what_it_says(stage, fault):
    _, topics, _, reader = start(stage, "--tokens", "6")
    topics.send({"id": "j", "message": f"hé 💚 [[fault:{fault}]]"}, key="s")
    reply = topics.replies(1)["j"]
    assert (reply["status"], reply["attempts"]) == ("ok", 1), reply
    assert text(reader.last("j")) == (reply["message"]["content"] or "")
    if fault == "no-usage":
        assert reply["usage"] == {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}, "unknown, never zero"
    if fault == "length":
        assert reply["finish_reason"] == "length"
    if fault == "tool-calls":
        (call,) = reply["message"]["tool_calls"]
        assert json.loads(call["function"]["arguments"]) is not None and reply["finish_reason"] == "tool_calls"


def test_what_another_provider_takes_over_is_a_try_of_its_own(stage):
    spare = stage.simulator("--tokens", "6")
    _, topics, _, reader = start(stage, "--tokens", "6", "--faults", "no-done n=2",
                                 **{"llm.providers": "main,spare", "provider.spare.url": spare.url, "provider.spare.model": "spare"})
    topics.send({"id": "j", "message": "hi"}, key="s")
    reply = topics.replies(1)["j"]
    assert (reply["provider"], reply["attempts"]) == ("spare", 1)
    assert text(reader.last("j")) == reply["message"]["content"]
    assert {of: bool(d[-1].get("final")) for of, d in reader.streams("j").items()} == {(1, 0): False, (1, 1): True}


def test_of_two_that_race_one_is_heard(stage):
    spare = stage.simulator("--tokens", "40", "--token-interval", "5")
    _, topics, _, reader = start(stage, "--tokens", "40", "--token-interval", "5",
                                 **{"llm.strategy": "race", "llm.providers": "main,spare", "provider.spare.url": spare.url, "provider.spare.model": "spare"})
    for n in range(10):
        topics.send({"id": f"j{n}", "message": f"question {n}"}, key=f"s{n}")
    replies = topics.replies(10)
    for job, reply in replies.items():
        assert text(reader.last(job)) == reply["message"]["content"]
        assert len(reader.streams(job)) <= 2


def test_after_a_kill_readers_can_tell_the_attempts_apart(stage):
    redis, sim = stage.redis(), stage.simulator("--tokens", "20", "--faults", "hold n=10 times=1")
    kafka = stage.kafka_mock(chat_jobs=4, chat_replies=4, chat_dead=4, chat_deltas=4)
    topics = Topics(kafka.bootstrap)
    reader = Reader(topics)
    settings = {**STREAM, "kafka.session.timeout.ms": "3000", "kafka.heartbeat.interval.ms": "300", "redis.lease_ms": "3000"}
    victim = stage.worker(redis, sim, name="victim", bootstrap=kafka.bootstrap, **settings)
    topics.send({"id": "j", "message": "a long story"}, key="s")
    wait_until(lambda: reader.streams("j"), "a delta")
    victim.signal(9)
    victim.wait()
    stage.worker(redis, sim, name="heir", bootstrap=kafka.bootstrap, ready=False, **settings)
    reply = topics.replies(1)["j"]
    assert text(reader.last("j")) == reply["message"]["content"]
    epochs = sorted(epoch for epoch, _ in reader.streams("j"))
    assert epochs == [1, 2]


def test_a_stored_reply_has_no_deltas(stage):
    _, topics, sim, reader = start(stage, "--tokens", "6")
    topics.send({"id": "j", "message": "hi"}, key="s")
    topics.replies(1)
    reader.last("j")
    pieces = len(topics.all("chat.deltas"))
    topics.send({"id": "j", "message": "hi"}, key="s")
    topics.read("chat.replies", 2)
    assert sim.stats()["requests"] == 1
    topics.send({"id": "next", "message": "hi"}, key="s")
    reader.last("next")  # on the same partition: what was sent before it is there
    assert sum(json.loads(record.value())["job"] == "j" for record in topics.all("chat.deltas")) == pieces


def test_a_missing_deltas_topic_costs_no_reply(stage):
    redis, sim = stage.redis(), stage.simulator("--tokens", "6")
    kafka = stage.kafka_mock(chat_jobs=4, chat_replies=4, chat_dead=4)
    worker = stage.worker(redis, sim, bootstrap=kafka.bootstrap, **STREAM)
    topics = Topics(kafka.bootstrap)
    for n in range(5):
        topics.send({"id": f"j{n}", "message": "hi"}, key=f"s{n}")
    assert {r["status"] for r in topics.replies(5).values()} == {"ok"}
    worker.signal(15)
    assert worker.wait() == 0


def test_ask_shows_tokens_as_they_arrive(stage):
    worker, _, sim, _ = start(stage, "--tokens", "60", "--faults", "hold n=20", **{"llm.stream": "asked"})
    asking = subprocess.Popen([BIN / "chat-producer", "ask", "--stream", "-b", worker.bootstrap, "tell me"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env={**os.environ, "XDG_RUNTIME_DIR": str(worker.runtime)})
    first = asking.stdout.read1(100)
    assert first, "shown while the model writes: it comes to where it is held, or is there, and goes on when the test says so"
    sim.wait_held()
    sim.release()
    rest, complaints = asking.communicate(timeout=LIMIT_S)
    assert asking.returncode == 0 and complaints == b""
    words = (first + rest).decode().split()
    assert words[:3] == ["echo:", "tell", "me"] and len(words) == 60 and b"anew" not in first + rest


def test_reasoning_under_two_names_is_told_once_and_in_order(stage):
    """Some go over from one name to the other in the middle of an answer."""
    pieces = [delta(reasoning="r" * 100), delta(reasoning_content="b"), delta(reasoning="c", reasoning_content="c"), delta(content="done")]
    provider = stage.scripted(lambda body, number: [*pieces, DONE])
    worker = stage.worker(stage.redis(), provider, **STREAM)
    topics = Topics(worker.bootstrap)
    reader = Reader(topics)
    topics.send({"id": "j", "message": "think"}, key="s")
    reply = topics.reply_of("j")
    assert reply["status"] == "ok" and reply["message"]["content"] == "done"
    assert reply["message"]["reasoning"] == "r" * 100 + "c" and reply["message"]["reasoning_content"] == "bc"
    deltas = reader.last("j")
    assert "".join(d.get("reasoning", "") for d in deltas) == "r" * 100 + "bc" and text(deltas) == "done"
    assert len(provider.requests) == 1
