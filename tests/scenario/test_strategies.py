"""Several providers: in a row, as a race, or hedged; what a loser had under way ends at the provider, too."""
import json
import threading
import time

import pytest
from parts import LIMIT_S, Topics, wait_until
from scripted import answer


class Two:
    """A worker that asks `main`, then `spare`; each is a simulator of its own."""

    def __init__(self, stage, main, spare, **settings):
        self.main, self.spare = stage.simulator(*main), stage.simulator(*spare)
        pairs = {"llm.providers": "main,spare", "provider.spare.url": self.spare.url, "provider.spare.model": "spare"}
        self.worker = stage.worker(stage.redis(), self.main, **{**pairs, **settings})
        self.topics = Topics(self.worker.bootstrap)

    def ask(self, message="hi", job="j", session="s", **fields):
        self.topics.send({"id": job, "message": message, **fields}, key=session)
        return self.topics.reply_of(job)

    def seen(self):
        return self.main.stats()["requests"], self.spare.stats()["requests"]


NEVER_MS = "3600000"  # longer than any test waits


@pytest.mark.parametrize("fault", ["500", "429", "401", "404", "billing", "reset", "not-json", "503", "stall"])
def test_sequential_asks_the_next_when_one_fails(stage, redis_io, fault):
    """Whatever is the provider's own trouble: its load, its key, its account, its time. The job loses no attempt."""
    two = Two(stage, [], [], **{"worker.redis_io": redis_io, "provider.main.attempt_timeout_ms": "500"})
    two.main.faults(fault)
    reply = two.ask()
    assert (reply["status"], reply["provider"], reply["attempts"]) == ("ok", "spare", 1)
    assert two.main.stats()["requests"] >= 1 and two.spare.stats()["requests"] == 1


def test_sequential_asks_nobody_else_while_the_first_is_well(stage):
    two = Two(stage, [], [])
    assert two.ask()["provider"] == "main" and two.seen() == (1, 0)


@pytest.mark.parametrize("strategy", ["sequential", "hedge", "race"])
def test_a_question_that_is_refused_for_itself_is_asked_once(stage, strategy):
    """The other isn't asked, or in a race its call is cut: it holds its answer, so that the end isn't its doing."""
    two = Two(stage, ["--faults", "400 code=unsupported_parameter"], ["--faults", "hold"], **{"llm.strategy": strategy, "llm.hedge_after_ms": NEVER_MS})
    reply = two.ask()
    assert reply["status"] == "error" and reply["error"]["provider"] == "main" and reply["attempts"] == 1
    wait_until(lambda: two.spare.stats()["in_flight"] == 0, "what was asked beside it is cut short")
    main, spare = two.seen()
    assert main == 1 and spare <= (strategy == "race") and two.spare.stats()["answered"] == 0


def test_a_refusal_that_nobody_understands_is_put_to_the_next(stage):
    two = Two(stage, ["--faults", "400 code=E1001"], [])
    reply = two.ask()
    assert (reply["status"], reply["provider"], reply["attempts"]) == ("ok", "spare", 1) and two.seen() == (1, 1)


def test_a_fallback_that_runs_already_is_not_asked_again(stage):
    """The hedge is the filter's stand-in, and under way when the first answer turns out to be filtered."""
    hedged = threading.Event()

    def first(body, number):
        assert hedged.wait(LIMIT_S)
        return 200, {"choices": [{"message": {"role": "assistant", "content": ""}, "finish_reason": "content_filter"}]}, {"Connection": "close"}

    def second(body, number):
        hedged.set()
        assert main.read.acquire(timeout=LIMIT_S)
        return 200, answer("from the stand-in")

    main, spare = stage.scripted(first), stage.scripted(second)
    worker = stage.worker(stage.redis(), main, **{"llm.providers": "main,spare", "provider.spare.url": spare.url, "provider.spare.model": "s",
                                                  "llm.strategy": "hedge", "llm.hedge_after_ms": "50", "llm.filter_provider": "spare"})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    reply = topics.reply_of("j")
    assert (reply["status"], reply["provider"], reply["message"]["content"]) == ("ok", "spare", "from the stand-in")
    assert len(main.requests) == 1 and len(spare.requests) == 1



@pytest.mark.parametrize("main, spare, most_hopeful", [("401", "500", "spare"), ("500", "401", "main"), ("500 code=first", "500 code=second", None)])
def test_when_all_fail_the_job_is_tried_again_and_then_dead(stage, main, spare, most_hopeful):
    """By the failure that leaves most hope, whichever came last."""
    two = Two(stage, ["--faults", main], ["--faults", spare], **{"retry.attempts_max": "2"})
    reply = two.ask()
    assert reply["status"] == "error" and reply["attempts"] == 2 and two.seen() == (2, 2)
    assert most_hopeful in (None, reply["error"]["provider"]) and reply["error"]["retriable"] is True
    (dead_letter,) = two.topics.read("chat.dead", 1)
    assert dict(dead_letter.headers())["chat.error.class"] == b"retriable"


