"""The real LiteLLM proxy between a worker and its models: a real small one (llama.cpp's server), and the simulator for what that one never says.

A job names the model group; what LiteLLM makes of it, and of what stands behind it, is read from the replies and from the servers behind."""
import json
import uuid

import pytest
from deltas import Reader, text
from litellm_proxy import KEY, LiteLLM, to
from parts import Topics, wait_until
from scripted import answer
from stage import Stage

PATIENT = {f"provider.main.{name}_ms": "3600000" for name in ("attempt_timeout", "first_token_timeout", "idle_timeout")} | {"llm.deadline_ms": "3600000"}


@pytest.fixture(scope="module")
def scene(model):
    """One proxy for all tests of this file, and what stands behind it."""
    stage = Stage()
    try:
        yield Scene(stage, model)
    finally:
        stage.end()


class Scene:
    def __init__(self, stage, model):
        self.model, self.stage = model, stage
        self.sim = stage.simulator("--dialect", "openai", "--api-key", "none", "--journal", stage.folder / "sim.journal")
        self.sim.model = "sim"
        self.outside = stage.proxy("403", name="outside")
        groups = {"llama": to(model), "sim": to(self.sim), "wrong-key": to(self.sim, api_key="wrong"), "limited": to(self.sim, rpm=1),
                  "poor": to(self.sim, input_cost_per_token=1, output_cost_per_token=1, max_budget=0.5, budget_duration="1d"),
                  "slow": to(self.sim, timeout=2, stream_timeout=2), "gone": {"model": "openai/gone", "api_base": "http://127.0.0.1:9/v1", "api_key": "none"},
                  "mock": {"model": "openai/mock", "api_key": "none", "mock_response": "from LiteLLM itself"}}
        self.litellm = LiteLLM(stage.folder, groups, self.outside)
        stage.started.append(self.litellm)
        self.spare = stage.scripted(lambda request, number: (200, answer("from the spare")))
        self.redis = stage.redis()
        allowed = {"llm.models_allowed": ",".join([*groups, "no-such-model"]), "provider.main.api_key": KEY, "provider.spare.url": self.spare.url, "provider.spare.model": "spare", **PATIENT}
        both = {"llm.providers": "main,spare", "llm.overflow_provider": "spare", "llm.filter_provider": "spare"}
        self.alone = self.worker("alone", **allowed)
        self.beside = self.worker("beside", **allowed, **both)
        self.keyless = self.worker("keyless", **{**allowed, **both, "provider.main.api_key": "sk-wrong"})
        self.litellm.wait_ready()

    def worker(self, name, **settings):
        worker = self.stage.worker(self.redis, self.litellm, name=name, **{"redis.key_prefix": name, **settings})
        worker.topics = Topics(worker.bootstrap)
        return worker

    def ask(self, worker, group, message, session=None, stream=False, **params):
        """The reply, and the job's id."""
        job = self.send(worker, group, message, session, stream, **params)
        return worker.topics.reply_of(job)

    def send(self, worker, group, message, session=None, stream=False, **params):
        job = f"j-{uuid.uuid4().hex[:8]}"
        what = {"messages": message} if isinstance(message, list) else {"message": message}
        worker.topics.send({"id": job, **what, "stream": stream, "params": {"model": group, **params}}, key=session or job)
        return job

    def calls(self, words):
        """Those that came through to the simulator, by a part of their message. It writes its line behind the answer, and both before it says anything else."""
        self.sim.stats()
        file = self.stage.folder / "sim.journal"
        return [line for line in map(json.loads, file.read_text().splitlines()) if words in line["message"]] if file.exists() else []


def assert_by_spare(reply):
    assert (reply["status"], reply["provider"], reply["attempts"], reply["message"]["content"]) == ("ok", "spare", 1, "from the spare"), reply


def assert_refused(reply, kind):
    assert (reply["status"], reply["attempts"], reply["error"]["retriable"]) == ("error", 1, False) and f"({kind})" in reply["error"]["message"], reply


# ---- answers ----


def test_a_chat_with_the_small_model_and_its_stream_are_the_same(scene):
    ask = dict(message="Name three colours.", max_tokens=24, temperature=0, seed=1)
    whole = scene.ask(scene.alone, "llama", **ask)
    streamed = scene.ask(scene.alone, "llama", stream=True, **ask)
    assert whole["status"] == "ok" and whole["message"]["content"].strip() and whole["usage"]["completion_tokens"] > 0
    deltas = Reader(scene.alone.topics).last(streamed["job"])
    assert len(deltas) > 3 and text(deltas) == streamed["message"]["content"] == whole["message"]["content"]
    for member in ("finish_reason", "model", "attempts"):
        assert streamed[member] == whole[member], member
    assert streamed["usage"]["prompt_tokens"] == whole["usage"]["prompt_tokens"]


