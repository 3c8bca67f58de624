"""Questions through a real Apache Kafka and a real Redis to a real (small) model: the protocol, not the wisdom."""
import json
import signal

import pytest
from deltas import Reader, text
from parts import wait_until

# However slow the machine is at writing: what is asked is answered at the first try.
PATIENT = {f"{name}_ms": "3600000" for name in ("llm.deadline", "provider.main.attempt_timeout", "provider.main.first_token_timeout", "provider.main.idle_timeout")}


def test_a_question_is_answered_and_the_next_one_carries_the_history(stage, model, place, redis_io):
    worker = stage.worker(stage.redis(), model, **place.settings, **PATIENT, **{"worker.redis_io": redis_io, "llm.system_prompt": "You are a helpful assistant. Answer briefly.",
                                                                   "provider.main.params": '{"temperature":0,"seed":1}'})
    ask = ["ask", "--json", "--session", "s", "--topic", place.topics.jobs, "--replies-topic", place.topics.replies_topic]
    first = json.loads(stage.producer(worker, *ask, "What is the capital of France?", check=0).stdout)
    second = json.loads(stage.producer(worker, *ask, "And of Italy?", check=0).stdout)

    for reply in (first, second):
        assert reply["status"] == "ok" and reply["message"]["role"] == "assistant" and reply["message"]["content"].strip()
        assert reply["finish_reason"] in ("stop", "length") and reply["model"] == "smollm2-135m" and reply["provider"] == "main"
        assert reply["usage"]["total_tokens"] == reply["usage"]["prompt_tokens"] + reply["usage"]["completion_tokens"]
        assert 0 < reply["timing_ms"]["llm"] <= reply["timing_ms"]["total"]
    assert second["usage"]["prompt_tokens"] > first["usage"]["prompt_tokens"], "the first turn was in the prompt"

    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert place.lag() == 0, "a drained worker has committed everything"


def test_params_reach_the_model(stage, model, place):
    worker = stage.worker(stage.redis(), model, **place.settings, **PATIENT)
    place.topics.send({"id": "short", "message": "Count from one to one hundred.", "params": {"max_tokens": 3}}, key="s")
    reply = place.topics.replies(1)["short"]
    assert reply["finish_reason"] == "length" and reply["usage"]["completion_tokens"] == 3
    wait_until(lambda: worker.metric("jobs_alive") == 0, "acknowledged")


def test_a_question_longer_than_the_context_has_a_clear_end_and_the_session_goes_on(stage, model, place):
    """A slot holds 2,048 tokens, and there is no history to leave out: no other attempt could help."""
    stage.worker(stage.redis(), model, **place.settings, **PATIENT)
    place.topics.send({"id": "long", "message": "word " * 4000}, key="s")
    place.topics.send({"id": "short", "message": "hi", "params": {"max_tokens": 3}}, key="s")
    replies = place.topics.replies(2)
    error = replies["long"]["error"]
    assert (replies["long"]["status"], error["code"], error["retriable"], replies["long"]["attempts"]) == ("error", "context_length_exceeded", False, 1), error
    (dead_letter,) = place.topics.read(place.topics.dead, 1)
    assert dict(dead_letter.headers())["chat.error.code"] == b"context_length_exceeded"
    assert replies["short"]["status"] == "ok" and replies["short"]["usage"]["prompt_tokens"] < 100, "what failed left no turn"


def test_an_answer_comes_in_deltas_that_are_the_whole(stage, model, place, redis_io):
    worker = stage.worker(stage.redis(), model, **place.settings, **PATIENT, **{"worker.redis_io": redis_io, "provider.main.params": '{"temperature":0,"seed":1}'})
    place.topics.send({"id": "whole", "message": "Name three colours.", "params": {"max_tokens": 24}}, key="a")
    place.topics.send({"id": "pieces", "message": "Name three colours.", "params": {"max_tokens": 24}, "stream": True}, key="b")
    replies = place.topics.replies(2)
    deltas = Reader(place.topics).last("pieces")
    content = replies["pieces"]["message"]["content"]
    assert len(deltas) > 3 and text(deltas) == content and content == replies["whole"]["message"]["content"]
    for member in ("usage", "finish_reason", "model"):
        assert replies["pieces"][member] == replies["whole"][member], "a stream tells as much as a whole answer"
    assert worker.metric("deltas_dropped_total") == 0


WRITTEN = 8000  # tokens that are asked for: no machine writes so many in the seconds that the server needs to see a connection go


@pytest.mark.parametrize("stream", [False, True])
def test_a_cancelled_job_stops_the_model_too(stage, place, stream):
    """The server sees the connection go and frees its slot, before the tokens it was asked for are written: they are counted, not the time."""
    model = stage.model(context=8192, slots=1)
    stage.worker(stage.redis(), model, **place.settings, **PATIENT)
    place.topics.send({"id": "long", "message": "Tell me a very long story.", "params": {"max_tokens": WRITTEN, "ignore_eos": True}, "stream": stream}, key="s")
    wait_until(lambda: model.counter("n_decode_total") > 0, "the model at work")
    place.topics.cancel("long")
    assert place.topics.replies(1)["long"]["status"] == "cancelled"
    # Not asked more often: a server that is asked something each second looks at no connection.
    wait_until(lambda: model.counter("requests_processing") == 0, "the model at rest", pause_s=3)
    assert 0 < model.counter("tokens_predicted_total") < WRITTEN


def test_a_history_that_outgrew_the_context_is_cut_by_what_the_server_says(stage, model, place):
    """Its slots hold 2,048 tokens. The turns fit one by one, and not together."""
    worker = stage.worker(stage.redis(), model, **place.settings, **PATIENT, **{"provider.main.params": '{"max_tokens":8,"ignore_eos":true}'})
    for n in range(4):
        place.topics.send({"id": f"j{n}", "message": f"{n}: " + "one two three four " * 150}, key="s")
    replies = place.topics.replies(4)
    prompts = [replies[f"j{n}"]["usage"]["prompt_tokens"] for n in range(4)]
    assert {r["status"] for r in replies.values()} == {"ok"} and {r["attempts"] for r in replies.values()} == {1}
    assert prompts[0] < prompts[1] < prompts[2] and max(prompts) <= 2048, prompts
    assert prompts[3] < prompts[0] + prompts[2], "the oldest turn was left out"
    assert worker.metric("jobs_dead_total") == 0
