"""A session never dies of its own history: what providers refuse isn't stored, what they want back is, and what an earlier release or
somebody else has left in Redis does no harm."""
import json

import pytest
from parts import Topics
from scripted import DONE, answer_of, delta

USER = {"role": "user", "content": "before"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


class Session:
    """One session of a worker whose provider is scripted."""

    def __init__(self, stage, answer, *history, **settings):
        self.redis = stage.redis()
        self.llm = stage.scripted(answer)
        self.key = "chat:{s}:history"
        for element in history:
            self.redis.client.rpush(self.key, element if isinstance(element, (str, bytes)) else json.dumps(element))
        self.worker = stage.worker(self.redis, self.llm, **settings)
        self.topics = Topics(self.worker.bootstrap)

    def ask(self, job, *messages):
        self.topics.send({"id": job, "messages": list(messages)}, key="s")
        return self.topics.reply_of(job)

    def history(self):
        return [json.loads(element) for element in self.redis.client.lrange(self.key, 0, -1)]


def user(text):
    return {"role": "user", "content": text}


def says_nothing(message):
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"text": content or ""}]
    return message["role"] == "assistant" and not message.get("tool_calls") and not message.get("refusal") and not any((p.get("text") or "").strip() for p in parts)


def refusing_empty(*answers):
    """Gives these messages, one a request; a request with an assistant's message that says nothing is refused."""
    left = list(answers)

    def answer(request, number):
        if any(says_nothing(m) for m in request["messages"]):
            return 400, {"error": {"message": "all messages must have non-empty content", "type": "invalid_request_error"}}
        return 200, answer_of(left.pop(0))
    return answer


NOTHING = {"an empty text": {"content": ""}, "null": {"content": None}, "no content": {}, "white space": {"content": " \n"}, "no parts": {"content": []},
           "empty parts": {"content": [{"type": "text", "text": ""}]}, "only thoughts": {"content": "", "reasoning_content": "thought until the limit came"},
           "empty calls": {"content": "", "tool_calls": [], "refusal": None}}


@pytest.mark.parametrize("redis_io", ["batched", "per-thread"])
@pytest.mark.parametrize("what", NOTHING)
def test_an_answer_that_says_nothing_is_given_and_is_no_turn(stage, what, redis_io):
    session = Session(stage, refusing_empty({"content": "one"}, NOTHING[what], {"content": "three"}), **{"worker.redis_io": redis_io})
    assert session.ask("a", user("first"))["status"] == "ok"
    reply = session.ask("b", user("second"))
    assert reply["status"] == "ok" and reply["message"] == {"role": "assistant", "content": "", **NOTHING[what]}
    assert session.ask("c", user("third"))["message"]["content"] == "three"
    assert [turn["job"] for turn in session.history()] == ["a", "c"]
    assert [m["content"] for m in session.llm.requests[-1]["messages"]] == ["first", "one", "third"], "as if the second had not been asked"
    # Ended for good: a repeat is answered from the store, and asks nobody.
    session.topics.send({"id": "b", "messages": [user("second")]}, key="s")
    assert [json.loads(r.value())["status"] for r in session.topics.read("chat.replies", 4)] == ["ok"] * 4
    assert len(session.llm.requests) == 3


@pytest.mark.parametrize("what", [name for name in NOTHING if name != "no content"])
def test_a_history_of_old_with_an_answer_that_says_nothing_goes_on(stage, what):
    old = {"job": "old", "messages": [USER, {"role": "assistant", **NOTHING[what]}]}
    marked = {"plain": "0123456789abcdef", **old}
    session = Session(stage, refusing_empty({"content": "on"}), {"job": "older", "messages": [USER, {"role": "assistant", "content": "yes"}]}, old, marked)
    assert session.ask("a", user("now"))["status"] == "ok"
    assert [m["content"] for m in session.llm.requests[-1]["messages"]] == ["before", "yes", "now"]


def test_a_history_that_somebody_else_wrote_does_no_harm(stage):
    hostile = ["", "7", "{", "[]", '{"job":"x","messages":[' + "{}," * 300_000 + "{}]}", '{"job":"x","messages":' + "[" * 5000 + "]" * 5000 + "}", b'{"job":"x","messages":[{"role":"user","content":"\xff"}]}',
               '{"xxh3":"0123456789abcdef","job":"x","messages":[{"role":"user","content":"forged"}]}'[:-1], '{"job":"x","messages":[{"role":"user","content":"\\ud800"}]}']
    good = {"job": "old", "messages": [USER, {"role": "assistant", "content": "yes"}]}
    session = Session(stage, refusing_empty({"content": "on"}), *hostile[:4], good, *hostile[6:], **{"llm.history_bytes_max": "1048576"})
    assert session.ask("a", user("now"))["status"] == "ok"
    assert [m["content"] for m in session.llm.requests[-1]["messages"]] == ["before", "yes", "now"]
    for element in hostile[4:6]:
        session.redis.client.rpush(session.key, element)
    session.llm.script = refusing_empty({"content": "on"})
    assert session.ask("b", user("now"))["status"] == "ok"


