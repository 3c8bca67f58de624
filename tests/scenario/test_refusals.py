"""What a provider's refusal, or an answer that says it broke, leads to: who is asked next, how often, and what the reply says."""
import json
import time

import pytest
from parts import Topics, wait_until
from scripted import DONE, answer, delta, event

JSON = {"Content-Type": "application/json"}


def refuses(status, body, headers=None):
    return lambda request, number: (status, body, headers or JSON)


class World:
    """main, and spare behind it, each by its script; sessions and jobs by name."""

    def __init__(self, stage, main, spare=None, **settings):
        self.main = stage.scripted(main)
        self.spare = stage.scripted(spare or (lambda request, number: (200, answer("from spare"))))
        pairs = {"provider.spare.url": self.spare.url, "provider.spare.model": "spare", "retry.backoff_max_ms": "50"}
        self.worker = stage.worker(stage.redis(), self.main, **{**pairs, **settings})
        self.topics = Topics(self.worker.bootstrap)

    def ask(self, job="j", session="s", **members):
        self.topics.send({"id": job, "session": session, "message": "hi", **members}, key=session)
        return self.topics.reply_of(job)

    def asked(self):
        return len(self.main.requests), len(self.spare.requests)


def openai(message, **members):
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **members}}


GOOGLE_KEY = [{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "the key is not valid", "details": [{"reason": "API_KEY_INVALID"}]}}]
PROVIDERS_OWN = {
    "key": (400, GOOGLE_KEY),
    "account": (400, {"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API."}}),
    "budget": (400, openai("Budget has been exceeded! Current cost: 10.51, Max budget: 10.00", type="budget_exceeded", code="400")),
    "model": (400, openai("Model Not Exist")),
    "region": (400, [{"error": {"code": 400, "status": "FAILED_PRECONDITION", "message": "User location is not supported for the API use."}}]),
    "nobody-knows": (400, openai("E-77 the flux is not aligned")),
    "feature": (400, openai("qwen:4b does not support tools", type="api_error")),
}


@pytest.mark.parametrize("strategy", ["sequential", "race", "hedge"])
def test_what_is_the_providers_own_is_asked_of_the_next(stage, strategy):
    """Also as a 400, and one that nobody knows: with each strategy, once each, without losing an attempt."""
    cases = list(PROVIDERS_OWN)

    def main(request, number):
        case = request["messages"][-1]["content"]
        return PROVIDERS_OWN[case] if case in PROVIDERS_OWN else (200, answer("from main"))

    world = World(stage, main, lambda request, number: (200, answer("from spare")), **{"llm.providers": "main,spare", "llm.strategy": strategy})
    for case in cases:
        reply = world.ask(case, case, message=case)
        assert reply["status"] == "ok" and reply["attempts"] == 1 and reply["message"]["content"] == "from spare", (case, reply)
        asked = sum(request["messages"][-1]["content"] == case for request in world.main.requests)  # by name: the server may note a call late that a race cut short
        assert asked == 1 if strategy != "race" else asked <= 1, case
        world.ask(f"{case}-well", f"{case}-well", message="well")  # so that its breaker stays closed


def test_a_key_refused_by_a_400_is_an_outage(stage):
    """As a 401 is: the breaker closes the intake, and jobs live."""
    healed = []
    world = World(stage, lambda request, number: (200, answer()) if healed else (400, GOOGLE_KEY), **{"retry.attempts_max": "2", "worker.threads": "4"})
    for n in range(30):
        world.topics.send({"id": f"j{n}", "message": "hi"}, key=f"s{n}")
    wait_until(lambda: world.worker.metric("breakers_open") == 1, "the breaker open")
    healed.append(True)
    replies = world.topics.replies(30)
    dead = [r for r in replies.values() if r["status"] == "error"]
    assert len(dead) <= 4 and all(r["error"]["code"] == "API_KEY_INVALID" for r in dead), dead


