"""What is tried again, what is waited for, and what ends at once."""
from parts import Topics, wait_until


def run_one(stage, message, **settings):
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **settings)
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": message}, key="s")
    return worker, topics, sim, topics.replies(1)["j"]


def test_a_rate_limit_is_tried_again_and_counted(stage, redis_io):
    worker, _, sim, reply = run_one(stage, "hi [[fault:429 retry-after-ms=30 times=2]]", **{"worker.redis_io": redis_io})
    assert reply["status"] == "ok" and reply["attempts"] == 3
    assert sim.stats()["requests"] == 3
    assert len(worker.events("job_retry")) == 2


def test_a_billing_429_is_dead_at_once(stage, redis_io):
    _worker, topics, sim, reply = run_one(stage, "hi [[fault:billing]]", **{"worker.redis_io": redis_io})
    assert reply["status"] == "error" and reply["error"]["code"] == "insufficient_quota"
    assert sim.stats()["requests"] == 1
    (dead_letter,) = topics.read("chat.dead", 1)
    assert dict(dead_letter.headers())["chat.error.class"] == b"permanent"


def test_always_500_is_dead_after_the_attempts(stage):
    _, topics, sim, reply = run_one(stage, "hi [[fault:500]]", **{"retry.attempts_max": "3"})
    assert reply["status"] == "error" and reply["attempts"] == 3 and reply["error"]["retriable"] is True
    assert sim.stats()["requests"] == 3
    (dead_letter,) = topics.read("chat.dead", 1)
    assert dict(dead_letter.headers())["chat.attempts"] == b"3"


def test_503_counts_as_no_attempt_and_is_waited_for(stage):
    _worker, _, sim, reply = run_one(stage, "hi [[fault:503 times=8]]", **{"retry.attempts_max": "2", "retry.backoff_max_ms": "40"})
    assert reply["status"] == "ok" and reply["attempts"] == 1
    assert sim.stats()["requests"] == 9


def test_redis_away_is_waited_for_not_died_of(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **{"worker.redis_io": redis_io, "retry.backoff_max_ms": "200"})
    topics = Topics(worker.bootstrap)
    redis.end()
    topics.send({"id": "j", "message": "hello"}, key="s")
    worker.wait_event("job_waits", job="j")
    assert worker.get("/healthz")[0] == 200
    stage.redis()
    assert topics.replies(1)["j"]["status"] == "ok"
    wait_until(lambda: worker.metric("jobs_alive") == 0, "acknowledged")
    assert worker.metric("jobs_dead_total") == 0


def test_a_passed_deadline_is_a_clear_end(stage):
    """The model holds its answer for ever: the job's own time ends it, with the call, and it isn't tried again."""
    redis, sim = stage.redis(), stage.simulator("--faults", "hold")
    worker = stage.worker(redis, sim)
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "slow", "deadline_ms": 10000}, key="s")
    wait_until(lambda: sim.stats()["requests"] == 1, "the call")
    reply = topics.replies(1)["j"]
    assert (reply["status"], reply["error"]["code"], reply["error"]["provider"]) == ("error", "timeout", "main")
    wait_until(lambda: sim.stats()["aborted_by_client"] == 1, "the call cut")
    assert sim.stats()["requests"] == 1 and len(topics.read("chat.dead", 1)) == 1
    sim.faults("")
    topics.send({"id": "next", "message": "hi"}, key="s")
    assert topics.reply_of("next")["status"] == "ok"


def test_a_provider_over_https_is_trusted_by_its_authority(stage):
    redis, front = stage.redis(), stage.tls_front(stage.simulator())
    worker = stage.worker(redis, front, env={"SSL_CERT_FILE": str(front.ca)})
    topics = Topics(worker.bootstrap)
    for n in range(3):
        topics.send({"id": f"j{n}", "message": "hi"}, key=f"s{n}")
    assert {r["status"] for r in topics.replies(3).values()} == {"ok"}


