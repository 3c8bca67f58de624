"""The simulator's streams, each fault as a client meets it on the wire. (Whole answers: test_failing_providers.)"""
import http.client
import json
import subprocess

import pytest
from parts import BIN, LIMIT_S, wait_until


@pytest.fixture
def stream(stage):
    sim = stage.simulator()

    def ask(fault, message="hello big world", limit_s=LIMIT_S):
        """The bytes of the stream and how it ended: done (in order), cut, or silent (nothing for limit_s)."""
        connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=limit_s)
        body = {"model": "m", "messages": [{"role": "user", "content": f"[[fault:{fault}]] {message}" if fault else message}], "stream": True, "stream_options": {"include_usage": True}}
        got, end = b"", "done"
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert answer.headers["Content-Type"].startswith("text/event-stream") or answer.status != 200
            while part := answer.read1(65536):
                got += part
                if len(got) > 5_000_000:
                    break
        except http.client.IncompleteRead as cut:
            got, end = got + cut.partial, "cut"
        except (ConnectionError, http.client.HTTPException):
            end = "cut"
        except TimeoutError:
            end = "silent"
        finally:
            connection.close()
        return got, end

    ask.sim = sim
    return ask


def events(raw):
    return [json.loads(line[5:]) if line[5:].strip() != "[DONE]" else "[DONE]" for line in raw.decode().splitlines() if line.startswith("data:")]


def text_of(found):
    return "".join(choice.get("delta", {}).get("content") or "" for event in found if event != "[DONE]" for choice in event.get("choices", []))


PROPER = "echo: hello big world [messages=1]"


