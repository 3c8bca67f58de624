"""A history that providers refuse: the session goes on without it, and says so."""
import pytest
from parts import Topics
from scripted import answer

POISON = "the turn that nobody takes"


def takes_no_poison(body, number, words="E1001: messages[2].content is malformed", status=400):
    """As providers do that refuse a message they don't understand, with a reason of their own."""
    if any(POISON in str(message.get("content")) for message in body["messages"][:-1]):
        return status, {"error": {"message": words, "type": "invalid_request_error", "code": "E1001"}}
    return 200, answer(POISON if body["messages"][-1]["content"] == "poison" else "fine")


class Session:
    def __init__(self, stage, script, providers=1, **settings):
        self.providers = [stage.scripted(script) for _ in range(providers)]
        pairs = {f"provider.{name}.{key}": value for name, provider in zip("bc"[:providers - 1], self.providers[1:], strict=True) for key, value in (("url", provider.url), ("model", name))}
        self.worker = stage.worker(stage.redis(), self.providers[0], **{**pairs, "llm.providers": ",".join(["main", *"bc"[:providers - 1]]), **settings})
        self.topics = Topics(self.worker.bootstrap)

    def ask(self, job, message):
        self.topics.send({"id": job, "message": message}, key="s")
        return self.topics.reply_of(job)

    def asked(self):
        return [len(provider.requests) for provider in self.providers]


@pytest.mark.parametrize("providers", [1, 2, 3])
def test_the_session_goes_on_without_a_history_that_all_refuse(stage, providers):
    session = Session(stage, takes_no_poison, providers)
    session.ask("j1", "hello")
    session.ask("j2", "poison")
    before = session.asked()
    reply = session.ask("j3", "and now?")
    assert reply["status"] == "ok" and reply["message"]["content"] == "fine" and reply["history_left_out"] == 2 and reply["attempts"] == 1
    after = session.asked()
    assert [a - b for a, b in zip(after, before, strict=True)] == [2] + [1] * (providers - 1), "one call more than providers"
    assert [m["content"] for m in session.providers[0].requests[-1]["messages"]] == ["and now?"]


def test_what_came_before_is_left_out_from_then_on(stage):
    """The turn that nobody takes costs its repeat once, and what came since is remembered."""
    session = Session(stage, takes_no_poison)
    session.ask("j1", "poison")
    session.ask("j2", "and now?")
    before = session.asked()
    reply = session.ask("j3", "do you remember?")
    assert reply["status"] == "ok" and session.asked() == [before[0] + 1] and "history_left_out" not in reply
    assert [m["content"] for m in session.providers[0].requests[-1]["messages"]] == ["and now?", "fine", "do you remember?"]


def test_what_was_left_out_before_counts_no_more(stage):
    session = Session(stage, takes_no_poison)
    left_out = []
    for number, message in enumerate(["poison", "and now?", "poison", "and now?", "go on"]):
        left_out.append(session.ask(f"j{number}", message).get("history_left_out"))
    assert left_out == [None, 1, None, 2, None]


def test_a_history_that_begins_anew_is_shortened_by_what_it_still_has(stage):
    """An overflow's repeat goes without turns that the first request had."""
    def script(body, number):
        if body["messages"][-1]["content"] == "long" and len(body["messages"]) > 1:
            return 400, {"error": {"message": "no", "code": "context_length_exceeded"}}
        return takes_no_poison(body, number)

    session = Session(stage, script)
    for number, message in enumerate(["one", "two", "three", "poison", "and now?"]):
        session.ask(f"j{number}", message)
    reply = session.ask("last", "long")
    assert reply["status"] == "ok" and reply["history_left_out"] == 1
    session.ask("then", "do you remember?")
    assert [m["content"] for m in session.providers[0].requests[-1]["messages"]][:3] == ["and now?", "fine", "long"], "too long is not refused: it is in later requests"


@pytest.mark.parametrize("repeat_is_taken", [True, False])
def test_a_repeat_that_waits_for_its_rate_is_still_the_only_one(stage, repeat_is_taken):
    """The first provider's rate holds up the question, and then the repeat: the second was asked once in all."""
    def script(body, number):
        if len(body["messages"]) > 1 or (body["messages"][0]["content"] == "and now?" and not repeat_is_taken):
            return 400, {"error": {"message": "E1001"}}
        return 200, answer("fine")

    session = Session(stage, script, 2, **{"provider.main.requests_per_minute": "60", "provider.main.burst_ms": "1000"})
    session.ask("j1", "hello")
    before = session.asked()
    reply = session.ask("j2", "and now?")
    assert reply["status"] == ("ok" if repeat_is_taken else "error") and reply.get("history_left_out") == (1 if repeat_is_taken else None)
    assert [a - b for a, b in zip(session.asked(), before, strict=True)] == [2, 1]


@pytest.mark.parametrize("answer_of", [(400, {"error": {"message": "no", "param": "temperature", "code": "invalid_value"}}),
                                       (400, {"error": {"message": "no such model", "code": "model_not_found"}}),
                                       (422, {"detail": [{"loc": ["body", "temperature"], "msg": "must be less"}]})])
def test_what_is_plainly_about_something_else_is_no_matter_of_history(stage, answer_of):
    session = Session(stage, lambda body, number: (200, answer()) if number == 1 else answer_of)
    session.ask("j1", "hello")
    assert session.ask("j2", "and now?")["status"] == "error"
    assert session.asked() == [2]


def test_without_a_history_nothing_is_asked_again(stage):
    session = Session(stage, lambda body, number: (400, {"error": {"message": "E1001"}}))
    reply = session.ask("j1", "hello")
    assert reply["status"] == "error" and "history_left_out" not in reply and session.asked() == [1]


def test_a_repeat_that_fails_ends_the_job_with_the_first_reason(stage):
    session = Session(stage, lambda body, number: (200, answer()) if number == 1 else (400, {"error": {"message": "no", "code": f"E{number}"}}))
    session.ask("j1", "hello")
    reply = session.ask("j2", "and now?")
    assert reply["status"] == "error" and reply["error"]["code"] == "E2" and session.asked() == [3]