def test_a_certificate_of_nobody_is_said_and_waited_for(stage):
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, stage.tls_front(sim))
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    (event, *_) = worker.wait_event("job_waits", job="j")
    assert event["code"] == "tls_failed" and "certificate" in event["error"]
    assert sim.stats()["requests"] == 0


# Each fault, then a proper answer: (fault, attempts the reply names). A kept connection that was closed in between is
# tried on a fresh one by libcurl itself, and counts as no attempt: there either number is right.
PASSING = [
    ("408 times=1", {2}), ("409 times=1", {2}), ("424 times=1", {2}), ("429 times=1", {2}), ("500 times=1", {2}), ("502 times=1", {2}),
    ("529 times=1", {1}), ("loading times=1", {1}), ("error-string times=1", {2}), ("error-int-code times=1", {2}),
    ("error-200 code=rate_limit_exceeded times=1", {2}), ("not-json times=1", {2}), ("html times=1", {2}), ("empty-body times=1", {2}),
    ("bad-utf8 times=1", {1}), ("no-message times=1", {2}), ("empty-choices times=1", {2}), ("truncated times=1", {2}),
    ("reset times=1", {1, 2}), ("close times=1", {1, 2}), ("stall times=1", {2}), ("stall n=1 times=1", {2}), ("drip ms=2000 times=1", {2}),
    ("429 retry-after=-5 times=1", {2}), ("400 should-retry=true times=1", {2}), ("stale", {1}), ("length", {1}), ("filter", {1}),
    ("tool-calls", {1}), ("no-usage", {1}), ("null-content", {1}), ("split-utf8", {1}), ("slow ms=50", {1}),
]
ENDING = [  # at the first attempt: (fault, the reply's code or None for any)
    ("400", None), ("401", None), ("403", None), ("404", None), ("422", None), ("301", None), ("billing", "insufficient_quota"),
    ("500 should-retry=false", None), ("overflow", "context_length_exceeded"), ("huge bytes=20000000", "response_too_large"),
]


def test_every_way_a_provider_fails_has_its_end(stage):
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **{"provider.main.attempt_timeout_ms": "5000", "retry.backoff_max_ms": "100"})
    topics = Topics(worker.bootstrap)
    jobs = {f"p{n}": fault for n, (fault, _) in enumerate(PASSING)} | {f"e{n}": fault for n, (fault, _) in enumerate(ENDING)}
    for n, (job, fault) in enumerate(jobs.items()):  # of so few sessions, each answered in between, that it isn't taken for an outage
        topics.send({"id": job, "message": f"{job} [[fault:{fault}]]"}, key=f"s{n % 4}")
        topics.send({"id": f"{job}-well", "message": "hi"}, key=f"s{n % 4}")
    replies = topics.replies(2 * len(jobs))
    for n, (fault, attempts) in enumerate(PASSING):
        reply = replies[f"p{n}"]
        assert reply["status"] == "ok" and reply["attempts"] in attempts, (fault, reply)
    for n, (fault, code) in enumerate(ENDING):
        reply = replies[f"e{n}"]
        assert reply["status"] == "error" and reply["attempts"] == 1 and code in (None, reply["error"]["code"]), (fault, reply)
    assert worker.get("/healthz")[0] == 200


def test_azure_is_asked_by_deployment_key_and_version(stage):
    """Its dialect is in the address and the header; the simulator keeps both."""
    redis, sim = stage.redis(), stage.simulator("--api-key", "k-azure")
    sim.url = f"http://127.0.0.1:{sim.port}/openai/deployments/gpt"
    worker = stage.worker(redis, sim, **{"provider.main.auth": "api-key", "provider.main.api_key": "k-azure", "provider.main.api_version": "2024-10-21"})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    assert topics.replies(1)["j"]["status"] == "ok"
    (request,) = sim.get("/sim/requests?last=1")
    assert request["headers"]["api-key"] == "k-azure" and "authorization" not in {name.lower() for name in request["headers"]}