def test_a_proper_stream_has_deltas_a_finish_usage_and_done(stream):
    raw, end = stream("")
    *deltas, usage, done = events(raw)
    assert end == "done" and done == "[DONE]" and text_of(deltas) == PROPER
    assert deltas[-1]["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == [] and usage["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("fault", ["comments", "crlf", "empty-choices"])
def test_what_a_good_reader_bears(stream, fault):
    raw, end = stream(fault)
    assert end == "done" and text_of(events(raw)).endswith("hello big world [messages=1]") and events(raw)[-1] == "[DONE]"
    assert {"comments": b"\n:" in b"\n" + raw, "crlf": b"\r\n\r\n" in raw, "empty-choices": any(e != "[DONE]" and not e.get("choices") and "usage" not in e for e in events(raw))}[fault]


def test_characters_are_cut_across_writes(stream):
    raw, end = stream("split-utf8")
    assert end == "done" and text_of(events(raw)).endswith("héllo ☃ 😀"), "joined, they are whole"


def test_without_usage_though_asked_for(stream):
    raw, _ = stream("no-usage")
    assert events(raw)[-1] == "[DONE]" and not any("usage" in e for e in events(raw)[:-1])


def test_tool_calls_come_in_deltas_that_join_by_index(stream):
    calls = [call for e in events(stream("tool-calls")[0]) if e != "[DONE]" for c in e["choices"] for call in c["delta"].get("tool_calls", [])]
    assert len(calls) == 3 and {c["index"] for c in calls} == {0}
    json.loads("".join(c["function"].get("arguments", "") for c in calls))


def test_an_error_after_deltas(stream):
    raw, end = stream("stream-error n=2")
    assert end == "done" and "error" in events(raw)[-1] and b"[DONE]" not in raw


def test_an_end_without_done(stream):
    raw, end = stream("no-done n=2")
    found = events(raw)
    assert end == "done" and b"[DONE]" not in raw and found and all(c.get("finish_reason") is None for e in found for c in e["choices"])


def test_a_cut_in_the_middle(stream):
    raw, end = stream("truncated n=2")
    assert end == "cut" and b"[DONE]" not in raw and b"data:" in raw


@pytest.mark.parametrize("fault", ["reset", "close"])
def test_no_answer_at_all(stream, fault):
    assert stream(fault) == (b"", "cut")


def test_silence_after_deltas(stream):
    raw, end = stream("stall n=2", limit_s=3)
    assert end == "silent" and b"data:" in raw and b"[DONE]" not in raw


def test_comments_for_ever_are_no_data(stream):
    """They come, so no idle timer fires that counts bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", stream.sim.port, timeout=LIMIT_S)
    connection.request("POST", "/v1/chat/completions", json.dumps({"messages": [{"role": "user", "content": "[[fault:chatter ms=5]] hi"}], "stream": True}))
    answer, got = connection.getresponse(), b""
    while got.count(b"\n: ") < 20:
        got += answer.read1(4096)
    connection.close()
    assert text_of(events(got)) == ""


def test_a_stream_larger_than_anyone_wants(stream):
    raw, _ = stream("huge bytes=6000000")
    assert len(raw) > 5_000_000


def test_an_answer_is_held_until_it_is_let_go(stream):
    """Streamed or whole, by its message; whoever hangs up meanwhile isn't held any more."""
    sim = stream.sim

    def ask(message, streamed=True):
        connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=LIMIT_S)
        connection.request("POST", "/v1/chat/completions", json.dumps({"messages": [{"role": "user", "content": message}], "stream": streamed}))
        return connection

    whole, early, other, gone = ask("[[fault:hold]] whole", False), ask("[[fault:hold n=2]] early"), ask("[[fault:hold]] other"), ask("[[fault:hold]] gone")
    sim.wait_held(4)
    answer, written = early.getresponse(), b""
    while text_of(events(written)) != "echo: [[fault:hold":
        written += answer.read1(65536)
    gone.close()
    sim.wait_held(3)
    assert sim.stats()["aborted_by_client"] == 1 and sim.stats()["answered"] == 0
    assert sim.release("early") == 1 and text_of(events(written + answer.read())) == "echo: [[fault:hold n=2]] early [messages=1]"
    assert sim.release("nothing of the kind") == 0 and sim.stats()["held"] == 2
    assert sim.release() == 2 and sim.stats()["held"] == 0
    assert json.loads(whole.getresponse().read())["choices"][0]["message"]["content"] == "echo: [[fault:hold]] whole [messages=1]"
    assert other.getresponse().read().endswith(b"data: [DONE]\n\n")
    for connection in (whole, early, other):
        connection.close()
    assert sim.stats()["answered"] == 3


def test_whoever_hangs_up_is_seen(stream):
    stream("stall n=1", limit_s=3)
    wait_until(lambda: stream.sim.stats()["aborted_by_client"] == 1, "the client's end seen")


def test_the_journal_tells_how_each_request_ended(stage):
    file = stage.folder / "journal.ndjson"
    sim = stage.simulator("--journal", file)

    def ask(message):
        connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=LIMIT_S)
        connection.request("POST", "/v1/chat/completions", json.dumps({"model": "m", "user": "u-1", "messages": [{"role": "user", "content": message}]}))
        try:
            connection.getresponse().read()
        except http.client.HTTPException:
            pass
        finally:
            connection.close()

    ask("well")
    ask("[[fault:503]] badly")
    ask("[[fault:truncated]] half")
    before = sim.stats()["requests"]
    left = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=LIMIT_S)
    left.request("POST", "/v1/chat/completions", json.dumps({"model": "m", "messages": [{"role": "user", "content": "[[fault:stall]] left"}]}))
    wait_until(lambda: sim.stats()["requests"] > before, "the request that is left")
    left.close()
    wait_until(lambda: len(file.read_text().splitlines()) == 4, "four lines")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["number"], line["message"].split()[-1], line["user"], line["status"], line["end"]) for line in lines] == [
        (1, "well", "u-1", 200, "answered"), (2, "badly", "u-1", 503, "answered"), (3, "half", "u-1", 200, "broken"), (4, "left", None, 0, "aborted")]
    assert all(0 < line["start_ms"] <= line["end_ms"] for line in lines)


