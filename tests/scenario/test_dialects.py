"""Each family of providers, as it answers and refuses (chat-llmsim --dialect), asked by workers with the settings of docs/providers.md.

The page's block is taken as it stands; the simulator's address takes the place of its scheme and host. Two workers a dialect: one has nobody
else to ask, the other has a spare provider, for filters and overflows, too."""
import json
import subprocess
import urllib.parse

import pytest
from deltas import Reader, text
from parts import BIN, Topics
from providers_page import block_of, settings_of
from scripted import answer
from stage import Stage

pytestmark = pytest.mark.once  # test_refusal.c, test_llmsim_dialect.c, test_stream_model.c and the oracle are run with all of them

LISTED = {line.split()[0]: line.split()[2:] for line in subprocess.run([BIN / "chat-llmsim", "--dialect", "list"], text=True, capture_output=True, check=True).stdout.splitlines()}
DIALECTS = sorted(LISTED)
CASES = ["too-long", "bad-key", "no-money", "rate", "overload", "content", "unknown-model"]

KIND = {"too-long": "too_long", "bad-key": "access", "no-money": "billing", "rate": "rate", "overload": "overload", "content": "content", "unknown-model": "model"}
KINDS_OF_THEIR_OWN = {("moonshot", "overload"): "rate", ("tgi", "overload"): "rate"}  # a 429: the status decides
# Whose 429 tells how long to wait, in a header or in words: a second, or most of one.
TELL_A_WAIT = {"openai", "azure", "anthropic", "google", "openrouter", "groq", "litellm", "moonshot"}

STREAMED_ALONE = {"token_id"}  # Together's, which its whole answers don't have


class World:
    """A provider that speaks the dialect, a spare one, and the two workers."""

    def __init__(self, stage, dialect):
        self.stage, self.dialect, self.name, pairs = stage, dialect, block_of(dialect), settings_of(dialect)
        model, key, url = (pairs.get(f"provider.{self.name}.{member}") for member in ("model", "api_key", "url"))
        self.journal = stage.folder / "sim.journal"
        self.sim = stage.simulator("--dialect", dialect, "--model", model, *(("--api-key", key) if key else ()), "--journal", self.journal)
        pairs[f"provider.{self.name}.url"] = f"http://127.0.0.1:{self.sim.port}{urllib.parse.urlsplit(url).path}"
        self.spare = stage.scripted(lambda request, number: (200, answer("from the spare")))
        self.redis = stage.redis()
        self.alone = self.start("alone", {**pairs, "llm.models_allowed": "no-such-model"})
        self.beside = self.start("beside", {**pairs, "llm.providers": f"{self.name},main", "llm.filter_provider": "main", "llm.overflow_provider": "main"})

    def start(self, name, pairs):
        worker = self.stage.worker(self.redis, self.spare, name=name, **{**pairs, "redis.key_prefix": name, "retry.attempts_max": "3", "retry.backoff_max_ms": "50"})
        worker.topics = Topics(worker.bootstrap)
        return worker

    def ask(self, worker, job, message, session=None, **members):
        worker.topics.send({"id": job, "message": message, **members}, key=session or job)
        return worker.topics.reply_of(job)

    def ask_well(self, worker, after):
        """Good answers between bad ones keep its breaker closed."""
        for n in range(2):
            reply = self.ask(worker, f"{after}-well-{n}", "well")
            assert (reply["status"], reply["provider"]) == ("ok", self.name), reply

    def calls(self, words):
        """Those that came to the simulator, by a part of their message. It writes its line behind the answer, and both before it says anything else."""
        self.sim.stats()
        return [line for line in map(json.loads, self.journal.read_text().splitlines()) if words in line["message"]]


@pytest.fixture(scope="module")
def world(request):
    stage = Stage()
    try:
        yield World(stage, request.param)
    finally:
        stage.end()


@pytest.fixture
def stage(world):
    """For the report of a failed test."""
    return world.stage


def each(names, pairs):
    """The tests of one dialect go together: they share its world."""
    return pytest.mark.parametrize(names, [pytest.param(*values, marks=pytest.mark.xdist_group(f"dialect-{values[0]}"), id="-".join(map(str, values))) for values in pairs], indirect=["world"])


REFUSALS = [(dialect, case) for dialect in DIALECTS for case in CASES if case in LISTED[dialect]]
MODES = [False, True]  # whole, streamed