def test_a_rate_told_by_a_413_is_waited_for(stage):
    def main(request, number):
        return (413, openai("Request too large: tokens per minute", type="tokens", code="rate_limit_exceeded"), {**JSON, "retry-after": "1"}) if number == 1 else (200, answer())

    world = World(stage, main)
    reply = world.ask()
    assert reply["status"] == "ok" and reply["attempts"] == 2


@pytest.mark.parametrize("body", [
    [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2s"}]}}],
    openai("Rate limit reached. Please try again in 2s.", code="rate_limit_exceeded"),
    {"error": {"code": 429, "message": "slow", "retry_after": 2}},
], ids=["google", "words", "member"])
def test_a_wait_that_the_body_alone_tells_is_kept(stage, body):
    times = []

    def main(request, number):
        times.append(time.monotonic())
        return (429, body) if number == 1 else (200, answer())

    reply = World(stage, main).ask()
    assert reply["status"] == "ok" and reply["attempts"] == 2
    assert times[1] - times[0] >= 1.9, "else within the backoff of 50 ms"


def test_a_wait_in_the_body_beyond_what_is_obeyed_ends_the_job(stage):
    world = World(stage, refuses(429, openai("Please retry after 86400 seconds.")))
    assert world.ask()["status"] == "error" and world.asked()[0] == 1


TOO_LONG = [
    (400, openai("input is 40000 tokens, the model takes 32768")),
    (400, openai("prompt of 140000 over the limit of 128000")),
    (400, openai("range of input length should be [1, 129024]")),
    (413, {"error": {"code": "tokens_limit_reached", "message": "Request body too large for gpt-4o model. Max size: 8000 tokens."}}),
    (400, {"error": {"code": "400", "message": "Provider returned error", "metadata": {"raw": json.dumps(openai("prompt is too long: 213462 tokens > 200000 maximum"))}}}),
    (200, {"choices": None, "base_resp": {"status_code": 1039, "status_msg": "token limit"}}),
]


def test_what_is_too_long_in_whatever_words_is_shortened(stage):
    def main(request, number):
        turns, last = len(request["messages"]) // 2, request["messages"][-1]["content"]
        return TOO_LONG[int(last)] if last.isdigit() and turns > 2 else (200, answer("fine"))

    world = World(stage, main)
    for case in range(len(TOO_LONG)):
        for turn in range(4):
            world.ask(f"{case}-{turn}", f"s{case}", message="hello")
        reply = world.ask(f"{case}-long", f"s{case}", message=str(case))
        assert reply["status"] == "ok" and reply["history_left_out"] == 2 and reply["attempts"] == 1, (TOO_LONG[case], reply)


@pytest.mark.parametrize("status,body", TOO_LONG)
def test_what_is_too_long_even_so_goes_to_the_overflow_provider(stage, status, body):
    world = World(stage, refuses(status, body), **{"llm.overflow_provider": "spare"})
    reply = world.ask()
    assert (reply["status"], reply["provider"], reply["attempts"]) == ("ok", "spare", 1) and world.asked() == (1, 1)


CONTENT = {
    "alibaba": (400, {"error": {"code": "data_inspection_failed", "type": "data_inspection_failed", "message": "Input data may contain inappropriate content."}}),
    "openrouter": (403, {"error": {"code": 403, "message": "x requires moderation on y. Your input was flagged", "metadata": {"reasons": ["violence"], "flagged_input": "hi"}}}),
    "google": (200, {"choices": [{"index": 0, "finish_reason": "content_filter: PROHIBITED_CONTENT"}], "model": "g"}),
    "google-null": (200, {"choices": [{"index": 0, "message": None, "finish_reason": "SAFETY"}], "model": "g"}),
    "google-feedback": (200, {"choices": [], "promptFeedback": {"blockReason": "SAFETY"}}),
    "minimax": (200, {"choices": None, "base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}}),
}


@pytest.mark.parametrize("case", CONTENT)
def test_a_refused_content_goes_to_the_filter_provider(stage, case):
    world = World(stage, refuses(*CONTENT[case]), **{"llm.filter_provider": "spare"})
    reply = world.ask()
    assert (reply["status"], reply["provider"], reply["attempts"]) == ("ok", "spare", 1) and world.asked() == (1, 1)


@pytest.mark.parametrize("case", CONTENT)
def test_a_refused_content_is_asked_once_where_nobody_else_may_be(stage, case):
    world = World(stage, refuses(*CONTENT[case]), **{"llm.providers": "main,spare"})
    reply = world.ask()
    assert (reply["error"]["code"], reply["error"]["retriable"]) == ("content_filter", False) and world.asked() == (1, 0)


@pytest.mark.parametrize("status,body", [
    (429, openai("insufficient balance (1008)", type="insufficient_balance_error")), (500, {"type": "error", "error": {"type": "api_error", "message": "insufficient balance (1008)"}}),
    (200, {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}})])
def test_an_empty_account_is_asked_once(stage, status, body):
    world = World(stage, refuses(status, body))
    reply = world.ask()
    assert reply["status"] == "error" and not reply["error"]["retriable"] and world.asked()[0] == 1
    assert "billing" in reply["error"]["message"]


@pytest.mark.parametrize("pieces,code", [
    ([event({"error": {"code": "400", "message": "no"}})], "http_400"),
    ([b'error: {"error":{"code":"400","message":"no"}}\n\n'], "http_400"),
    ([delta(content="half"), event({"error": {"code": "400", "message": "no"}})], "http_400"),
    ([b'{"error":{"code":"400","message":"no"}}\n\n'], "http_400"),
    ([delta(content="half"), b'{\n  "error": {\n    "code": "400",\n    "message": "no"\n  }\n}'], "http_400"),
    ([delta(content="half"), b'data: {"error":{"code":"400","message":"no"}}'], "http_400"),
    ([event({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}})], "1008"),
], ids=["code-as-text", "field", "behind-text", "bare", "bare-lines", "cut-off", "minimax"])
def test_an_error_in_a_stream_is_the_same_error(stage, pieces, code):
    world = World(stage, lambda request, number: pieces)
    reply = world.ask(stream=True)
    assert (reply["status"], reply["error"]["code"], reply["error"]["retriable"]) == ("error", code, False) and world.asked()[0] == 1


# ---- answers that say they broke ----

BROKEN = ["error", "abort", "insufficient_system_resource", "network_error", "MALFORMED_FUNCTION_CALL", "engine_failure"]


def whole(reason, **choice):
    body = answer("half an ans")
    body["choices"][0] |= {"finish_reason": reason, **choice}
    return 200, body


def streamed(reason):
    return [delta(role="assistant", content="half"), delta(content=" an ans"), event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}), event(b"[DONE]")]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_answer_that_broke_goes_to_the_next_provider_and_leaves_nothing(stage, stream):
    def main(request, number):
        reason = request["messages"][-1]["content"]
        if reason not in BROKEN:
            return streamed("stop") if request.get("stream") else (200, answer("from main"))
        return streamed(reason) if request.get("stream") else whole(reason)

    def spare(request, number):
        return [delta(content="from spare"), DONE] if request.get("stream") else (200, answer("from spare"))

    world = World(stage, main, spare, **{"llm.providers": "main,spare"})
    for reason in BROKEN:
        reply = world.ask(reason, message=reason, stream=stream)
        assert (reply["status"], reply["provider"], reply["message"]["content"], reply["attempts"]) == ("ok", "spare", "from spare", 1), reason
        world.ask(f"{reason}-well", "other", message="well")
    world.ask("last", message="and now?")
    assert "half an ans" not in json.dumps(world.main.requests[-1]), "nothing of it is history"