def context_of(sim, path, limit_s=LIMIT_S):
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=limit_s)
    try:
        connection.request("GET", f"/context/{path}")
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"].split(";")[0], answer.read().decode()
    finally:
        connection.close()


def test_a_context_source_says_who_asked(stage):
    sim = stage.simulator("--api-key", "k", "--loading", "60000")
    assert context_of(sim, "profile") == (200, "text/plain", "context profile session= user=")
    assert context_of(sim, "our%20notes?session=s%2F1&user=u&whatever=1") == (200, "text/plain", "context our notes session=s/1 user=u")
    status, kind, body = context_of(sim, "profile?json=1&user=u&session=%22")
    assert (status, kind, json.loads(body)) == (200, "application/json", {"context": "profile", "session": '"', "user": "u"})
    assert context_of(sim, "%FF?session=%FF")[2] == "context ? session=? user="
    assert context_of(sim, "verdict?json=1&text=%7B%22ok%22:true%7D") == (200, "application/json", '{"ok":true}')
    assert context_of(sim, "notes?status=503&text=away") == (503, "text/plain", "away")
    assert context_of(sim, "notes?text=long&bytes=70000")[2] == "long".ljust(70000)
    assert context_of(sim, "notes?latency=soon")[0] == context_of(sim, "notes?status=20")[0] == 400


def test_contexts_are_counted_apart_and_in_the_journal(stage):
    file = stage.folder / "journal.ndjson"
    sim = stage.simulator("--journal", file)
    context_of(sim, "profile?session=s&user=u")
    left = [http.client.HTTPConnection("127.0.0.1", sim.port, timeout=LIMIT_S) for _ in range(3)]
    for connection in left:
        connection.request("GET", "/context/slow?latency=60000")
    wait_until(lambda: sim.stats()["contexts_in_flight"] == 3, "three under way")
    for connection in left:
        connection.close()
    wait_until(lambda: sim.stats()["contexts_aborted"] == 3, "their end seen")
    stats = sim.stats()
    assert [stats[key] for key in ("contexts", "contexts_in_flight", "contexts_in_flight_max", "requests", "answered", "aborted_by_client")] == [4, 0, 3, 0, 0, 0]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["context"], line["session"], line["user"], line["status"], line["end"]) for line in lines] == [
        ("profile", "s", "u", 200, "answered")] + 3 * [("slow", None, None, 200, "aborted")]
    assert all(0 < line["start_ms"] <= line["end_ms"] for line in lines)


def test_a_context_that_is_slow_comes_when_it_was_said(stage):
    sim = stage.simulator("--journal", stage.folder / "journal.ndjson")
    assert context_of(sim, "profile?latency=200")[0] == 200
    journal = stage.folder / "journal.ndjson"
    line = json.loads(wait_until(lambda: journal.read_text().endswith("\n") and journal.read_text(), "the call's line in the journal"))
    assert line["end_ms"] - line["start_ms"] >= 200


# ---- dialects ----