def test_in_a_race_the_first_good_answer_wins_and_the_loser_is_cut_short(stage, redis_io):
    two = Two(stage, ["--faults", "hold"], ["--faults", "hold"], **{"llm.strategy": "race", "worker.redis_io": redis_io})
    two.topics.send({"id": "j", "message": "hi"}, key="s")
    two.main.wait_held()  # else there may be nothing to cut: over TLS the other's answer can come first
    two.spare.wait_held()
    two.spare.release()
    reply = two.topics.reply_of("j")
    assert (reply["status"], reply["provider"]) == ("ok", "spare")
    wait_until(lambda: two.main.stats()["aborted_by_client"] == 1, "the loser's connection closed")
    assert two.main.stats()["in_flight"] == 0
    wait_until(lambda: two.worker.metric("llm_calls_dropped_total") == 1, "what it may have cost is counted")
    assert two.worker.metric("llm_calls_dropped_request_bytes_total") > 20


def test_in_a_race_an_error_never_wins_while_another_may_succeed(stage):
    """It comes first: the other answers when the error has been told."""
    two = Two(stage, ["--faults", "500"], ["--faults", "hold"], **{"llm.strategy": "race"})
    two.topics.send({"id": "j", "message": "hi"}, key="s")
    wait_until(lambda: two.main.stats()["answered"] == 1, "the error")
    two.spare.wait_held()
    two.spare.release()
    reply = two.topics.reply_of("j")
    assert (reply["status"], reply["provider"], reply["attempts"]) == ("ok", "spare", 1)


def test_a_hedge_asks_the_second_when_the_first_is_slow(stage, redis_io):
    two = Two(stage, ["--faults", "hold"], [], **{"llm.strategy": "hedge", "llm.hedge_after_ms": "100", "worker.redis_io": redis_io})
    reply = two.ask()
    assert (reply["status"], reply["provider"]) == ("ok", "spare")
    wait_until(lambda: two.main.stats()["aborted_by_client"] == 1, "the loser's connection closed")
    assert two.worker.metric("llm_hedges_total") == 1


def test_a_hedge_asks_nobody_else_when_the_first_is_quick(stage):
    two = Two(stage, [], [], **{"llm.strategy": "hedge", "llm.hedge_after_ms": NEVER_MS})
    assert two.ask()["provider"] == "main" and two.seen() == (1, 0) and two.worker.metric("llm_hedges_total") == 0


def test_a_hedge_asks_the_second_at_once_when_the_first_fails(stage):
    two = Two(stage, ["--faults", "500"], [], **{"llm.strategy": "hedge", "llm.hedge_after_ms": NEVER_MS})
    assert two.ask()["provider"] == "spare"


def test_the_hedge_has_a_budget(stage):
    """No call is answered until each has asked for a second one: what the budget allows has got it, the rest waits for the first.

    The bound follows from the time that it took. Where it is no bound, on a machine so slow that the budget grew as fast as
    the calls, there are more calls at once."""
    for calls_at_once in (100, 400, 1600):
        budget = Hedged(stage, calls_at_once)
        if budget.bound() < calls_at_once:
            break
        budget.end()
    assert budget.bound() < calls_at_once, "never so many at once that the budget was less"
    assert budget.hedges() <= budget.bound(), (budget.hedges(), budget.bound())
    assert budget.hedges() >= 10, "a second's worth is there from the start"
    budget.end()


class Hedged:
    """So many jobs whose first call is held, and hedged if the budget allows, as is the second."""

    def __init__(self, stage, count):
        self.stage, self.count = stage, count
        began = time.monotonic()
        self.two = Two(stage, ["--faults", "hold"], ["--faults", "hold"], **{"llm.strategy": "hedge", "llm.hedge_after_ms": "50", "worker.threads": str(count)})
        for n in range(count):
            self.two.topics.producer.produce(self.two.topics.jobs, value=json.dumps({"id": f"j{n}", "message": "hi"}), key=f"s{n}")
        self.two.topics.flush()
        wait_until(lambda: self.two.main.stats()["held"] == count and self.hedges() + self.two.worker.metric("llm_hedges_denied_total") == count, "a hedge or a no for each")
        wait_until(lambda: self.two.spare.stats()["held"] == self.two.worker.metric("llm_hedges_total"), "the hedges at the provider")
        self.seconds = time.monotonic() - began

    def hedges(self):
        return self.two.spare.stats()["requests"]

    def bound(self):
        """A second's worth, a fifth of the calls, and ten a second since the worker was started."""
        return 10 + self.count / 5 + 10 * self.seconds

    def end(self):
        for sim in (self.two.main, self.two.spare):
            sim.release()
        assert {r["status"] for r in self.two.topics.replies(self.count).values()} == {"ok"}
        for part in reversed(self.stage.started):
            part.end()
        self.stage.started.clear()


