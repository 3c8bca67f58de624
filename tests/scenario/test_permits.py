"""What calls may cost: a provider's requests and tokens a minute, shared by all workers; a tenant's tokens a day; and what of it is counted.

Judged by what the simulator saw and what Redis holds, never by how long a test slept."""
import json
import re
import signal
import time

import pytest
from parts import Topics, wait_until

ONE_A_MINUTE = {"provider.main.requests_per_minute": "1"}
TEN_A_SECOND = {"provider.main.requests_per_minute": "600", "provider.main.burst_ms": "1000"}
QUICK = {"kafka.session.timeout.ms": "3000", "kafka.heartbeat.interval.ms": "300"}


class Place:
    """Redis, a simulator with a journal, and one worker in whose memory Kafka is."""

    def __init__(self, stage, *sim, **settings):
        self.stage, self.redis, self.journal = stage, stage.redis(), stage.folder / "journal.ndjson"
        self.sim = stage.simulator("--journal", self.journal, *sim)
        self.worker = stage.worker(self.redis, self.sim, **settings)
        self.topics = Topics(self.worker.bootstrap)

    def ask(self, job, message="hi", session=None, **fields):
        self.topics.send({"id": job, "message": message, **fields}, key=session or job)
        return self.topics.reply_of(job)

    def send_all(self, jobs, **fields):
        for job in jobs:
            self.topics.producer.produce(self.topics.jobs, value=json.dumps({"id": job, "message": "hi", **fields}), key=job)
        self.topics.flush()

    def ahead_s(self, what, provider="main"):
        """How far a limit is used ahead of Redis' clock."""
        return int(self.redis.client.get(f"chat:permit:{{{provider}}}:{what}") or 0) / 1e6 - self.clock_s()

    def clock_s(self):
        seconds, micros = self.redis.client.time()
        return seconds + micros / 1e6

    def budget(self, tenant):
        keys = self.redis.client.keys(f"chat:budget:{{{tenant}}}:*")
        return self.redis.client.hgetall(keys[0]) if keys else {}

    def requests(self):
        return self.sim.stats()["requests"]


def assert_paced(journal, count, burst, per_s, began):
    """By no time were there more starts than the burst and the rate allow until then. Counted from before the first could be sent:
    a call that comes late to the provider, on a slow machine, can only make them fewer."""
    starts = sorted(json.loads(line)["start_ms"] for line in journal.read_text().splitlines())
    assert len(starts) == count
    for so_many, start in enumerate(starts, 1):
        assert so_many <= burst + per_s * (start / 1000 - began) + 1, (so_many, began, starts)


# ---- rates ----

def test_a_lone_worker_keeps_the_rate(stage, redis_io):
    place = Place(stage, **{**TEN_A_SECOND, "worker.redis_io": redis_io})
    began = time.time()
    place.send_all([f"j{n}" for n in range(35)])
    replies = place.topics.replies(35)
    assert {(r["status"], r["attempts"]) for r in replies.values()} == {("ok", 1)}, "waiting costs no attempt"
    wait_until(lambda: len(place.journal.read_text().splitlines()) == 35, "the journal")
    assert_paced(place.journal, 35, 10, 10, began)
    assert place.worker.metric("permit_waits_total") > 0
    assert place.worker.events("job_retry") == []


def test_three_workers_share_a_rate(stage, redis_io):
    redis, journal = stage.redis(), stage.folder / "journal.ndjson"
    sim, kafka = stage.simulator("--journal", journal), stage.kafka_mock(chat_jobs=6, chat_replies=4, chat_dead=4)
    topics = Topics(kafka.bootstrap)
    workers = [stage.worker(redis, sim, name=f"w{n}", bootstrap=kafka.bootstrap, **{**QUICK, **TEN_A_SECOND, "worker.redis_io": redis_io}) for n in range(3)]
    wait_until(lambda: all(w.metric("partitions_assigned") == 2 for w in workers), "two partitions each")
    began = time.time()
    for n in range(40):
        topics.producer.produce(topics.jobs, value=json.dumps({"id": f"j{n}", "message": "hi"}), partition=n % 6)
    topics.flush()
    assert {r["status"] for r in topics.replies(40).values()} == {"ok"}
    wait_until(lambda: len(journal.read_text().splitlines()) == 40, "the journal")
    assert_paced(journal, 40, 10, 10, began)
    assert all(w.metric("permit_waits_total") > 0 for w in workers)