def test_a_choice_that_holds_an_error_is_that_error(stage):
    world = World(stage, lambda request, number: whole("error", error={"code": 402, "message": "no credits are left"}))
    reply = world.ask()
    assert reply["error"]["code"] == "billing_error" and reply["error"]["provider_message"] == "no credits are left" and world.asked()[0] == 1


def test_an_answer_that_broke_is_tried_again_where_nobody_else_is(stage):
    world = World(stage, lambda request, number: whole("abort") if number < 3 else (200, answer()))
    reply = world.ask()
    assert reply["status"] == "ok" and reply["attempts"] == 3


def test_a_finish_reason_that_nobody_knows_goes_through_visibly(stage):
    world = World(stage, lambda request, number: whole("repetition_truncation"))
    reply = world.ask()
    assert (reply["status"], reply["finish_reason"], reply["message"]["content"]) == ("ok", "repetition_truncation", "half an ans")
    assert world.worker.metric("llm_finish_unknown_total") == 1


# ---- what the provider said ----


def test_the_reply_and_the_dead_letter_say_what_the_provider_said(stage):
    said = "E-77: the flux of key k-very-secret-1 isn't aligned\nsee the manual"
    world = World(stage, refuses(400, openai(said, code="400")), **{"provider.main.api_key": "k-very-secret-1"})
    reply = world.ask()
    want = "E-77: the flux of key *** isn't aligned see the manual"
    assert reply["error"]["provider_message"] == want and reply["error"]["provider"] == "main"
    (dead_letter,) = world.topics.read("chat.dead", 1)
    assert dict(dead_letter.headers())["chat.error.provider.message"].decode() == want
    (event_, *_) = world.worker.wait_event("job_dead", job="j")
    assert "HTTP 400" in event_["error"] and "(request)" in event_["error"] and event_["code"] == "invalid_request_error"
    assert "flux" not in world.worker.text() and "very-secret" not in world.worker.text(), "a provider's words may quote the request: never in a log"


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_provider_said_holds_no_header_s_value(stage, stream):
    """A word too short to be a secret stays, or codes and sentences would lose theirs. White space isn't a value's: it doesn't come back."""
    words = {"code": "400", "message": "the route auto has no tenant sesame-1 for opensesame"}
    world = World(stage, lambda request, number: [event({"error": words})] if stream else (400, {"error": words}),
                  **{"provider.main.headers": '{"X-Route":"auto","X-Tenant":" sesame-1 ","Authorization":"Bearer  opensesame"}'})
    assert world.ask(stream=stream)["error"]["provider_message"] == "the route auto has no tenant *** for ***"
    assert "sesame" not in world.worker.text()


def test_what_the_provider_said_holds_no_key_that_was_given_with_white_space(stage):
    world = World(stage, refuses(400, openai("no such account: opensesame;", code="400")), **{"provider.main.api_key": " opensesame "})
    assert world.ask()["error"]["provider_message"] == "no such account: ***;"


def test_long_words_are_cut_between_characters_and_streams_say_theirs(stage):
    world = World(stage, lambda request, number: [event({"error": {"code": "400", "message": "x" + "€" * 2000}})])
    reply = world.ask(stream=True)
    assert reply["error"]["provider_message"] == "x" + "€" * 341


def test_an_error_that_is_no_providers_says_nothing_of_one(stage):
    world = World(stage, lambda request, number: (200, answer()))
    world.topics.send({"id": "j", "message": "hi", "params": {"n": 2}}, key="s")
    reply = world.topics.reply_of("j")
    assert reply["status"] == "error" and "provider_message" not in reply["error"]


def test_ask_shows_what_the_provider_said(stage):
    world = World(stage, refuses(400, openai("E-77: the flux is not aligned")))
    done = stage.producer(world.worker, "ask", "hello", check=1)
    assert "the provider said: E-77: the flux is not aligned" in done.stderr
