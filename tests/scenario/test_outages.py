"""An outage doesn't turn into dead letters: a breaker holds the intake, lag grows, and all go on when it is over. And what is one
job's own is no outage."""
import json
import signal

import pytest
from parts import Topics, wait_until
from scripted import answer

# So many attempts that the first jobs don't use theirs up before five sessions have failed, however slowly they come.
SETTINGS = {"worker.threads": "16", "retry.attempts_max": "20", "retry.backoff_ms": "50", "retry.backoff_max_ms": "400", "provider.main.attempt_timeout_ms": "1000"}
FOR_GOOD = ("401", "402", "403", "404", "billing")  # a refusal for good: those that meet it before the breaker opens end


def all_paused(worker):
    return worker.metric("partitions_paused") == worker.metric("partitions_assigned") > 0


def send(topics, count, prefix="j", message="hi", **fields):
    for n in range(count):
        topics.producer.produce(topics.jobs, value=json.dumps({"id": f"{prefix}{n}", "message": message, **fields}), key=f"{prefix}{n}")
    topics.flush()


@pytest.mark.parametrize("fault", ["500", "503", "408", "429", "reset", "stall", *FOR_GOOD])
def test_while_the_provider_is_away_lag_grows_and_jobs_live(stage, redis_io, fault):
    """Of whatever class the failure is: attempts, or a permanent refusal of every job, would kill them all."""
    redis, sim = stage.redis(), stage.simulator("--latency", "20")
    worker = stage.worker(redis, sim, **SETTINGS, **{"worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    sim.faults(fault)
    send(topics, 40)
    worker.wait_event("breaker_opened", dependency="provider.main")
    wait_until(lambda: all_paused(worker), "the intake closed")
    received = worker.metric("jobs_received_total")
    send(topics, 40, "late")
    worker.wait_event("breaker_half_open", count=3)
    assert worker.metric("jobs_received_total") <= received + 8, "what comes stays in Kafka, but for a few to probe with"
    assert worker.metric("breakers_open") == 1 and worker.get("/healthz")[0] == 200

    sim.faults("")
    replies = topics.replies(80)
    worker.wait_event("breaker_closed")
    bad = [r for r in replies.values() if r["status"] != "ok"]
    assert len(bad) <= (4 if fault in FOR_GOOD else 0), bad
    wait_until(lambda: worker.metric("breakers_open") == 0 and worker.metric("partitions_paused") == 0, "all open again")


# ---- fewer than five sessions ----

# The pauses grow: it is over long before a lone session's jobs have been spared as often as they may.
FEW = {"retry.attempts_max": "2", "retry.backoff_ms": "50", "retry.backoff_max_ms": "5000"}


def few(fault):
    """Silence is met in a second; a good answer has all the time that a busy machine needs."""
    return {**FEW, **({"provider.main.attempt_timeout_ms": "1000"} if fault == "stall" else {})}


@pytest.mark.parametrize("fault", ["500", "503", "408", "429", "reset", "stall"])
@pytest.mark.parametrize("sessions", [1, 2])
def test_an_outage_that_few_sessions_meet_is_one_too(stage, redis_io, sessions, fault):
    """Each would have used up its attempts, one job of a session after the other."""
    redis, sim = stage.redis(), stage.simulator("--faults", fault)
    worker = stage.worker(redis, sim, **few(fault), **{"worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    for n in range(6):
        topics.producer.produce(topics.jobs, value=json.dumps({"id": f"j{n}", "message": f"question {n}"}), key=f"s{n % sessions}")
    topics.flush()
    wait_until(lambda: sim.stats()["requests"] >= 3 * sessions + 3, "they are asked about beyond their attempts")
    worker.wait_event("breaker_opened", dependency="provider.main")
    sim.faults("")
    replies = topics.replies(6)
    assert {r["status"] for r in replies.values()} == {"ok"} and max(r["attempts"] for r in replies.values()) <= 2
    wait_until(lambda: worker.metric("breakers_open") == 0 and worker.metric("partitions_paused") == 0, "all open again")


def test_sessions_that_all_stand_behind_a_job_that_always_fails_go_on(stage, redis_io):
    """Two jobs that always get a 500 are all that can be asked about: nothing shows that others would be answered, and they don't wait for it for ever."""
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **{**FEW, "retry.backoff_ms": "1", "retry.backoff_max_ms": "20", "worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    for n in range(12):
        topics.producer.produce(topics.jobs, value=json.dumps({"id": f"j{n}", "message": ("[[fault:500]] " if n < 2 else "") + f"question {n}"}), key=f"s{n % 2}")
    topics.flush()
    replies = topics.replies(12)
    assert {job for job, reply in replies.items() if reply["status"] != "ok"} == {"j0", "j1"}
    wait_until(lambda: worker.metric("jobs_alive") == 0, "all acknowledged, dead letters, too")
    assert sorted(json.loads(r.value())["id"] if r.value().startswith(b"{") else "" for r in topics.all(topics.dead)) == ["j0", "j1"]
    wait_until(lambda: worker.metric("breakers_open") == 0 and worker.metric("partitions_paused") == 0, "all open again")


def test_one_that_is_alone_waits_for_what_no_job_can_cause(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator("--faults", "429")
    worker = stage.worker(redis, sim, **{**FEW, "retry.backoff_ms": "1", "retry.backoff_max_ms": "1", "worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    wait_until(lambda: sim.stats()["requests"] > 40, "it is asked about again and again")
    sim.faults("")
    reply = topics.reply_of("j")
    assert reply["status"] == "ok" and reply["attempts"] <= 2


@pytest.mark.parametrize("fault", ["500", "408", "reset", "stall"])
def test_one_that_is_alone_and_may_be_the_cause_has_its_attempts(stage, fault):
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **few(fault))
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": f"hi [[fault:{fault}]]"}, key="s")
    reply = topics.reply_of("j")
    assert reply["status"] == "error" and reply["attempts"] == 2 and sim.stats()["requests"] == 2


def test_a_job_that_always_fails_ends_though_its_session_is_all_there_is(stage, redis_io):
    """It is spared 24 times: it may be an outage. Then it isn't, and those behind it go on."""
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **{**FEW, "retry.backoff_ms": "1", "retry.backoff_max_ms": "5", "worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "never", "message": "never [[fault:500]]"}, key="s")
    for n in range(3):
        topics.send({"id": f"j{n}", "message": f"question {n}"}, key="s")
    replies = topics.replies(4)
    assert replies["never"]["status"] == "error" and replies["never"]["attempts"] == 2
    assert all(replies[f"j{n}"]["status"] == "ok" for n in range(3))
    wait_until(lambda: worker.metric("breakers_open") == 0, "all well again")


def test_a_job_that_always_fails_ends_with_the_first_answer_another_session_gets(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **FEW, **{"worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "never", "message": "never [[fault:500]]"}, key="s")
    for n in range(3):
        topics.send({"id": f"j{n}", "message": f"question {n}"}, key="s")
    wait_until(lambda: sim.stats()["requests"] >= 1, "it was asked about")
    topics.send({"id": "other", "message": "hi"}, key="another")
    replies = topics.replies(5)
    assert {job: r["status"] for job, r in replies.items()} == {"never": "error", "j0": "ok", "j1": "ok", "j2": "ok", "other": "ok"}
    assert replies["never"]["attempts"] == 2


def test_a_job_that_always_fails_at_one_ends_though_the_other_is_away(stage):
    """Which failure is the question's: one that counts goes before one that is waited out."""
    redis, sim, spare = stage.redis(), stage.simulator("--faults", "500"), stage.simulator("--faults", "503")
    worker = stage.worker(redis, sim, **FEW, **{"llm.providers": "main,spare", "provider.spare.url": spare.url, "provider.spare.model": "sim"})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    reply = topics.reply_of("j")
    assert reply["status"] == "error" and reply["attempts"] == 2 and reply["error"]["provider"] == "main"
    assert spare.stats()["requests"] == 2


# ---- what is the job's ----

ODD = {
    "half-a-pair": (200, r'{"choices":[{"message":{"role":"assistant","content":"\ud83d"},"finish_reason":"stop"}]}'),
    "no-choices": (200, '{"id":"x"}'),
    "no-json": (200, "<html>hello</html>"),
    "empty": (200, ""),
    "too-large": (200, '{"choices":[{"message":{"role":"assistant","content":"' + "x" * 5000 + '"}}]}'),
    "flagged": (403, '{"error":{"code":403,"message":"The model requires moderation and your input was flagged"}}'),
    "guidelines": (403, '{"code":"no permission","error":"Content violates usage guidelines"}'),
    "relayed": (403, '{"error":{"code":403,"message":"Provider returned error","metadata":{"flagged_input":"x"}}}'),
    "in German": (403, '{"error":{"message":"Ihre Eingabe wurde von der Moderation beanstandet"}}'),
    "in Chinese": (403, '{"error":{"message":"输入内容包含敏感信息"}}'),
    "policy": (400, '{"error":{"code":"content_policy_violation","message":"no"}}'),
    "too-long": (413, '{"error":{"message":"too long"}}'),
    "malformed": (422, '{"detail":"no"}'),
    "own-model": (404, '{"error":{"code":"model_not_found","message":"no such model"}}'),
}


@pytest.mark.parametrize("said", ODD)
def test_an_innocent_job_is_answered_behind_fifty_whose_answers_are_odd(stage, said):
    """Whatever waits in vain for a breaker here waits for a minute; all are asked about, and none holds up another."""
    def question(request):
        return request["messages"][-1]["content"]

    provider = stage.scripted(lambda request, _: (200, answer()) if question(request) == "hello" else ODD[said])
    worker = stage.worker(stage.redis(), provider, **{"retry.backoff_ms": "60000", "retry.backoff_max_ms": "60000", "llm.response_bytes_max": "4096",
                                                      "llm.models_allowed": "own", "worker.threads": "8"})
    topics = Topics(worker.bootstrap)
    for n in range(50):
        params = {"model": "own"} if said == "own-model" else {}
        topics.producer.produce(topics.jobs, value=json.dumps({"id": f"odd{n}", "message": f"odd {n}", "params": params}), key=f"s{n}")
    topics.flush()
    wait_until(lambda: len({question(request) for request in list(provider.requests)}) == 50, "each was asked about")
    topics.send({"id": "innocent", "message": "hello"}, key="another")
    assert topics.reply_of("innocent")["status"] == "ok"
    assert [question(request) for request in provider.requests].count("hello") == 1
    assert worker.metric("breaker_opened_total") == 0


def test_a_provider_that_hangs_is_away_though_each_job_has_a_deadline(stage):
    """It is the attempt's time-out that passes, not the job's."""
    redis, sim = stage.redis(), stage.simulator("--faults", "stall")
    worker = stage.worker(redis, sim, **{**SETTINGS, "provider.main.attempt_timeout_ms": "200"})
    topics = Topics(worker.bootstrap)
    send(topics, 12, deadline_ms=3600000)
    worker.wait_event("breaker_opened", dependency="provider.main")
    sim.faults("")
    assert {r["status"] for r in topics.replies(12).values()} == {"ok"}


def test_jobs_that_give_too_little_time_are_no_outage(stage):
    redis, sim = stage.redis(), stage.simulator("--faults", "stall match=hurry")
    worker = stage.worker(redis, sim, **{**SETTINGS, "provider.main.attempt_timeout_ms": "60000"})
    topics = Topics(worker.bootstrap)
    send(topics, 12, "late", message="hurry", deadline_ms=1000)
    assert {r["status"] for r in topics.replies(12).values()} == {"error"}
    topics.send({"id": "innocent", "message": "hello"}, key="another")
    assert topics.reply_of("innocent")["status"] == "ok"
    assert worker.metric("breaker_opened_total") == 0


# ---- ways back ----

@pytest.mark.parametrize("answers", [1, 3])
def test_a_few_answers_end_an_outage_however_many_threads(stage, redis_io, answers):
    redis, sim = stage.redis(), stage.simulator("--faults", "503")
    worker = stage.worker(redis, sim, **{**SETTINGS, "worker.threads": "500", "worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    send(topics, 6, deadline_ms=10000)
    worker.wait_event("breaker_opened")
    assert {r["status"] for r in topics.replies(6).values()} == {"error"}, "none is left that waits for its end"
    sim.faults("")
    send(topics, answers, "late")
    assert all(r["status"] == "ok" for job, r in topics.replies(6 + answers).items() if job.startswith("late"))
    wait_until(lambda: worker.metric("breakers_open") == 0, "closed, with nothing more to do")


def test_a_job_that_always_fails_is_not_the_probe_for_ever(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **SETTINGS, **{"worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    sim.faults("500")
    send(topics, 5, "never", "[[fault:500]]")
    worker.wait_event("breaker_opened")
    sim.faults("")  # the provider is well again, and all that is parked fails on its own
    send(topics, 20)
    replies = topics.replies(25)
    assert all(replies[f"j{n}"]["status"] == "ok" for n in range(20))
    assert all(replies[f"never{n}"]["status"] == "error" for n in range(5))
    worker.wait_event("breaker_closed")


def test_a_deadline_ends_a_job_in_the_middle_of_an_outage(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **SETTINGS, **{"worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    sim.faults("503")
    send(topics, 12, deadline_ms=10000)
    worker.wait_event("breaker_opened")
    assert {r["status"] for r in topics.replies(12).values()} == {"error"}
    assert worker.metric("breakers_open") == 1, "nobody waited for its end"


def test_while_redis_is_away_the_intake_is_closed(stage, redis_io):
    """Sixteen answers come when it has gone: they are kept, and each is paid once."""
    redis, sim = stage.redis("--appendonly", "yes"), stage.simulator()
    worker = stage.worker(redis, sim, **{**SETTINGS, "provider.main.attempt_timeout_ms": "60000"}, **{"worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)

    def states():
        return [redis.client.hget(key, "state") for key in redis.client.scan_iter("chat:{*}:job:*")]

    sim.signal(signal.SIGSTOP)  # nobody is answered until it goes on
    send(topics, 16, "asked")
    wait_until(lambda: states() == ["run"] * 16, "sixteen claims")
    redis.end()
    sim.signal(signal.SIGCONT)
    wait_until(lambda: sim.stats()["answered"] == 16, "sixteen answers")
    send(topics, 30)
    worker.wait_event("breaker_opened", dependency="redis")
    wait_until(lambda: all_paused(worker), "the intake closed")
    send(topics, 30, "late")
    worker.wait_event("breaker_half_open", count=2)
    assert sim.stats()["requests"] == 16, "nobody is asked without a claim"
    redis = stage.redis("--appendonly", "yes")
    assert {(r["status"], r["attempts"]) for r in topics.replies(76).values()} == {("ok", 1)}
    worker.wait_event("breaker_closed", dependency="redis")
    assert sim.stats()["requests"] == 76 and states() == ["ok"] * 76