def test_waiting_takes_no_thread(stage, redis_io):
    """The only thread answers what was stored, while another job waits a minute for its permit; a drain gives that back."""
    place, began = Place(stage, **{**ONE_A_MINUTE, "worker.threads": "1", "worker.redis_io": redis_io}), time.monotonic()
    assert place.ask("first")["status"] == "ok"
    place.topics.send({"id": "waits", "message": "hi"}, key="waits")
    place.worker.wait_event("job_waits", job="waits", code="rate_limited")  # told when Redis has been
    place.topics.send({"id": "first", "message": "hi"}, key="first")
    wait_until(lambda: place.worker.metric("jobs_from_store_total") == 1, "the stored reply")
    wait_until(lambda: place.worker.metric("threads_busy") == 0, "the thread that told it free again")
    assert place.requests() == 1 and place.worker.metric("permit_waits_total") == 1
    assert 61 - (time.monotonic() - began) < place.ahead_s("requests") < 121, "reserved"
    assert place.redis.client.hget("chat:{waits}:job:waits", "state") == "idle", "its claim is given up meanwhile"
    place.worker.signal(signal.SIGTERM)
    assert place.worker.wait() == 0
    assert place.ahead_s("requests") < 61, "given back"


def test_a_job_that_cannot_have_its_permit_in_time_is_told_so(stage, redis_io):
    place = Place(stage, **{**ONE_A_MINUTE, "worker.redis_io": redis_io})
    place.ask("first")
    reply = place.ask("late", deadline_ms=5000)
    assert (reply["status"], reply["error"]["code"], reply["error"]["retriable"], reply["error"]["provider"]) == ("error", "rate_limited", True, "main")
    assert len(place.topics.read(place.topics.dead, 1)) == 1 and place.requests() == 1
    assert place.ahead_s("requests") < 61, "nothing is reserved for it"


HUNDRED_A_MINUTE = {"provider.main.tokens_per_minute": "100", "provider.main.burst_ms": "60000"}


def test_tokens_that_were_not_used_let_more_through(stage):
    """Each may need more than half of the hundred that a minute holds, and uses fewer than ten: were the rest not given back, each
    would have to wait for the one before."""
    place = Place(stage, **HUNDRED_A_MINUTE)
    for n in range(5):
        assert place.ask(f"j{n}", params={"max_tokens": 40})["usage"]["total_tokens"] < 10
        wait_until(lambda n=n: place.ahead_s("tokens") < (n + 1) * 10 * 0.6, "settled: what was used, at 0.6 s each")
    assert place.worker.metric("permit_waits_total") == 0 and place.requests() == 5


def test_tokens_of_unknown_use_count_as_estimated(stage):
    """Its estimate stands after its end: the next, as large, has to wait, and is still there when the test has seen it."""
    place = Place(stage, "--faults", "no-usage", **HUNDRED_A_MINUTE)
    began = time.monotonic()
    assert place.ask("first", params={"max_completion_tokens": 60})["usage"]["total_tokens"] is None
    wait_until(lambda: place.worker.metric("jobs_alive") == 0, "its end")
    place.topics.send({"id": "waits", "message": "hi", "params": {"max_completion_tokens": 60}}, key="waits")
    (event,) = place.worker.wait_event("job_waits", job="waits", code="rate_limited")
    assert int(event["wait_ms"]) > 0 and place.requests() == 1
    assert place.ahead_s("tokens") + time.monotonic() - began > 2 * 60 * 0.6, "both are reserved, in full"


def test_what_was_never_asked_is_given_back(stage):
    """Nobody listens: the call wasn't made. A refusal costs its request, but no tokens."""
    limits = {"provider.main.requests_per_minute": "60", "provider.main.tokens_per_minute": "60000", "provider.main.burst_ms": "60000"}
    place = Place(stage, "--faults", "400", **limits)
    began = place.clock_s()
    assert place.ask("refused", params={"max_tokens": 9000})["status"] == "error"
    wait_until(lambda: place.ahead_s("tokens") < 0.1, "its tokens given back")
    assert place.ahead_s("requests") + place.clock_s() >= began + 1, "a second's worth of one a second"
    place.sim.end()
    wait_until(lambda: place.ahead_s("requests") < 0, "the refused one's second")
    place.topics.send({"id": "j", "message": "hi"}, key="j")
    place.worker.wait_event("job_waits", job="j", code="connection_failed")
    wait_until(lambda: place.ahead_s("requests") < 0, "given back")