def post(sim, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=LIMIT_S)
    try:
        connection.request("POST", path, json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **(body or {})}), {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


# Each family's address, and how it says that it doesn't know a key, a model, an address (None: it has no keys, or takes any model).
PLACES = {
    "anthropic": ("/v1", 401, 404, 404), "azure": ("/openai/deployments/m", 401, 404, 404), "dashscope": ("/compatible-mode/v1", 401, 404, 404), "deepseek": ("", 401, 400, 404),
    "google": ("/v1beta/openai", 400, 404, 404), "groq": ("/openai/v1", 401, 404, 404), "litellm": ("/v1", 400, 400, 404), "llama.cpp": ("/v1", 401, 404, 404),
    "lmstudio": ("/v1", None, 404, 200), "mistral": ("/v1", 401, 400, 404), "moonshot": ("/v1", 401, 404, 404), "ollama": ("/v1", None, 404, 404), "openai": ("/v1", 401, 404, 404),
    "openrouter": ("/api/v1", 401, 400, 404), "tgi": ("/v1", None, None, 404), "together": ("/v1", 401, 404, 404), "vllm": ("/v1", 401, 404, 404), "xai": ("/v1", 400, 404, 404)}


@pytest.mark.parametrize("dialect", PLACES)
def test_a_dialect_refuses_settings_that_are_wrong_as_the_family_does(stage, dialect):
    base, no_key, no_model, no_path = PLACES[dialect]
    sim = stage.simulator("--dialect", dialect, "--model", "m", *(("--api-key", "right") if no_key else ()))
    query = "?api-version=2024-10-21" if dialect == "azure" else ""
    good = {"api-key": "right"} if dialect == "azure" else {"Authorization": "Bearer right"}
    path = f"{base}/chat/completions{query}"
    assert post(sim, path, **good)[0] == 200
    if no_key:
        status, body = post(sim, path, Authorization="Bearer wrong")
        assert status == no_key and body != "hi" and post(sim, path)[0] == no_key
    if no_model:
        wrong = path.replace("/m/", "/other/") if dialect == "azure" else path
        assert post(sim, wrong, {"model": "other"}, **good)[0] == no_model
    status, body = post(sim, "/nowhere/v7/chat/completions", **good)
    assert status == no_path and (status != 200 or "error" in body)
    if dialect == "azure":
        assert post(sim, f"{base}/chat/completions", **good)[0] == 404, "without its version"
        assert post(sim, path, Authorization="Bearer right")[0] == 401, "its key comes in a header of its own"
    if dialect == "mistral":
        status, body = post(sim, path, {"stream": True, "stream_options": {"include_usage": True}}, **good)
        assert status == 422 and "stream_options" in body


def test_a_refusal_that_a_dialect_does_not_have_is_loud(stage):
    sim = stage.simulator("--dialect", "tgi")
    status, body = post(sim, "/v1/chat/completions", {"messages": [{"role": "user", "content": "[[fault:no-money]] hi"}]})
    assert status == 400 and "tgi has no refusal 'no-money'" in body


def test_refusals_by_name_without_a_dialect_are_openais(stage):
    sim = stage.simulator()
    status, body = post(sim, "/anything/chat/completions", {"messages": [{"role": "user", "content": "[[fault:bad-key]] hi"}]})
    assert status == 401 and json.loads(body)["error"]["code"] == "invalid_api_key"


def test_a_held_stream_of_a_dialect_is_held_behind_its_words(stage):
    """Whatever comes before them: comments, reasoning."""
    sim = stage.simulator("--dialect", "openrouter")
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=LIMIT_S)
    connection.request("POST", "/api/v1/chat/completions", json.dumps({"messages": [{"role": "user", "content": "[[fault:hold n=2]] early"}], "stream": True}))
    answer, got = connection.getresponse(), b""
    while text_of(events(got)) != "echo: [[fault:hold":
        got += answer.read1(65536)
    sim.wait_held(1)
    assert sim.release("early") == 1 and text_of(events(got + answer.read())) == "echo: [[fault:hold n=2]] early [messages=1]"
    connection.close()


def test_dialects_are_listed_and_a_name_that_is_none_is_refused(stage):
    program = BIN / "chat-llmsim"
    listed = subprocess.run([program, "--dialect", "list"], text=True, capture_output=True, timeout=LIMIT_S)
    assert listed.returncode == 0 and {line.split()[0] for line in listed.stdout.splitlines()} == set(PLACES)
    refused = subprocess.run([program, "--dialect", "mistal"], text=True, capture_output=True, timeout=LIMIT_S)
    assert refused.returncode == 64 and "there is no dialect 'mistal'; there are anthropic" in refused.stderr
