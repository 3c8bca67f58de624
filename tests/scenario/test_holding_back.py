"""What the worker holds back by itself: calls in flight, questions that look too late, estimates; that it ends, and that /metrics says so meanwhile.

Judged by the provider's journal, by Redis and by the replies."""
import json
import re
import signal
import time

import pytest
from parts import Topics, wait_until

SPARE = {"llm.providers": "main,spare", "provider.spare.model": "spare"}
PATIENT = {"retry.attempts_max": "100", "retry.backoff_max_ms": "100"}  # a refused job lines up again, soon


class Place:
    """Redis, a simulator with a journal, and one worker in whose memory Kafka is."""

    def __init__(self, stage, *sim, **settings):
        self.redis, self.journal = stage.redis(), stage.folder / "journal.ndjson"
        self.sim = stage.simulator("--journal", self.journal, *sim)
        self.worker = stage.worker(self.redis, self.sim, **settings)
        self.topics = Topics(self.worker.bootstrap)

    def send_all(self, jobs, **fields):
        for job in jobs:
            self.topics.producer.produce(self.topics.jobs, value=json.dumps({"id": job, "message": "hi", **fields}), key=job)
        assert self.topics.producer.flush(30) == 0

    def calls(self, count):
        """The journal, once it has so many lines."""
        wait_until(lambda: len(self.journal.read_text().splitlines()) >= count, f"{count} calls in the journal")
        return [json.loads(line) for line in self.journal.read_text().splitlines()]

    def held_back(self, reason, provider=None):
        return held_back(self.worker, reason, provider)


def held_back(worker, reason, provider=None):
    labels = f'reason="{reason}"' + (f',provider="{provider}"' if provider else "")
    found = re.search(rf"^chat_held_back{{{labels}}} (\d+)$", worker.get("/metrics")[1], re.M)
    assert found, f"no series for {labels}"
    return int(found.group(1))


def ids(count, name="j"):
    return [f"{name}{n}" for n in range(count)]


# ---- calls in flight ----

def test_in_flight_max_is_kept_and_ends_with_the_calls(stage, redis_io):
    """Twenty jobs, sixteen threads, four calls at once: as the provider counts them, held as long as the test likes."""
    place = Place(stage, "--latency", "50", **{"provider.main.in_flight_max": "4", "worker.threads": "16", "worker.redis_io": redis_io})
    assert place.held_back("limit", "main") == 0
    place.sim.signal(signal.SIGSTOP)
    place.send_all(ids(20))
    wait_until(lambda: place.held_back("limit", "main") == 1, "the limit named")
    wait_until(lambda: place.worker.metric("jobs_alive") == 20, "all taken in: a limit doesn't close the intake")
    wait_until(lambda: place.worker.metric("llm_calls_total") == 4, "as many calls as it may have")  # the limit is named when the last has its slot
    wait_until(lambda: place.worker.metric("threads_busy") == 4, "the rest without a thread")
    place.sim.signal(signal.SIGCONT)
    assert {(r["status"], r["attempts"]) for r in place.topics.replies(20).values()} == {("ok", 1)}
    assert place.sim.stats()["in_flight_max"] == 4, "all of it is used, and never more"
    assert place.worker.events("job_waits", code="in_flight_limit") == [], "they waited in line, none was begun in vain"
    wait_until(lambda: place.held_back("limit", "main") == 0, "no longer named")