def test_the_next_provider_is_asked_while_it_has_room(stage, redis_io):
    spare = stage.simulator()
    place = Place(stage, **{**ONE_A_MINUTE, "llm.providers": "main,spare", "provider.spare.url": spare.url, "provider.spare.model": "spare",
                            "provider.spare.requests_per_minute": "2", "provider.spare.burst_ms": "60000", "worker.redis_io": redis_io})
    assert [place.ask(f"j{n}")["provider"] for n in range(3)] == ["main", "spare", "spare"]
    place.topics.send({"id": "waits", "message": "hi"}, key="waits")
    (event,) = place.worker.wait_event("job_waits", job="waits", code="rate_limited")
    assert "provider main" in event["error"], "with room nowhere, it waits for the preferred one"
    assert place.requests() == 1 and spare.stats()["requests"] == 2


def test_a_failure_elsewhere_does_not_end_a_job_that_waits_for_its_permit(stage):
    """The stand-in's key is wrong; the provider that has no room now may still answer, in an hour: the test moves it."""
    spare = stage.simulator("--faults", "401")
    place = Place(stage, **{**ONE_A_MINUTE, "provider.main.burst_ms": "0", "llm.providers": "main,spare", "provider.spare.url": spare.url, "provider.spare.model": "spare"})
    assert place.ask("first")["provider"] == "main"
    key = "chat:permit:{main}:requests"
    place.redis.client.incrby(key, 3600 * 10**6)
    place.topics.send({"id": "second", "message": "hi"}, key="second")
    place.worker.wait_event("job_waits", job="second", code="rate_limited")
    place.redis.client.decrby(key, 2 * 3600 * 10**6)
    reply = place.topics.reply_of("second")
    assert (reply["status"], reply["provider"], reply["attempts"]) == ("ok", "main", 1)
    assert spare.stats()["requests"] == 1


@pytest.mark.parametrize("strategy", ["hedge", "race"])
def test_extra_calls_are_made_where_a_permit_is_free(stage, strategy):
    spare = stage.simulator("--faults", "hold")
    place = Place(stage, "--latency", "400", **{"llm.strategy": strategy, "llm.hedge_after_ms": "50", "llm.providers": "main,spare", "provider.spare.url": spare.url,
                                                "provider.spare.model": "spare", "provider.spare.requests_per_minute": "1"})
    for n in range(3):
        assert place.ask(f"j{n}")["provider"] == "main"
    assert place.requests() == 3 and spare.stats()["requests"] == 1
    assert place.worker.metric("permit_waits_total") == 0


def test_a_shortened_question_waits_for_a_permit_of_its_own(stage):
    place = Place(stage, "--ctx", "60", "--faults", "", **{"provider.main.requests_per_minute": "60", "provider.main.burst_ms": "0"})
    began = time.time()
    for n in range(3):
        assert place.ask(f"j{n}", " ".join(["word"] * 12), session="s")["status"] == "ok"
    reply = place.ask("long", " ".join(["word"] * 12), session="s")
    assert (reply["status"], reply["attempts"]) == ("ok", 1)
    assert place.requests() >= 5  # and whatever was answered before is in the journal
    statuses = [json.loads(line)["status"] for line in place.journal.read_text().splitlines()]
    assert statuses.count(400) >= 1 and len(statuses) == 4 + statuses.count(400), "once in full, once shortened, and never in full again"
    assert_paced(place.journal, len(statuses), 1, 1, began)


def test_without_redis_nobody_is_asked(stage, redis_io):
    """It stands still between the claim and the permit: no call without one, and no attempt lost."""
    place = Place(stage, **{"provider.main.requests_per_minute": "6000", "worker.threads": "1", "redis.timeout_ms": "300", "worker.redis_io": redis_io})
    place.topics.send({"id": "first", "message": "[[fault:hold times=1]] hi"}, key="first")
    place.sim.wait_held()
    place.topics.send({"id": "second", "message": "hi"}, key="second")
    if redis_io == "batched":
        wait_until(lambda: place.redis.client.hget("chat:{second}:job:second", "state") == "run", "its claim")
    place.redis.signal(signal.SIGSTOP)
    place.sim.release()
    wait_until(lambda: place.sim.stats()["in_flight"] == 0, "the first answer")
    place.worker.wait_event("redis_unavailable", count=3)
    assert place.requests() == 1
    place.redis.signal(signal.SIGCONT)
    assert {(r["status"], r["attempts"]) for r in place.topics.replies(2).values()} == {("ok", 1)}
    assert place.requests() == 2


