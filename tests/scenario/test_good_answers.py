"""Answers that a provider has been paid for are taken, however it writes them: one call, its reply, and nobody else is asked."""
import gzip
import json
import zlib

import pytest
from deltas import Reader, text
from parts import Topics
from scripted import DONE, answer, delta, event

FINISH = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
STREAM = delta(role="assistant", content="") + delta(content="It is ") + delta(content="so.") + DONE
JSON, SSE, TEXT, NONE = "application/json", "text/event-stream", "text/plain", ""


def whole(content="It is so.", beside="", **message) -> bytes:
    """An answer as text, with something beside its choices that isn't JSON everywhere."""
    body = json.dumps(answer(content, **message))
    return (body[:-1] + beside + "}").encode()


def raw(content: bytes) -> bytes:
    return whole("@").replace(b"@", content)


def bare(body: bytes) -> bytes:
    """Deflate without zlib's wrapping."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


def chunk(raw_delta: bytes) -> bytes:
    return b'data: {"choices":[{"index":0,"delta":' + raw_delta + b"}]}\n\n"


USAGE = json.dumps(answer("It is so.")["usage"])
# name: body, content type, what is said (usually "It is so."), further headers
BODIES = {
    "beyond 64 bits": (whole(beside=',"seed":11832514629345358488'), JSON),
    "far beyond": (whole(beside=',"created":' + "9" * 400 + ',"n":-1e999'), JSON),
    "no number": (whole(beside=',"a":NaN,"b":Infinity,"c":[-Infinity,1e400]'), JSON),
    "a mark": (b"\xef\xbb\xbf" + whole(), JSON),
    "no error": (whole(beside=',"error":""'), JSON),
    "no error {}": (whole(beside=',"error":{}'), JSON),
    "no error []": (whole(beside=',"error":[]'), JSON),
    "no error null": (whole(beside=',"error":null,"detail":null'), JSON),
    "no error 0": (whole(beside=',"error":{"code":0,"message":"success"}'), JSON),
    "no error in it": (whole(beside=',"error":{"message":"","code":null,"type":""}'), JSON),
    "half a pair": (raw(b"It is so \\ud83d"), JSON, "It is so \ufffd"),
    "the other half": (raw(b"\\ude00It \\uD83Dis"), JSON, "\ufffdIt \ufffdis"),
    "cut UTF-8": (raw(b"caf\xc3"), JSON, "caf\ufffd"),
    "cut emoji": (raw(b"It is \xf0\x9f\x98"), JSON, "It is \ufffd"),
    "halves in bytes": (raw(b"\xed\xa0\xbd\xed\xb8\x80"), JSON, "\U0001F600"),
    "twice": (b'{"model":"a","choices":[],' + whole()[1:], JSON),
    "a line end within": (raw(b"It is\nso."), JSON, "It is\nso."),
    "done behind": (whole() + b"\n\ndata: [DONE]\n\n", JSON),
    "done alone": (whole() + b"[DONE]", JSON),
    "white space": (b"\n \n\n" + whole() + b"\r\n \t\n\0\0", JSON),
    "usage null": (whole().replace(USAGE.encode(), b"null"), JSON),
    "usage odd": (whole().replace(USAGE.encode(), b'{"prompt_tokens":"many","completion_tokens":-1,"total_tokens":1e999}'), JSON),
    "usage a text": (whole().replace(USAGE.encode(), b'"3"'), JSON),
    "called a stream": (whole(), SSE),
    "called nothing": (whole(), NONE),
    "gzip": (gzip.compress(whole()), JSON, "It is so.", {"Content-Encoding": "gzip"}),
    "gzip untold": (gzip.compress(whole()), JSON),
    "gzip twofold": (gzip.compress(whole()[:30]) + gzip.compress(whole()[30:]), JSON, "It is so.", {"Content-Encoding": "gzip"}),
    "deflate": (zlib.compress(whole()), JSON, "It is so.", {"Content-Encoding": "deflate"}),
    "deflate alone": (bare(whole()), JSON, "It is so.", {"Content-Encoding": "deflate"}),
    "deflate in name": (whole(), JSON, "It is so.", {"Content-Encoding": "deflate"}),
    "packed in name": (whole(), JSON, "It is so.", {"Content-Encoding": "gzip"}),
    "encoded in a charset": (whole(), JSON, "It is so.", {"Content-Encoding": "UTF-8"}),
    "a text": (b'{"choices":[{"index":0,"text":"It is so.","finish_reason":"stop"}]}', JSON),
    "a message that is a text": (b'{"choices":[{"index":0,"message":"It is so.","finish_reason":"stop"}]}', JSON),
    "without a role": (b'{"choices":[{"message":{"content":"It is so."}}]}', JSON),
    "a stream": (STREAM, SSE),
    "a stream by another name": (STREAM, JSON),
    "a stream of plain text": (STREAM, TEXT),
    "a stream of no name": (STREAM, NONE),
    "a stream with a mark": (b"\xef\xbb\xbf" + STREAM, JSON),
    "a comment first": (b": OPENROUTER PROCESSING\n\n" + STREAM, NONE),
    "an event's name first": (b"event: message\n" + STREAM, NONE),
    "no space": (STREAM.replace(b"data: ", b"data:"), SSE),
    "carriage returns": (STREAM.replace(b"\n", b"\r"), SSE),
    "no blank lines": (STREAM.replace(b"\n\n", b"\n"), SSE),
    "no end of line": (STREAM[:-2], SSE),
    "no done, no blank line": (delta(content="It is so.") + FINISH[:-2], SSE),
    "pings": (b"event: ping\ndata: ping\n\n" + STREAM.replace(b"data: [", b"event: end\ndata: ["), SSE),
    "in one event": (event(answer("It is so.")) + event(b"[DONE]"), SSE),
    "said again": (delta(content="It is ") + delta(content="so.") + event(answer("It is so.")), SSE),
    "lines": (STREAM.replace(b"data: ", b"").replace(b"\n\n", b"\n").replace(b"[DONE]\n", b""), "application/x-ndjson"),
    "a packed stream": (gzip.compress(STREAM), SSE, "It is so.", {"Content-Encoding": "gzip"}),
    "numbers in chunks": (STREAM.replace(b'"choices"', b'"seed":11832514629345358488,"x":NaN,"choices"'), SSE),
    "no errors in chunks": (STREAM.replace(b'"choices"', b'"error":{},"choices"'), SSE),
    "a pair in two chunks": (chunk(b'{"content":"It is \\ud83d"}') + chunk(b'{"content":"\\ude00 so."}') + DONE, SSE, "It is \U0001F600 so."),
    "a character in two chunks": (chunk(b'{"content":"It is \xf0\x9f"}') + chunk(b'{"content":"\x98\x80 so."}') + DONE, SSE, "It is \U0001F600 so."),
    "half a pair at the end": (chunk(b'{"content":"It is \\ud83d"}') + DONE, SSE, "It is \ufffd"),
    "content in parts": (delta(content=[{"type": "text", "text": "It is "}]) + delta(content=[{"type": "text", "text": "so."}]) + DONE, SSE,
                         [{"type": "text", "text": "It is so."}]),
}



def run(stage, **settings):
    """All bodies at once, each for a job of its name; a second provider stands by. The replies by job."""
    def script(body, number):
        row = BODIES[body["messages"][-1]["content"]]
        return 200, row[0], {"Content-Type": row[1], **(row[3] if len(row) > 3 else {})}

    main, spare = stage.scripted(script), stage.scripted(lambda body, number: (200, answer("from the spare")))
    worker = stage.worker(stage.redis(), main, **{"llm.providers": "main,spare", "provider.spare.url": spare.url, "provider.spare.model": "spare", **settings})
    topics = Topics(worker.bootstrap)
    reader = Reader(topics)
    for name in BODIES:
        topics.send({"id": name, "message": name}, key=name)
    replies = topics.replies(len(BODIES))
    wrong = {}
    for name, row in BODIES.items():
        reply, want = replies[name], row[2] if len(row) > 2 else "It is so."
        asked = sum(request["messages"][-1]["content"] == name for request in main.requests)
        said = reply.get("message", {}).get("content")
        if (reply["status"], said, asked, reply["attempts"]) != ("ok", want, 1, 1):
            wrong[name] = (reply["status"], said, asked, reply.get("error"))
    assert wrong == {}
    assert spare.requests == []
    return worker, topics, main, reader


@pytest.mark.parametrize("ask", ["asked", "always"])
def test_each_is_one_call_and_its_reply(stage, ask):
    _, _, main, _ = run(stage, **{"provider.main.stream": ask})
    assert {request["stream"] for request in main.requests} == {ask == "always"}, "whoever streams unless told not to is told"


def test_each_is_one_call_where_deltas_are_wanted(stage):
    _, _, main, reader = run(stage, **{"llm.stream": "always"})
    assert {request["stream"] for request in main.requests} == {True}
    for name, row in BODIES.items():
        want = row[2] if len(row) > 2 else "It is so."
        assert text(reader.last(name)) == (want if isinstance(want, str) else "".join(part["text"] for part in want)), name


def test_a_provider_that_is_never_asked_for_a_stream_is_published_as_one_delta(stage):
    main = stage.scripted(lambda body, number: (200, answer("It is so.", reasoning="hm")))
    worker = stage.worker(stage.redis(), main, **{"llm.stream": "always", "provider.main.stream": "never"})
    topics = Topics(worker.bootstrap)
    reader = Reader(topics)
    topics.send({"id": "j", "message": "hi"}, key="s")
    assert topics.reply_of("j")["message"]["content"] == "It is so."
    pieces = reader.last("j")
    assert [(p.get("delta"), p.get("reasoning"), p.get("final")) for p in pieces] == [("It is so.", "hm", None), (None, None, True)]
    assert main.requests[0]["stream"] is False and "stream_options" not in main.requests[0]


def test_what_was_mended_is_json_for_all_who_get_it(stage):
    """The reply, the session's history, and the request that brings it back."""
    message = b'{"role":"assistant","content":"caf\xc3 \\ud83d","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}],' \
              b'"seed":11832514629345358488,"score":NaN,"far":1e400,"a\\u0000b":"\x01"}'
    main = stage.scripted(lambda body, number: (200, b'{"choices":[{"message":' + message + b'}]}' if number == 1 else json.dumps(answer("done"))))
    worker = stage.worker(stage.redis(), main)
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j1", "session": "s", "message": "hi"}, key="s")
    reply = topics.reply_of("j1")
    said = {**reply["message"]}
    assert said["content"] == "caf\ufffd \ufffd"
    assert {name: said[name] for name in ("seed", "score", "far", "a\ufffdb")} == {"seed": "11832514629345358488", "score": None, "far": "1e400", "a\ufffdb": "\x01"}
    topics.send({"id": "j2", "session": "s", "messages": [{"role": "tool", "tool_call_id": "c", "content": "42"}]}, key="s")
    assert topics.replies(2)["j2"]["status"] == "ok"
    (sent,) = [m for m in main.requests[1]["messages"] if m["role"] == "assistant"]
    assert sent["content"] == "caf\ufffd \ufffd" and sent["seed"] == "11832514629345358488" and sent["tool_calls"] == said["tool_calls"]