def test_an_answer_of_litellms_own_whole_and_streamed(scene):
    whole, streamed = (scene.ask(scene.alone, "mock", "hi", stream=stream) for stream in (False, True))
    assert whole["message"]["content"] == streamed["message"]["content"] == "from LiteLLM itself" and streamed["finish_reason"] == "stop"


TOOLS = [{"type": "function", "function": {"name": "lookup", "description": "Looks a number up.", "parameters": {"type": "object", "properties": {"q": {"type": "integer"}}, "required": ["q"]}}}]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_tool_calls_come_back_and_their_result_goes_in(scene, stream):
    session = f"tools-{stream}"
    reply = scene.ask(scene.alone, "sim", f"[[fault:tool-calls]] {session}", session, stream, tools=TOOLS)
    (call,) = reply["message"]["tool_calls"]
    assert reply["finish_reason"] == "tool_calls" and call["function"]["name"] == "lookup" and json.loads(call["function"]["arguments"]) == {"q": 1}
    result = scene.ask(scene.alone, "sim", [{"role": "tool", "tool_call_id": call["id"], "content": "42"}, {"role": "user", "content": f"so? {session}"}], session, stream, tools=TOOLS)
    assert result["status"] == "ok", result
    (kept,) = scene.sim.get("/sim/requests?last=1")
    sent = kept["body"]["messages"]
    assert [m["role"] for m in sent] == ["user", "assistant", "tool", "user"] and sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"] == call["id"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_small_model_takes_tools_and_a_tools_result(scene, stream):
    """It is too small to call one."""
    call = {"id": "c1", "type": "function", "function": {"name": "lookup", "arguments": '{"q": 7}'}}
    messages = [{"role": "user", "content": "Look up 7."}, {"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c1", "content": "42"}]
    reply = scene.ask(scene.alone, "llama", messages, None, stream, tools=TOOLS, max_tokens=8)
    assert (reply["status"], reply["provider"], reply["attempts"]) == ("ok", "main", 1), reply


# ---- too long ----


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_what_the_small_model_cannot_hold(scene, stream):
    """Its slots hold 2,048 tokens: LiteLLM tells it as a ContextWindowExceededError, which is asked of the overflow provider, or ends the job."""
    assert_by_spare(scene.ask(scene.beside, "llama", "word " * 4000, stream=stream))
    reply = scene.ask(scene.alone, "llama", "word " * 4000, stream=stream)
    assert_refused(reply, "too_long")
    assert reply["error"]["code"] == "context_length_exceeded" and "ContextWindowExceededError" in reply["error"]["provider_message"]


def test_a_history_that_outgrew_the_context_is_shortened(scene):
    """What the small model can't hold, by LiteLLM's words, it holds without the older half of the turns; what is too long for the other, likewise."""
    for n, words in enumerate((500, 500, 3, 3)):
        assert scene.ask(scene.alone, "sim", f"turn {n}: " + "one two " * words, "grown")["status"] == "ok"
    reply = scene.ask(scene.alone, "llama", "Say hello.", "grown", max_tokens=8)
    assert (reply["status"], reply["attempts"], reply["history_left_out"]) == ("ok", 1, 2) and reply["usage"]["prompt_tokens"] < 500, reply
    reply = scene.ask(scene.alone, "sim", "[[fault:too-long times=1]] shorter", "grown")
    assert reply["status"] == "ok" and reply["history_left_out"] >= 1 and len(scene.calls("shorter")) == 2


# ---- refusals ----


def test_a_key_that_litellm_does_not_know_is_the_providers_own(scene):
    """Without a database it answers any but its master key with a 400, "No connected db": the next is asked, and the breaker hears of it."""
    for _ in range(5):
        assert_by_spare(scene.ask(scene.keyless, "mock", "hi"))
    refused = scene.litellm.refused(400)
    wait_until(lambda: scene.keyless.metric("breakers_open") == 1, "the breaker open")
    assert_by_spare(scene.ask(scene.keyless, "mock", "hi"))
    assert scene.litellm.refused(400) <= refused + 1, "asked no more, but for a probe"


def test_a_key_that_the_model_behind_it_does_not_know(scene):
    assert_by_spare(scene.ask(scene.beside, "wrong-key", "hi"))
    assert_refused(scene.ask(scene.alone, "wrong-key", "hi"), "access")