# ---- budgets ----

BUDGET = {"llm.tenant_tokens_per_day": "300"}


def test_a_tenant_has_what_its_day_holds(stage, redis_io):
    place = Place(stage, **{**BUDGET, "worker.redis_io": redis_io})
    acme = {"metadata": {"tenant": "acme"}}
    reply = place.ask("first", params={"max_tokens": 200}, **acme)
    used = reply["usage"]["total_tokens"]
    wait_until(lambda: place.budget("acme") == {"spent": str(used), "reserved": "0"}, "what was used in the place of the estimate")
    refused = place.ask("second", params={"max_tokens": 275}, **acme)
    assert (refused["status"], refused["error"]["code"], refused["error"]["retriable"], refused["error"]["provider"]) == ("error", "budget_exceeded", False, None)
    assert re.search(rf"tenant acme: {300 - used} of the day's 300 tokens are left, the question may need \d+; the day \(UTC\) ends in \d+ h \d+ min", refused["error"]["message"])
    more = place.ask("third", params={"max_tokens": 5000}, **acme)
    assert more["error"]["code"] == "budget_exceeded" and "more than the 300 of a whole day" in more["error"]["message"]
    assert len(place.topics.read(place.topics.dead, 2)) == 2 and place.requests() == 1
    assert place.ask("other", params={"max_tokens": 275}, metadata={"tenant": "other"})["status"] == "ok"
    assert place.ask("none", params={"max_tokens": 5000})["status"] == "ok"
    assert place.ask("number", params={"max_tokens": 5000}, metadata={"tenant": 7})["status"] == "ok"
    assert place.budget("acme") == {"spent": str(used), "reserved": "0"}
    assert place.worker.metric("budget_refusals_total") == 2


def test_names_mean_what_they_say_however_they_are_written(stage):
    """Whatever is decided by a member's name: whose budget, how much, which session, what the provider's settings give way to."""
    place = Place(stage, **{**BUDGET, "provider.main.params": '{"temperature":1}'})
    place.topics.send(r'{"\u0069d":"beyond","\u006dessage":"hi","par\u0061ms":{"m\u0061x_tokens":5000},"met\u0061data":{"ten\u0061nt":"acme"}}', key="k")
    assert place.topics.reply_of("beyond")["error"]["code"] == "budget_exceeded"
    place.topics.send(r'{"\u0069d":"within","sess\u0069on":"q","mess\u0061ges":[{"r\u006fle":"user","c\u006fntent":"hi"}],"params":{"temper\u0061ture":0.25,"max_tokens":50},'
                      r'"metadata":{"t\u0065nant":"acme"}}', key="k")
    reply = place.topics.reply_of("within")
    assert (reply["status"], reply["session"]) == ("ok", "q")
    assert int(place.budget("acme")["spent"]) + int(place.budget("acme")["reserved"]) > 0
    (request,) = place.sim.get("/sim/requests?last=9")
    assert request["body"]["temperature"] == 0.25


def test_a_tenant_may_stand_in_another_member(stage):
    place = Place(stage, **{**BUDGET, "llm.tenant_member": "customer"})
    assert place.ask("j", params={"max_tokens": 5000}, metadata={"tenant": "t", "customer": "acme"})["error"]["code"] == "budget_exceeded"
    assert place.ask("k", params={"max_tokens": 5000}, metadata={"tenant": "t"})["status"] == "ok"


def test_a_budget_that_waits_for_a_permit_is_held_once(stage):
    """Reserved with the permit, and given back with it."""
    place = Place(stage, **{**ONE_A_MINUTE, **BUDGET})
    place.ask("first", metadata={"tenant": "acme"})
    wait_until(lambda: place.budget("acme")["reserved"] == "0", "settled")
    spent = place.budget("acme")["spent"]
    place.topics.send({"id": "waits", "message": "hi", "params": {"max_tokens": 100}, "metadata": {"tenant": "acme"}}, key="waits")
    wait_until(lambda: place.worker.metric("permit_waits_total") == 1, "the wait")
    assert 100 < int(place.budget("acme")["reserved"]) < 200
    place.worker.signal(signal.SIGTERM)
    assert place.worker.wait() == 0
    assert place.budget("acme") == {"spent": spent, "reserved": "0"}