@pytest.mark.parametrize("how", ["whole", "streamed"])
def test_a_bomb_is_refused_early(stage, how):
    """What is packed counts as what it unpacks to: a gigabyte of spaces within an answer is refused at the limit."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = b'data: {"choices":[{"delta":{"content":"' if how == "streamed" else b'{"choices":[{"message":{"content":"'
    bomb = packer.compress(head) + b"".join(packer.compress(b" " * (1 << 20)) for _ in range(256)) + packer.flush()
    main = stage.scripted(lambda body, number: (200, bomb, {"Content-Encoding": "gzip"}))
    worker = stage.worker(stage.redis(), main, **{"llm.response_bytes_max": "1000000"})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    reply = topics.reply_of("j")
    assert (reply["status"], reply["error"]["code"], len(main.requests)) == ("error", "response_too_large", 1)


def test_packing_that_is_damaged_is_no_answer(stage):
    damaged = bytearray(gzip.compress(whole()))
    damaged[12:20] = b"\xff" * 8
    main, spare = stage.scripted(lambda body, number: (200, bytes(damaged))), stage.scripted(lambda body, number: (200, answer("from the spare")))
    worker = stage.worker(stage.redis(), main, **{"llm.providers": "main,spare", "provider.spare.url": spare.url, "provider.spare.model": "spare"})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    reply = topics.reply_of("j")
    assert (reply["status"], reply["provider"], reply["attempts"]) == ("ok", "spare", 1)
    assert (len(main.requests), len(spare.requests)) == (1, 1)


CUT_OFF = {
    "whole": (whole()[:-5], JSON),
    "within a text": (whole()[:60], JSON),
    "a stream without its end": (STREAM[:-len(DONE)], SSE),
    "an event within": (delta(content="It is ") + chunk(b'{"content":"so"')[:-6], SSE),
    "a packed one": (gzip.compress(whole())[:-20], JSON),
    "one chunk alone": (json.dumps({"choices": [{"delta": {"content": "It is "}, "finish_reason": None}]}).encode(), JSON),
}


@pytest.mark.parametrize("how", CUT_OFF)
def test_what_is_cut_off_is_still_none(stage, how):
    body, content_type = CUT_OFF[how]
    main, spare = stage.scripted(lambda _, number: (200, body, {"Content-Type": content_type})), stage.scripted(lambda body, number: (200, answer("from the spare")))
    worker = stage.worker(stage.redis(), main, **{"llm.providers": "main,spare", "provider.spare.url": spare.url, "provider.spare.model": "spare"})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    reply = topics.reply_of("j")
    assert (reply["status"], reply["provider"], reply["message"]["content"]) == ("ok", "spare", "from the spare")
    assert (len(main.requests), len(spare.requests)) == (1, 1)


def test_a_stream_that_contradicts_itself_goes_to_the_next_and_no_further(stage):
    pieces = [delta(content="It is so."), delta(mood="calm"), delta(mood={"is": "calm"}), DONE]
    main = stage.scripted(lambda body, number: list(pieces))
    worker = stage.worker(stage.redis(), main, **{"provider.main.stream": "always"})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    reply = topics.reply_of("j")
    assert (reply["status"], reply["error"]["code"], len(main.requests)) == ("error", "invalid_response", 1), "it would be so again"