# What came with the calls, and must come back: in the message, or in the call itself.
WANTED = {"reasoning_content": ({"reasoning_content": "hm"}, {}), "reasoning_details": ({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x", "index": 0}]}, {}),
          "reasoning": ({"reasoning": "hm"}, {}), "a thought signature": ({}, {"extra_content": {"google": {"thought_signature": "sig"}}}), "a name of tomorrow": ({"inner_voice": {"text": "hm"}}, {"seal": 7})}


@pytest.mark.parametrize("what", WANTED)
def test_what_came_with_tool_calls_goes_back_with_them(stage, what):
    of_message, of_call = WANTED[what]
    said = {"content": "", "tool_calls": [{**CALL, **of_call}], **of_message}

    def answer(request, number):
        calls = [m for m in request["messages"] if m.get("tool_calls")]
        if not calls:
            return 200, answer_of(said)
        wanted = {**of_message, "tool_calls": said["tool_calls"]}
        if any({k: m.get(k) for k in wanted} != wanted for m in calls):
            return 400, {"error": {"message": f"the {what} of an assistant's tool calls must be passed back", "type": "invalid_request_error"}}
        return 200, answer_of({"content": "42"})

    session = Session(stage, answer)
    assert session.ask("a", user("what is it?"))["message"]["tool_calls"] == said["tool_calls"]
    reply = session.ask("b", {"role": "tool", "tool_call_id": "c1", "content": "42"})
    assert reply["status"] == "ok" and reply["message"]["content"] == "42", reply
    assert session.ask("c", user("sure?"))["status"] == "ok", "and with every later job"


# In pieces, and what they join to.
STREAMED = {"a name of tomorrow": ([{"inner_voice": "a"}, {"inner_voice": "a"}, {"inner_voice": "b"}], {"inner_voice": "aab"}, {}),
            "details": ([{"reasoning_details": [{"type": "t", "text": "a", "index": 0}]}, {"reasoning_details": [{"text": "b", "signature": "s", "index": 0}]}],
                        {"reasoning_details": [{"type": "t", "text": "ab", "signature": "s", "index": 0}]}, {}),
            "an object": ([{"reasoning": {"text": "a"}}, {"reasoning": {"text": "b"}}], {"reasoning": {"text": "ab"}}, {}),
            "beside the calls": ([{"extra_content": {"google": {"thought_signature": "s"}}}], {"extra_content": {"google": {"thought_signature": "s"}}}, {}),
            "in the call": ([{}], {}, {"extra_content": {"google": {"thought_signature": "s"}}}),
            "in its function": ([{}], {}, {"function": {**CALL["function"], "thought_signature": "s"}})}


@pytest.mark.parametrize("what", STREAMED)
def test_what_came_with_streamed_tool_calls_goes_back_with_them(stage, what):
    pieces, of_message, of_call = STREAMED[what]
    call = {**CALL, **of_call}

    def answer(request, number):
        last = request["messages"][-1]["role"]
        return [delta(content="42"), DONE] if last == "tool" else [*(delta(**piece) for piece in pieces), delta(tool_calls=[{"index": 0, **call}]), DONE]

    session = Session(stage, answer, **{"llm.stream": "always"})
    wanted = {"role": "assistant", "content": None, "tool_calls": [call], **of_message}
    for turn in range(2):
        assert session.ask(f"a{turn}", user("what is it?"))["message"] == wanted
        assert session.ask(f"b{turn}", {"role": "tool", "tool_call_id": "c1", "content": "42"})["message"]["content"] == "42"
        assert [m for m in session.llm.requests[-1]["messages"] if m.get("tool_calls")] == [wanted] * (turn + 1)


def test_reasoning_without_calls_is_not_sent_again(stage):
    def answer(request, number):
        if any("reasoning_content" in m for m in request["messages"]):
            return 400, {"error": {"message": "reasoning_content is no input"}}
        return 200, answer_of({"content": "yes", "reasoning_content": "hm"})

    session = Session(stage, answer)
    assert session.ask("a", user("one"))["message"]["reasoning_content"] == "hm"
    assert session.ask("b", user("two"))["status"] == "ok"
