"""A call of a script that Redis refuses is made again, whichever script it is and whatever the words: no job is given up for
it, and nothing is passed off as done."""
import pytest
from parts import Topics, signal, wait_until

SETTINGS = {"worker.threads": "8", "retry.attempts_max": "3", "retry.backoff_ms": "20", "retry.backoff_max_ms": "200", "provider.main.attempt_timeout_ms": "60000"}
WORDS = {
    "an outage as Redis 6.2 says it": "ERR Error running script (call to f_0123): @user_script:9: @user_script: 9: -OOM command not allowed when used memory > 'maxmemory'.",
    "words that nobody knows": "NEWCODE a later version has its reasons",
}


class Place:
    def __init__(self, stage, **settings):
        self.redis, self.sim = stage.redis(), stage.simulator()
        self.front = stage.redis_front(self.redis)
        self.worker = stage.worker(self.front, self.sim, **{**SETTINGS, **settings})
        self.topics = Topics(self.worker.bootstrap)

    def state(self, job):
        return self.redis.client.hget(f"chat:{{{job}}}:job:{job}", "state")

    def wait_refused(self, count):
        until = self.front.refused + count
        wait_until(lambda: self.front.refused >= until, "refusals")


@pytest.fixture(params=list(WORDS))
def words(request):
    return WORDS[request.param]


@pytest.mark.parametrize("script", ["begin", "finish", "release", "permit_take", "permit_settle", "budget_take", "budget_settle"])
def test_a_refused_call_is_made_again(stage, redis_io, script, words):
    """Each job fails once on its merits: it is begun twice, has two permits, and is released and finished."""
    place = Place(stage, **{"worker.redis_io": redis_io, "provider.main.requests_per_minute": "100000000", "llm.tenant_tokens_per_day": "100000000"})
    place.front.refuse(script, words)
    jobs = [f"j{n}" for n in range(4)]
    for job in jobs:
        place.topics.send({"id": job, "message": f"[[fault:500 times=1]] {job}", "params": {"max_tokens": 50}, "metadata": {"tenant": "t"}}, key=job)
    place.wait_refused(6)  # more than there are jobs: again and again
    assert "ok" not in {place.state(job) for job in jobs} or script.endswith("settle")
    place.front.refuse(None)
    replies = place.topics.replies(4)
    assert {(r["status"], r["attempts"]) for r in replies.values()} == {("ok", 2)}
    assert {place.state(job) for job in jobs} == {"ok"}
    assert place.sim.stats()["requests"] == 8, "each attempt was paid once"
    assert place.topics.all(place.topics.dead) == []
    (budget,) = place.redis.client.keys("chat:budget:*")
    wait_until(lambda: place.redis.client.hget(budget, "reserved") == "0", "what was used in the place of what was reserved")
    assert int(place.redis.client.hget(budget, "spent")) == sum(r["usage"]["total_tokens"] for r in replies.values())


def test_one_end_that_is_refused_holds_nobody_else(stage, redis_io):
    """Only its own lane waits: its reply isn't sent before Redis has it, and the next of its session comes after it."""
    place = Place(stage, **{"worker.redis_io": redis_io})
    place.front.refuse("finish", WORDS["words that nobody knows"], only=":job:refused")
    for job, session in (("refused", "s"), ("next", "s"), *((f"other{n}", f"t{n}") for n in range(20))):
        place.topics.send({"id": job, "message": "hi"}, key=session)
        if job == "refused":
            place.wait_refused(1)
    assert set(place.topics.replies(20)) == {f"other{n}" for n in range(20)}
    place.wait_refused(2)
    place.front.refuse(None)
    replies = place.topics.replies(22)
    assert [replies[job]["message"]["content"] for job in ("refused", "next")] == ["echo: hi [messages=1]", "echo: hi [messages=3]"]
    assert place.sim.stats()["requests"] == 22


def test_an_end_that_a_foreign_key_fails_goes_out_all_the_same(stage, redis_io):
    """It would fail the same way for ever: the answer is paid, and nobody waits for Redis to know of it."""
    place = Place(stage, **{"worker.redis_io": redis_io})
    place.front.refuse("finish", "WRONGTYPE Operation against a key holding the wrong kind of value")
    for job in ("j", "next"):
        place.topics.send({"id": job, "message": "hi"}, key="s")
    assert {(r["status"], r["attempts"]) for r in place.topics.replies(2).values()} == {("ok", 1)}
    assert place.front.refused == 2 and place.sim.stats()["requests"] == 2


def test_a_renewal_that_is_refused_loses_no_claim(stage, redis_io, words):
    place = Place(stage, **{"worker.redis_io": redis_io, "redis.lease_ms": "5000"})
    place.sim.signal(signal.SIGSTOP)
    place.topics.send({"id": "j", "message": "hi"}, key="j")
    wait_until(lambda: place.state("j") == "run", "its claim")
    place.front.refuse("renew", words)
    place.wait_refused(2)
    place.sim.signal(signal.SIGCONT)
    assert [(r["status"], r["attempts"]) for r in place.topics.replies(1).values()] == [("ok", 1)]
    assert place.sim.stats()["requests"] == 1 and place.worker.metric("claims_lost_total") == 0


def test_a_cancel_that_is_refused_is_told_again(stage, redis_io, words):
    """Of a job that waits behind another of its session: only Redis can say that nobody else runs it."""
    place = Place(stage, **{"worker.redis_io": redis_io})
    place.sim.signal(signal.SIGSTOP)
    place.topics.send({"id": "first", "message": "hi"}, key="s")
    wait_until(lambda: place.redis.client.hget("chat:{s}:job:first", "state") == "run", "its claim")
    place.topics.send({"id": "second", "message": "hi"}, key="s")
    wait_until(lambda: place.worker.metric("jobs_alive") == 2, "the second in its lane")
    place.front.refuse("cancel", words)
    place.topics.cancel("second")
    place.wait_refused(2)
    place.front.refuse(None)
    assert place.topics.replies(1)["second"]["status"] == "cancelled"
    assert place.redis.client.hget("chat:{s}:job:second", "state") == "cancelled"
    place.sim.signal(signal.SIGCONT)
    assert place.topics.replies(2)["first"]["status"] == "ok"


@pytest.mark.parametrize("key", ["chat:permit:{main}:requests", "chat:budget:{t}:*"])
def test_a_key_of_many_jobs_that_holds_something_else_costs_none_of_them(stage, redis_io, key):
    place = Place(stage, **{"worker.redis_io": redis_io, "provider.main.requests_per_minute": "100000000", "llm.tenant_tokens_per_day": "100000000"})
    tenant = {"metadata": {"tenant": "t"}}
    place.topics.send({"id": "first", "message": "hi", **tenant}, key="first")
    place.topics.replies(1)
    (key,) = wait_until(lambda: place.redis.client.keys(key.replace("{", "[{]").replace("}", "[}]")), "the key")
    wait_until(lambda: place.worker.metric("jobs_alive") == 0, "the first settled")
    place.redis.client.delete(key)
    place.redis.client.rpush(key, "another program's")
    for n in range(6):
        place.topics.send({"id": f"j{n}", "message": "hi", **tenant}, key=f"j{n}")
    place.worker.wait_event("job_waits", 6, code="redis_refused")
    place.redis.client.delete(key)
    assert {reply["status"] for reply in place.topics.replies(7).values()} == {"ok"}
    assert place.sim.stats()["requests"] == 7 and place.topics.all(place.topics.dead) == []
