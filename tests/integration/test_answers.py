"""Questions through a real Apache Kafka and a real Redis to a real (small) model: the protocol, not the wisdom."""
import json
import signal

from parts import wait_until


def test_a_question_is_answered_and_the_next_one_carries_the_history(stage, model, place, redis_io):
    worker = stage.worker(stage.redis(), model, **place.settings, **{"worker.redis_io": redis_io, "llm.system_prompt": "You are a helpful assistant. Answer briefly.",
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
    worker = stage.worker(stage.redis(), model, **place.settings)
    place.topics.send({"id": "short", "message": "Count from one to one hundred.", "params": {"max_tokens": 3}}, key="s")
    reply = place.topics.replies(1)["short"]
    assert reply["finish_reason"] == "length" and reply["usage"]["completion_tokens"] == 3
    wait_until(lambda: worker.metric("jobs_alive") == 0, "acknowledged")


def test_a_conversation_longer_than_the_context_still_gets_an_answer_or_a_clear_end(stage, model, place):
    stage.worker(stage.redis(), model, **place.settings)
    place.topics.send({"id": "long", "message": "word " * 4000}, key="s")
    reply = place.topics.replies(1)["long"]
    assert reply["status"] == "ok" or (reply["error"]["code"] and reply["error"]["retriable"] is False), reply