def test_old_jobs_that_are_refused_now_and_then_are_answered_before_newer_ones(stage, redis_io):
    """Three hundred old jobs, the last ten of which are refused twice, and six hundred newer ones, all in memory before any is asked. While an old
    one waits out a refusal (200 ms in all at most) others have its place; none of those that stand in line does once it is back."""
    old, new, refused = ids(300, "old"), ids(600, "new"), ids(10, "refused")
    place = Place(stage, "--latency", "20", **{**PATIENT, "provider.main.in_flight_max": "8", "worker.threads": "8", "worker.redis_io": redis_io,
                                                "worker.buffered_jobs_max": "2000"})
    place.sim.signal(signal.SIGSTOP)
    place.send_all(old, message="old")
    wait_until(lambda: place.worker.metric("jobs_alive") == 300, "the old ones in memory")
    for job in refused:  # a marker counts for its message, so each has its own
        place.send_all([job], message=f"[[fault:429 times=2]] old {job}")
    wait_until(lambda: place.worker.metric("jobs_alive") == 310, "all old ones in memory")
    place.send_all(new, message="new")
    wait_until(lambda: place.worker.metric("jobs_alive") == 910, "the newer ones in memory")
    place.sim.signal(signal.SIGCONT)
    calls = place.calls(len(old) + len(new) + 3 * len(refused))
    answered = ["old" in call["message"] for call in sorted(calls, key=lambda call: call["number"]) if call["status"] == 200]
    last_old = max(n for n, is_old in enumerate(answered) if is_old)
    assert answered[:last_old].count(False) <= len(new) / 3, "they waited behind the newer ones"


@pytest.mark.parametrize("strategy", ["race", "hedge"])
def test_extra_calls_keep_the_limit_too(stage, strategy):
    """Each question asks both; the second has room for two of sixteen calls at once."""
    spare = stage.simulator("--latency", "60")
    place = Place(stage, "--latency", "60", **{**SPARE, "provider.spare.url": spare.url, "provider.spare.in_flight_max": "2", "worker.threads": "16",
                                                "llm.strategy": strategy, "llm.hedge_after_ms": "1"})
    place.send_all(ids(60))
    assert {r["status"] for r in place.topics.replies(60).values()} == {"ok"}
    assert 1 <= spare.stats()["in_flight_max"] <= 2


def test_what_the_first_has_no_room_for_goes_to_the_next(stage, redis_io):
    spare = stage.simulator()
    place = Place(stage, **{**SPARE, "provider.spare.url": spare.url, "provider.main.in_flight_max": "1", "worker.threads": "8", "worker.redis_io": redis_io})
    place.sim.signal(signal.SIGSTOP)
    place.send_all(ids(9))
    replies = place.topics.replies(8)
    assert {(r["status"], r["provider"], r["attempts"]) for r in replies.values()} == {("ok", "spare", 1)}
    place.sim.signal(signal.SIGCONT)
    assert {r["provider"] for r in place.topics.replies(9).values()} == {"main", "spare"}
    assert place.sim.stats()["requests"] == 1 and spare.stats()["requests"] == 8


def test_jobs_that_wait_for_a_slot_keep_their_turn(stage):
    """A fixed limit is in force for ever: those that come later don't go before those that wait."""
    place = Place(stage, **{"provider.main.in_flight_max": "1", "worker.threads": "4", "worker.ordering": "none"})
    place.sim.signal(signal.SIGSTOP)
    for n in range(12):
        place.topics.producer.produce(place.topics.jobs, value=json.dumps({"id": f"j{n}", "message": f"m{n}"}), partition=0)
        assert place.topics.producer.flush(30) == 0
    wait_until(lambda: place.worker.metric("jobs_alive") == 12, "all taken in")
    place.sim.signal(signal.SIGCONT)
    place.topics.replies(12)
    assert [call["message"] for call in place.calls(12)] == [f"m{n}" for n in range(12)]