def plain(value):
    """Without what says nothing."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: part for name, part in ((name, plain(part)) for name, part in value.items()) if part not in (None, "", [], {})}


@each("world", [(dialect,) for dialect in DIALECTS])
def test_answers_are_read_whole_and_streamed_alike(world, stage):
    whole = world.ask(world.alone, "whole", "Hello dear world, how are you?")
    streamed = world.ask(world.alone, "streamed", "Hello dear world, how are you?", stream=True)
    assert whole["status"] == streamed["status"] == "ok", (whole, streamed)
    assert plain(whole["message"]) == {name: part for name, part in plain(streamed["message"]).items() if name not in STREAMED_ALONE}
    assert whole["message"]["content"] == "echo: Hello dear world, how are you? [messages=1]" == text(Reader(world.alone.topics).last("streamed"))
    for member in ("usage", "finish_reason", "model", "attempts", "provider"):
        assert whole[member] == streamed[member], member
    assert whole["finish_reason"] == "stop" and whole["attempts"] == 1 and whole["usage"]["total_tokens"] == whole["usage"]["prompt_tokens"] + whole["usage"]["completion_tokens"] > 0


@each("world,stream", [(dialect, stream) for dialect in DIALECTS for stream in MODES])
def test_tool_calls_are_read_and_go_back(world, stage, stream):
    job = f"tools-{stream}"
    reply = world.ask(world.alone, job, f"[[fault:tool-calls]] {job}", stream=stream)
    assert (reply["status"], reply["finish_reason"], reply["attempts"]) == ("ok", "tool_calls", 1), reply
    (call,) = reply["message"]["tool_calls"]
    assert call["function"]["name"] == "lookup" and json.loads(call["function"]["arguments"]) == {"q": 1} and call["id"]
    world.alone.topics.send({"id": f"{job}-result", "messages": [{"role": "tool", "tool_call_id": call["id"], "content": "42"}, {"role": "user", "content": "so?"}]}, key=job)
    assert world.alone.topics.reply_of(f"{job}-result")["status"] == "ok"
    (kept,) = world.sim.get("/sim/requests?last=1")
    (sent,) = [m for m in kept["body"]["messages"] if m["role"] == "assistant"]
    assert sent["tool_calls"] == reply["message"]["tool_calls"], "whole, with what else it holds"


@each("world,case", REFUSALS)
def test_what_a_refusal_means_where_nobody_else_is(world, stage, case):
    kind = KINDS_OF_THEIR_OWN.get((world.dialect, case), KIND[case])
    passes = kind in ("rate", "overload")
    reply = world.ask(world.alone, case, f"[[fault:{case}{' times=1' if passes else ''}]] alone")
    calls = [call for call in world.calls(f"fault:{case}") if call["message"].endswith("alone")]
    if passes:
        assert (reply["status"], reply["provider"], reply["attempts"], len(calls)) == ("ok", world.name, 2 if kind == "rate" else 1, 2), reply
        if case == "rate" and world.dialect in TELL_A_WAIT:
            assert calls[1]["start_ms"] - calls[0]["start_ms"] >= 850, "the wait that was told"
    else:
        assert (reply["status"], reply["error"]["retriable"], reply["attempts"], len(calls)) == ("error", False, 1, 1), reply
        if case in ("content", "too-long"):
            assert reply["error"]["code"] == {"content": "content_filter", "too-long": "context_length_exceeded"}[case], reply
        else:
            assert f"({kind})" in reply["error"]["message"], reply
    world.ask_well(world.alone, f"alone-{case}")


@each("world,case,stream", [(*refusal, stream) for refusal in REFUSALS for stream in MODES] + [(dialect, "stream-error", True) for dialect in DIALECTS])
def test_what_a_refusal_leads_to_where_another_stands_by(world, stage, case, stream):
    """The same whether a stream was asked for or not: the next provider, the filter's, the overflow's."""
    job = f"{case}-{stream}"
    reply = world.ask(world.beside, job, f"[[fault:{case}]] beside {stream}", stream=stream)
    assert (reply["status"], reply["provider"], reply["attempts"], reply["message"]["content"]) == ("ok", "main", 1, "from the spare"), reply
    assert len(world.calls(f"fault:{case}]] beside {stream}")) == 1
    world.ask_well(world.beside, f"beside-{job}")


@each("world,stream", [(dialect, stream) for dialect in DIALECTS for stream in MODES])
def test_what_is_too_long_is_asked_once_more_without_the_oldest_turns(world, stage, stream):
    for turn in range(4):
        world.ask(world.beside, f"turn-{turn}-{stream}", "a turn", f"long-{stream}")
    reply = world.ask(world.beside, f"long-{stream}", f"[[fault:too-long times=1]] a history {stream}", f"long-{stream}", stream=stream)
    assert (reply["status"], reply["provider"], reply["attempts"]) == ("ok", world.name, 1) and reply["history_left_out"] >= 1, reply
    assert len(world.calls(f"a history {stream}")) == 2


@each("world", [(dialect,) for dialect, case in REFUSALS if case == "unknown-model" and dialect != "azure"])  # which has it in its path
def test_a_model_that_it_does_not_know(world, stage):
    reply = world.ask(world.alone, "no-such-model", "hi, model", params={"model": "no-such-model"})
    assert reply["status"] == "error" and "(model)" in reply["error"]["message"] and reply["error"]["retriable"] is False, reply
    assert len(world.calls("hi, model")) == 1