def test_a_provider_that_is_away_is_left_out_and_asked_again_when_it_is_back(stage):
    began, pause_s, jobs = time.monotonic(), 2, 40
    two = Two(stage, ["--faults", "500"], [], **{"retry.backoff_ms": str(pause_s * 1000), "retry.backoff_max_ms": str(pause_s * 1000)})
    for n in range(jobs):
        assert two.ask(job=f"j{n}", session=f"s{n}")["provider"] == "spare"
    assert two.main.stats()["requests"] <= 5 + 1 + (time.monotonic() - began) / pause_s, "five until its breaker opens, then one at the end of each pause"
    assert two.worker.metric("partitions_paused") == 0, "the other answers: the intake stays open"
    two.main.faults("")
    number = iter(range(100, 1000))

    def comes_back():
        n = next(number)
        return two.ask(job=f"j{n}", session=f"s{n}")["provider"] == "main"

    wait_until(comes_back, "main asked again")


def test_a_provider_that_fails_every_second_call_is_left_out(stage):
    """By its rate of errors: there are never five failures in a row."""
    two = Two(stage, ["--faults", "500 match=odd"], [], **{"retry.backoff_ms": "60000", "retry.backoff_max_ms": "60000"})
    for n in range(40):
        assert two.ask("odd" if n % 2 else "even", job=f"j{n}", session=f"s{n}")["status"] == "ok"
    two.worker.wait_event("breaker_opened", dependency="provider.main")


def test_while_all_are_away_lag_grows_and_jobs_live(stage, redis_io):
    two = Two(stage, ["--faults", "500"], ["--faults", "503"], **{"retry.backoff_max_ms": "400", "retry.attempts_max": "20", "worker.redis_io": redis_io})
    for n in range(40):
        two.topics.producer.produce(two.topics.jobs, value=json.dumps({"id": f"j{n}", "message": "hi"}), key=f"s{n}")
    two.topics.flush()
    for name in ("main", "spare"):
        two.worker.wait_event("breaker_opened", dependency=f"provider.{name}")
    wait_until(lambda: two.worker.metric("partitions_paused") == two.worker.metric("partitions_assigned") > 0, "the intake closed")
    two.spare.faults("")
    replies = two.topics.replies(40)
    assert {r["status"] for r in replies.values()} == {"ok"}


def test_a_conversation_too_long_for_one_is_answered_by_the_overflow_provider(stage):
    two = Two(stage, ["--ctx", "20"], [], **{"llm.providers": "main", "llm.overflow_provider": "spare"})
    reply = two.ask(" ".join(["word"] * 50))
    assert (reply["status"], reply["provider"], reply["attempts"]) == ("ok", "spare", 1)
    assert two.worker.metric("llm_fallbacks_total") == 1
    assert two.ask("short", job="k", session="another")["provider"] == "main"


@pytest.mark.parametrize("fault", ["filter", "400 code=content_filter"])
def test_what_a_filter_refuses_is_answered_by_the_filter_provider(stage, fault):
    two = Two(stage, ["--faults", fault], [], **{"llm.providers": "main", "llm.filter_provider": "spare"})
    reply = two.ask()
    assert (reply["status"], reply["provider"], reply["finish_reason"]) == ("ok", "spare", "stop")


def test_without_a_filter_provider_the_filters_word_is_in_the_reply(stage):
    two = Two(stage, ["--faults", "filter"], [])
    reply = two.ask()
    assert (reply["provider"], reply["finish_reason"]) == ("main", "content_filter")


def test_a_call_that_cannot_finish_in_time_is_not_started(stage):
    two = Two(stage, ["--latency", "400"], ["--latency", "400"])
    for n in range(24):
        two.topics.producer.produce(two.topics.jobs, value=json.dumps({"id": f"j{n}", "message": "hi"}), key=f"s{n}")
    two.topics.flush()
    two.topics.replies(24)
    asked = two.seen()
    reply = two.ask(job="late", session="late", deadline_ms=250)
    assert reply["status"] == "error" and reply["error"]["code"] in ("deadline_exceeded", "timeout")
    main, spare = two.seen()
    assert main == asked[0], "main is known to take longer"
    assert spare <= asked[1] + 1, "of spare nothing is known"