# ---- what is counted ----

def series(worker, name):
    """A family's series: its labels' values to its value."""
    found = re.findall(rf"^{name}{{(.*)}} ([0-9.]+)$", worker.get("/metrics")[1], re.M)
    return {tuple(re.findall(r'="((?:[^"\\]|\\.)*)"', labels)): float(value) for labels, value in found}


def test_tokens_and_calls_are_counted_by_provider_model_and_tenant(stage):
    spare = stage.simulator()
    place = Place(stage, "--faults", "500 times=1", **{"llm.providers": "main,spare", "provider.spare.url": spare.url, "provider.spare.model": "spare"})
    first = place.ask("first", metadata={"tenant": "acme"})
    second = place.ask("second", metadata={"tenant": 'a"c\\m\n'})
    third = place.ask("third")
    assert [r["provider"] for r in (first, second, third)] == ["spare", "main", "main"]
    place.worker.wait_event("reply_enqueued", count=3)
    tokens = series(place.worker, "gen_ai_client_inference_usage_input_tokens_total")
    assert tokens == {("spare", first["model"], "acme"): first["usage"]["prompt_tokens"],
                      ("main", second["model"], 'a\\"c\\\\m?'): second["usage"]["prompt_tokens"],
                      ("main", third["model"], "none"): third["usage"]["prompt_tokens"]}
    assert sum(series(place.worker, "gen_ai_client_inference_usage_output_tokens_total").values()) == sum(r["usage"]["completion_tokens"] for r in (first, second, third))
    assert series(place.worker, "chat_provider_calls_total") == {("main", "failed"): 1, ("spare", "good"): 1, ("main", "good"): 2}
    assert series(place.worker, "gen_ai_client_operation_duration_seconds_count") == {("main", "retriable"): 1, ("spare", ""): 1, ("main", ""): 2}
    assert series(place.worker, "gen_ai_client_inference_usage_input_unknown_total") == {}


@pytest.mark.parametrize("stream", [False, True])
def test_missing_usage_is_unknown_and_never_zero(stage, stream):
    place = Place(stage, "--faults", "no-usage")
    reply = place.ask("j", stream=stream, metadata={"tenant": "acme"})
    assert reply["usage"] == {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}
    place.worker.wait_event("reply_enqueued")
    for direction in ("input", "output"):
        assert series(place.worker, f"gen_ai_client_inference_usage_{direction}_tokens_total") == {}
        assert series(place.worker, f"gen_ai_client_inference_usage_{direction}_unknown_total") == {("main", reply["model"], "acme"): 1}


def test_the_hundred_and_first_tenant_is_counted_with_others(stage):
    place = Place(stage)
    for n in range(100):
        place.topics.producer.produce(place.topics.jobs, value=json.dumps({"id": f"j{n}", "message": "hi", "metadata": {"tenant": f"t{n}"}}), key=f"j{n}")
    place.topics.flush()
    place.topics.replies(100)
    for n in range(100, 103):
        place.ask(f"j{n}", metadata={"tenant": f"t{n}"})
    place.ask("again", metadata={"tenant": "t7"})
    place.worker.wait_event("reply_enqueued", count=104)
    tenants = {labels[2]: value for labels, value in series(place.worker, "gen_ai_client_inference_usage_output_tokens_total").items()}
    assert set(tenants) == {f"t{n}" for n in range(100)} | {"other"}
    assert tenants["other"] == 3 * tenants["t8"] and tenants["t7"] == 2 * tenants["t8"]


def test_without_limits_redis_is_asked_nothing_more(stage, redis_io):
    place = Place(stage, **{"worker.redis_io": redis_io})
    place.redis.client.config_resetstat()  # at start each script was called once
    place.ask("warm", metadata={"tenant": "acme"})
    place.ask("j", metadata={"tenant": "acme"})
    commands = set(place.redis.client.info("commandstats"))
    assert place.redis.client.keys("chat:permit:*") == place.redis.client.keys("chat:budget:*") == []
    assert "cmdstat_hincrby" not in commands