def test_a_budget_that_is_spent(scene):
    """A deployment's: it is asked while anything is left, then no more, and tried once."""
    assert scene.ask(scene.alone, "poor", "the last money")["status"] == "ok"
    # What a call has cost is booked after its answer.
    reply = wait_until(lambda: (r := scene.ask(scene.alone, "poor", "no money"))["status"] == "error" and r, "the budget spent")
    assert_refused(reply, "billing")
    assert "crossed budget" in reply["error"]["provider_message"]
    asked = len(scene.calls("no money"))
    assert_by_spare(scene.ask(scene.beside, "poor", "no money"))
    assert len(scene.calls("no money")) == asked


def test_a_rate_of_litellms_own(scene):
    """One a minute: the next is asked."""
    replies = [scene.ask(scene.beside, "limited", f"limited {n}") for n in range(3)]
    assert [(r["status"], r["attempts"]) for r in replies] == 3 * [("ok", 1)]
    assert "spare" in [r["provider"] for r in replies[1:]], "a minute may end between two of them"


def test_a_rate_of_the_model_behind_it_is_waited_for_as_that_one_said(scene):
    """In a header alone, which LiteLLM gives another name."""
    reply = scene.ask(scene.alone, "sim", "[[fault:429 retry-after=5 times=1]] rated")
    first, second = scene.calls("rated")
    assert (reply["status"], reply["attempts"]) == ("ok", 2) and second["start_ms"] - first["start_ms"] >= 4950


@pytest.mark.parametrize("case,kind", [("no-money", "billing"), ("content", "content"), ("unknown-model", "model"), ("bad-key", "access")])
def test_what_the_provider_behind_it_refuses(scene, case, kind):
    assert_by_spare(scene.ask(scene.beside, "sim", f"[[fault:{case}]] behind it, beside"))
    assert_refused(scene.ask(scene.alone, "sim", f"[[fault:{case}]] behind it, alone"), kind)
    assert len(scene.calls(f"fault:{case}]] behind it, alone")) == 1
    scene.ask(scene.alone, "mock", "well")


def test_a_model_group_that_it_does_not_have(scene):
    assert_by_spare(scene.ask(scene.beside, "no-such-model", "hi"))
    assert_refused(scene.ask(scene.alone, "no-such-model", "hi"), "model")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_time_out_of_litellms(scene, stream):
    """Before the answer a 408, within a stream an event: the next provider answers, from the beginning."""
    assert_by_spare(scene.ask(scene.beside, "slow", f"[[fault:stall n=2]] too slow {stream}", stream=stream))


@pytest.mark.parametrize("case", ["overload", "stream-error"])
def test_what_passes(scene, case):
    reply = scene.ask(scene.alone, "sim", f"[[fault:{case} times=1]] passes", stream=True)
    assert reply["status"] == "ok" and len(scene.calls(f"fault:{case} times=1]] passes")) == 2


def test_a_model_that_is_not_there(scene):
    assert_by_spare(scene.ask(scene.beside, "gone", "hi"))


# ---- cancelling ----


def test_a_cancel_within_a_stream_reaches_the_model_behind_it(scene):
    before = scene.sim.stats()["aborted_by_client"]
    job = scene.send(scene.alone, "sim", "[[fault:stall n=2]] to be cancelled", stream=True)
    wait_until(lambda: Reader(scene.alone.topics).streams(job), "the first deltas")
    scene.alone.topics.cancel(job)
    assert scene.alone.topics.reply_of(job)["status"] == "cancelled"
    wait_until(lambda: scene.sim.stats()["aborted_by_client"] == before + 1, "the simulator's connection gone")


WRITTEN = 1500


def test_a_cancel_stops_the_small_model(scene):
    """Which has fewer tokens left than a slot holds: it is stopped before they are written, or the count shows it."""
    job = scene.send(scene.alone, "llama", "Tell me a very long story.", stream=True, max_tokens=WRITTEN, ignore_eos=True)
    before = scene.model.counter("tokens_predicted_total")
    wait_until(lambda: Reader(scene.alone.topics).streams(job), "the first deltas")
    scene.alone.topics.cancel(job)
    assert scene.alone.topics.reply_of(job)["status"] == "cancelled"
    wait_until(lambda: scene.model.counter("requests_processing") == 0, "the model at rest", pause_s=3)
    assert scene.model.counter("tokens_predicted_total") - before < WRITTEN


# ---- and nobody else ----


def test_nothing_went_beyond_this_machine(scene):
    assert scene.outside.asked() == []