def test_a_provider_that_holds_eight_is_asked_of_no_more_than_it_holds_for_long(stage, redis_io):
    """It refuses what is beyond eight at once. All jobs end well, and the refusals end: not one for each few answers."""
    place = Place(stage, "--latency", "60", "--faults", "429 above=8",
                  **{**PATIENT, "worker.threads": "64", "worker.redis_io": redis_io})
    place.send_all(ids(600))
    assert {r["status"] for r in place.topics.replies(600).values()} == {"ok"}
    calls = sorted(place.calls(600), key=lambda call: call["start_ms"])
    later = calls[len(calls) // 2:]
    refused = sum(call["status"] == 429 for call in later)
    assert refused < len(later) / 5, f"{refused} of the last {len(later)} calls were refused"
    assert sum(call["status"] == 429 for call in calls) > 0, "or there was no limit to find"


def test_answers_of_other_lengths_are_no_overload(stage, redis_io):
    """Long answers, then short ones that take more time a token: as many calls at once as there are threads, all the time."""
    place = Place(stage, "--latency", "100", "--faults", "slow ms=200 match=long", **{"worker.threads": "64", "worker.redis_io": redis_io})
    long = ids(640, "l")
    place.send_all(long, message="long " + "x " * 100)
    place.topics.replies(640)
    place.send_all(ids(640, "s"), params={"max_tokens": 5})
    place.topics.replies(1280)
    assert place.worker.events("inflight_limited") == []
    place.sim.signal(signal.SIGSTOP)
    place.send_all(ids(64, "held"))
    wait_until(lambda: place.worker.metric("threads_busy") == 64, "every thread has a call")
    wait_until(lambda: place.worker.metric("llm_calls_total") == 1280 + 64, "of the provider")
    place.sim.signal(signal.SIGCONT)
    place.topics.replies(1280 + 64)


def test_one_overload_answer_at_low_load_leaves_room_for_the_next_wave(stage):
    """One call is under way when it comes; then sixty-four jobs come at once. Nine tenths of them go at once, the rest behind."""
    place = Place(stage, "--faults", "503 times=1 after=3", **{"worker.threads": "64", **PATIENT})
    for n in range(10):
        place.topics.send({"id": f"a{n}", "message": "hi"}, key=f"a{n}")
        place.topics.reply_of(f"a{n}")
    place.sim.signal(signal.SIGSTOP)
    before = place.worker.metric("llm_calls_total")
    place.send_all(ids(64, "b"))
    wait_until(lambda: place.worker.metric("llm_calls_total") - before >= 57, "nine tenths under way")
    place.sim.signal(signal.SIGCONT)
    place.topics.replies(74)


def test_fixed_follows_no_overload_answer(stage):
    place = Place(stage, "--faults", "429 rate=0.3", **{**PATIENT, "provider.main.in_flight": "fixed", "worker.threads": "16"})
    place.send_all(ids(200))
    assert {r["status"] for r in place.topics.replies(200).values()} == {"ok"}
    place.sim.faults("")
    place.sim.signal(signal.SIGSTOP)
    before = place.worker.metric("llm_calls_total")
    place.send_all(ids(16, "held"))
    wait_until(lambda: place.worker.metric("llm_calls_total") - before == 16, "as many as there are threads")
    place.sim.signal(signal.SIGCONT)
    place.topics.replies(216)


# ---- too slow ----

def test_a_provider_that_is_quick_again_is_asked_again(stage, redis_io):
    """Forty answers take sixteen seconds; then it is quick, and sixty jobs have fifteen each: all are answered, and nothing but a probe
    can have shown that they may be."""
    place = Place(stage, "--latency", "20", "--faults", "slow ms=16000", **{"worker.threads": "64", "worker.redis_io": redis_io})
    place.send_all(ids(40))
    place.topics.replies(40)
    place.sim.faults("")
    place.send_all(ids(60, "q"), deadline_ms=15000)
    assert {r["status"] for r in place.topics.replies(100).values()} == {"ok"}
    assert place.sim.stats()["requests"] == 100


def test_while_it_is_slow_few_are_asked_and_the_reason_is_named(stage, redis_io):
    place = Place(stage, "--latency", "20", "--faults", "slow ms=60000 match=late; slow ms=8000 match=long", **{"worker.threads": "64", "worker.redis_io": redis_io})
    place.send_all(ids(24), message="long")
    place.topics.replies(24)
    began = time.monotonic()
    assert place.held_back("too_slow", "main") == 0
    place.send_all(ids(40, "late"), message="late", deadline_ms=6000)
    wait_until(lambda: place.held_back("too_slow", "main") == 1, "the reason named")
    replies = place.topics.replies(64)
    assert {r["status"] for job, r in replies.items() if job.startswith("late")} == {"error"}
    probes = place.sim.stats()["requests"] - 24
    assert 1 <= probes <= 4 + (time.monotonic() - began) / 2 + 1, "one now and then"
    place.send_all(["q"], message="quick", deadline_ms=60000)
    assert place.topics.reply_of("q")["status"] == "ok"
    wait_until(lambda: place.held_back("too_slow", "main") == 0, "no longer named")


def test_a_short_answer_is_not_condemned_for_long_ones(stage):
    """All answers were long; a job that says it wants a few tokens is asked at once."""
    place = Place(stage, "--faults", "slow ms=6000 match=long", **{"worker.threads": "64"})
    place.send_all(ids(30), message="long " + "x " * 2000)
    place.topics.replies(30)
    place.send_all(ids(20, "short"), message="short", deadline_ms=5900, params={"max_tokens": 5})
    replies = place.topics.replies(50)
    assert place.worker.events("job_waits", code="too_slow") == []
    assert "deadline_exceeded" not in [r["error"]["code"] for job, r in replies.items() if job.startswith("short") and r["status"] != "ok"]


# ---- who comes back ----

def test_a_provider_that_comes_back_gets_two_calls_while_others_do_without_it(stage, redis_io):
    """Its probe was answered, so it may have two calls, and those take long. Nobody waits for it, since the next provider has room; and yet
    it isn't met by all that there is: as long as questions had to do without it, it stays half open."""
    spare, pause_s = stage.simulator(), 3
    place = Place(stage, "--faults", "500", **{**SPARE, "provider.spare.url": spare.url, "retry.backoff_ms": str(1000 * pause_s), "worker.threads": "16",
                                               "provider.main.attempt_timeout_ms": "300000", "llm.deadline_ms": "600000",
                                               "worker.redis_io": redis_io, "worker.drain_timeout_ms": "0"})
    for n in range(5):
        place.topics.send({"id": f"fails{n}", "message": "hi"}, key=f"fails{n}")
        assert place.topics.reply_of(f"fails{n}")["provider"] == "spare"
    wait_until(lambda: place.held_back("breaker", "main") == 1, "its breaker open")
    failed = place.sim.stats()["requests"]
    place.sim.faults("")
    number, began, last = 0, time.monotonic(), time.monotonic()
    while time.monotonic() - began < 3 * pause_s:
        before = place.sim.stats()["requests"], spare.stats()["requests"]
        place.topics.send({"id": f"j{number}", "message": "hi"}, key=f"j{number}")
        wait_until(lambda: (place.sim.stats()["requests"], spare.stats()["requests"]) != before, "it is asked of one")
        number += 1
        asked = place.sim.stats()["requests"] - failed  # the probe, and two that are held
        assert asked <= 3, "all at once"
        if asked == 1:
            wait_until(lambda: place.sim.stats()["in_flight"] == 0, "the probe's answer")
            place.sim.faults("hold")
        now = time.monotonic()
        if asked < 3 or now - last > pause_s / 2:  # it is on its way to that; or this machine stood still, and nobody came for so long
            began = now
        last = now
    assert place.sim.stats()["in_flight"] == 2
    place.sim.faults("")
    place.sim.release()
    assert {r["status"] for r in place.topics.replies(5 + number).values()} == {"ok"}


# ---- estimates ----

RATE = {"provider.main.tokens_per_minute": "100000"}


def test_a_question_that_no_minute_holds_is_refused_and_harms_nobody(stage, redis_io):
    """Its neighbours, with a deadline and without, are answered while it could have held them for an hour."""
    place = Place(stage, **{**RATE, "worker.redis_io": redis_io})
    place.send_all(["large"], params={"max_tokens": 1000000000})
    place.send_all(ids(10, "d"), deadline_ms=60000, params={"max_tokens": 50})
    place.send_all(ids(10, "n"), params={"max_tokens": 50})
    replies = place.topics.replies(21)
    large = replies.pop("large")
    assert (large["status"], large["error"]["code"], large["error"]["retriable"], large["error"]["provider"]) == ("error", "tokens_above_rate", False, "main")
    assert "1000000000" in large["error"]["message"] and "100000 of a whole minute" in large["error"]["message"]
    assert {r["status"] for r in replies.values()} == {"ok"}
    assert place.worker.metric("permit_waits_total") == 0 and place.sim.stats()["requests"] == 20
    assert len(place.topics.read(place.topics.dead, 1)) == 1


def test_a_large_estimate_does_not_take_the_rate_from_its_neighbours(stage, redis_io):
    """It may need nine tenths of a minute, and its call goes on for as long as the test likes."""
    place = Place(stage, "--faults", "stall match=large", **{**RATE, "worker.redis_io": redis_io, "worker.drain_timeout_ms": "0"})
    place.send_all(["large"], message="large", params={"max_tokens": 90000})
    wait_until(lambda: place.sim.stats()["in_flight"] == 1, "its call")
    place.send_all(ids(10, "d"), deadline_ms=30000, params={"max_tokens": 50})
    place.send_all(ids(10, "n"), params={"max_tokens": 50})
    replies = place.topics.replies(20)
    assert {r["status"] for r in replies.values()} == {"ok"} and "large" not in replies
    assert place.sim.stats()["in_flight"] == 1, "it is still being answered"


def test_a_provider_without_such_a_rate_is_asked_instead(stage):
    spare = stage.simulator()
    place = Place(stage, **{**RATE, **SPARE, "provider.spare.url": spare.url})
    place.send_all(["large"], params={"max_tokens": 1000000})
    assert place.topics.reply_of("large")["provider"] == "spare" and place.sim.stats()["requests"] == 0


@pytest.mark.parametrize("member", ["max_tokens", "max_completion_tokens", "n_predict", "max\\u005ftokens"])
def test_a_job_beyond_max_tokens_max_is_refused_by_name(stage, member):
    place = Place(stage, **{"llm.max_tokens_max": "1000"})
    place.topics.send('{"id":"over","message":"hi","params":{"%s":1001}}' % member, key="over")
    place.topics.send('{"id":"at","message":"hi","params":{"%s":1000}}' % member, key="at")
    replies = place.topics.replies(2)
    error = replies["over"]["error"]
    assert (error["code"], error["retriable"]) == ("invalid_member", False)
    assert f"params.{member.replace(chr(92) + 'u005f', '_')}" in error["message"] and "1000" in error["message"] and "llm.max_tokens_max" in error["message"]
    assert replies["at"]["status"] == "ok" and place.sim.stats()["requests"] == 1
    assert dict(place.topics.read(place.topics.dead, 1)[0].headers())["chat.error.code"] == b"invalid_member"


# ---- what is given back ----

SLOW_RATE = {"provider.main.tokens_per_minute": "6000", "provider.main.burst_ms": "3600000"}  # an hour's at once, 100 a second
WHOLE = {"max_tokens": 359000}  # all but what the rounds before it used


def test_what_is_given_back_wakes_those_who_wait_for_it(stage, redis_io):
    """One call reserved the whole burst; the next, as large, would start in an hour. The first used little: the next starts then."""
    place = Place(stage, **{**SLOW_RATE, "worker.redis_io": redis_io})
    for n in range(3):
        place.sim.signal(signal.SIGSTOP)
        place.send_all([f"first{n}"], params=WHOLE)
        wait_until(lambda: place.worker.metric("llm_calls_total") == 2 * n + 1, "the call that reserves it")
        place.send_all([f"next{n}"], params=WHOLE)
        wait_until(lambda: place.held_back("rate", "main") == 1, "the next waits for the rate, and it is named")
        assert [int(event["wait_ms"]) > 3_000_000 for event in place.worker.events("job_waits", job=f"next{n}", code="rate_limited")] == [True]
        place.sim.signal(signal.SIGCONT)
        assert {(r["status"], r["attempts"]) for r in place.topics.replies(2 * (n + 1)).values()} == {("ok", 1)}
        wait_until(lambda: place.held_back("rate", "main") == 0, "no longer named")


def test_what_another_process_gives_back_is_seen_too(stage):
    """Two workers share the rate; one is told by Redis what the other gave back."""
    redis, sim, kafka = stage.redis(), stage.simulator("--faults", "stall match=long"), stage.kafka_mock(chat_jobs=2, chat_replies=4, chat_dead=4)
    topics = Topics(kafka.bootstrap)
    quick = {"kafka.session.timeout.ms": "6000", "kafka.heartbeat.interval.ms": "300"}
    workers = [stage.worker(redis, sim, name=f"w{n}", bootstrap=kafka.bootstrap, **{**quick, **SLOW_RATE, "worker.drain_timeout_ms": "0"}) for n in range(2)]
    wait_until(lambda: all(w.metric("partitions_assigned") == 1 for w in workers), "one partition each")

    def send(job, partition, message):
        topics.producer.produce(topics.jobs, value=json.dumps({"id": job, "message": message, "params": WHOLE}), partition=partition)
        assert topics.producer.flush(30) == 0

    send("first", 0, "long")
    wait_until(lambda: sim.stats()["in_flight"] == 1, "its call")
    send("waits", 1, "short")
    wait_until(lambda: sum(held_back(w, "rate", "main") for w in workers) == 1, "the other waits for the rate")
    waiter = next(w for w in workers if held_back(w, "rate", "main") == 1)
    key, later = "chat:permit:{main}:tokens", int(redis.client.get("chat:permit:{main}:tokens"))
    assert later / 1e6 - redis.client.time()[0] > 3600
    redis.client.set(key, str(later - 7200 * 10**6))  # as a settle of another process leaves it
    assert topics.reply_of("waits")["status"] == "ok", "within a second or so, not in an hour"
    wait_until(lambda: held_back(waiter, "rate", "main") == 0, "no longer named")


# ---- the other reasons ----

def test_the_buffer_is_named(stage):
    place = Place(stage, **{"worker.buffered_bytes_max": "65536", "worker.threads": "2"})
    place.sim.signal(signal.SIGSTOP)
    assert place.held_back("buffer") == 0
    place.send_all(ids(20), message="x" * 10000)
    wait_until(lambda: place.held_back("buffer") == place.worker.metric("partitions_assigned") > 0, "every partition")
    place.sim.signal(signal.SIGCONT)
    place.topics.replies(20)
    wait_until(lambda: place.held_back("buffer") == 0, "no longer named")


def test_a_held_intake_and_a_drain_are_named(stage):
    place = Place(stage, **{"worker.drain_timeout_ms": "60000"})
    place.worker.signal(signal.SIGTSTP)
    wait_until(lambda: place.held_back("held") == 1, "held")
    place.worker.signal(signal.SIGCONT)
    wait_until(lambda: place.held_back("held") == 0, "taken up again")
    place.sim.signal(signal.SIGSTOP)
    place.send_all(["j"])
    wait_until(lambda: place.worker.metric("llm_calls_total") == 1, "the call")
    assert place.held_back("draining") == 0
    place.worker.signal(signal.SIGTERM)
    wait_until(lambda: place.held_back("draining") == 1, "draining")
    assert place.held_back("held") == 0 and place.held_back("buffer") == 0
    place.sim.signal(signal.SIGCONT)
    assert place.worker.wait() == 0


def test_a_breaker_is_named_with_its_provider_and_redis_without(stage):
    place = Place(stage, "--faults", "500", **{**PATIENT, "redis.timeout_ms": "300", "worker.threads": "4"})
    place.send_all(ids(20))
    wait_until(lambda: place.held_back("breaker", "main") == 1, "the provider's")
    assert place.held_back("breaker") == 0
    place.sim.faults("")
    assert {r["status"] for r in place.topics.replies(20).values()} == {"ok"}
    place.redis.signal(signal.SIGSTOP)
    place.send_all(ids(20, "r"))
    wait_until(lambda: place.held_back("breaker") == 1, "Redis'")
    place.redis.signal(signal.SIGCONT)
    place.topics.replies(40)
    wait_until(lambda: place.held_back("breaker") == 0, "closed")


def test_a_spent_budget_is_named_until_the_tenant_is_answered_again(stage):
    place = Place(stage, **{"llm.tenant_tokens_per_day": "300"})
    place.send_all(["over"], params={"max_tokens": 200}, metadata={"tenant": "acme"})
    assert place.topics.reply_of("over")["status"] == "ok"
    place.send_all(["refused", "refused-too"], params={"max_tokens": 295}, metadata={"tenant": "acme"})
    assert {r["error"]["code"] for job, r in place.topics.replies(3).items() if job != "over"} == {"budget_exceeded"}
    assert place.held_back("budget") == 1, "one tenant, however often"
    place.send_all(["small"], params={"max_tokens": 10}, metadata={"tenant": "acme"})
    assert place.topics.reply_of("small")["status"] == "ok"
    assert place.held_back("budget") == 0
