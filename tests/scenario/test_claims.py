"""What a claim is worth: holders that stand still, records that Redis lost, jobs that come again."""
import json
import signal

import pytest
from parts import Topics, job_of, wait_until

QUICK = {"kafka.session.timeout.ms": "3000", "kafka.heartbeat.interval.ms": "300", "redis.lease_ms": "3000"}


@pytest.fixture
def place(stage):
    """A Kafka and a Redis that outlive the workers."""

    class Place:
        redis, sim = stage.redis(), stage.simulator()
        kafka = stage.kafka_mock(chat_jobs=4, chat_replies=4, chat_dead=4)
        topics = Topics(kafka.bootstrap)

        def worker(self, name="worker", **settings):
            return stage.worker(self.redis, self.sim, name=name, bootstrap=self.kafka.bootstrap, **{**QUICK, **settings})

        def job(self, job, session="s"):
            return self.redis.client.hgetall(f"chat:{{{session}}}:job:{job}")

        def wait_renewals(self):
            """Of each claim at least one, as Redis sees them: nothing else runs a script while the calls are held."""
            def scripts():
                return self.redis.client.info("commandstats")["cmdstat_evalsha"]["calls"]
            seen = scripts()
            wait_until(lambda: scripts() >= seen + 4, "each of two claims renewed, whichever was first")

        def history(self, session="s"):
            return [json.loads(turn)["job"] for turn in self.redis.client.lrange(f"chat:{{{session}}}:history", 0, -1)]

    return Place()


def test_a_stopped_worker_that_comes_back_throws_its_answer_away(place, redis_io):
    """Its lease and its place in the group run out, another one answers, and then it goes on: one turn, one reply's
    content, and nobody is a suspect."""
    sleeper = place.worker("sleeper", **{"worker.redis_io": redis_io})
    place.topics.send({"id": "j", "message": "[[fault:hold times=1]] hi"}, key="s")
    place.sim.wait_held()
    sleeper.signal(signal.SIGSTOP)
    other = place.worker("other", ready=False, **{"worker.redis_io": redis_io})
    other.wait_event("reply_enqueued", job="j")
    assert place.job("j")["state"] == "ok" and place.job("j")["crashes"] == "1", "for all anyone could know"

    assert place.sim.release() == 1, "its answer waits for it"
    sleeper.signal(signal.SIGCONT)
    wait_until(lambda: place.job("j")["crashes"] == "0", "its suspicion taken back")
    wait_until(lambda: sleeper.metric("jobs_alive") == 0 and other.metric("jobs_alive") == 0, "the sleeper let go, the other's reply acknowledged")
    assert sleeper.events("reply_enqueued") == []
    assert place.history() == ["j"] and place.sim.stats()["requests"] == 2
    assert len({r.value() for r in place.topics.all("chat.replies")}) == 1
    place.topics.send({"id": "next", "message": "and then"}, key="s")
    assert "[messages=3]" in place.topics.replies(2)["next"]["message"]["content"]


def test_an_answer_under_a_token_that_is_not_the_claims_any_more_is_thrown_away(place, redis_io):
    """Another has the claim when the answer comes: what that one does is its own affair, and nothing of ours is stored or sent."""
    worker = place.worker(**{"worker.redis_io": redis_io, "redis.lease_ms": "600000"})  # no renewal that would hear of it first
    place.sim.signal(signal.SIGSTOP)
    place.topics.send({"id": "j", "message": "hi"}, key="s")
    wait_until(lambda: place.job("j").get("state") == "run", "the claim")
    place.redis.client.hset("chat:{s}:job:j", "token", "0" * 32)
    before = place.job("j")
    place.sim.signal(signal.SIGCONT)
    worker.wait_event("claim_lost", job="j")
    place.topics.send({"id": "later", "message": "hi"}, key="t")
    assert place.topics.replies(1).keys() == {"later"}, "Redis was told of both"
    assert place.job("j") == before and place.history() == []
    place.redis.client.hset("chat:{s}:job:j", "state", "idle")
    assert place.topics.replies(2)["j"]["status"] == "ok"
    assert place.sim.get("/sim/stats?message=hi")["message"]["requests"] == 3 and place.history() == ["j"]


def test_a_record_that_redis_lost_is_still_its_holders(place, redis_io):
    """Evicted while the model thinks: nobody else has the claim, so the answer is waited for and counts."""
    worker = place.worker(**{"worker.redis_io": redis_io})
    place.topics.send({"id": "j", "message": "[[fault:hold times=1]] hi"}, key="s")
    place.sim.wait_held()
    assert place.redis.client.delete("chat:{s}:job:j") == 1
    place.wait_renewals()
    place.sim.release()
    assert place.topics.replies(1)["j"]["status"] == "ok"
    assert place.sim.stats()["requests"] == 1 and place.history() == ["j"]
    wait_until(lambda: worker.metric("jobs_alive") == 0, "acknowledged")


def test_a_claim_that_redis_forgot_is_made_anew(place, redis_io):
    """A failover to a replica that has an older state of the job: the call is cut, and the job begun again."""
    worker = place.worker(**{"worker.redis_io": redis_io})
    place.topics.send({"id": "j", "message": "[[fault:hold times=1]] hi"}, key="s")
    wait_until(lambda: place.sim.stats()["in_flight"] == 1, "the call")
    place.redis.client.hset("chat:{s}:job:j", "state", "idle")
    assert place.topics.replies(1)["j"]["status"] == "ok"
    assert place.sim.stats()["requests"] == 2 and place.history() == ["j"]
    wait_until(lambda: worker.metric("jobs_alive") == 0, "acknowledged")
    assert place.job("j")["fails"] == "0" and place.job("j")["crashes"] == "0"


def test_a_claim_that_is_lost_before_the_call_costs_no_call(place):
    """Begun and renewed, but the only thread is busy: when its turn comes it is begun anew, not asked in vain."""
    worker = place.worker(**{"worker.threads": "1"})
    place.topics.send({"id": "first", "message": "[[fault:hold times=1]] hi"}, key="s")
    place.sim.wait_held()
    place.topics.send({"id": "j", "message": "hi"}, key="t")
    wait_until(lambda: place.job("j", "t").get("state") == "run", "its claim")
    place.redis.client.hset("chat:{t}:job:j", "state", "idle")
    place.wait_renewals()
    place.sim.release()
    assert {r["status"] for r in place.topics.replies(2).values()} == {"ok"}
    worker.wait_event("claim_lost", job="j")
    assert place.sim.stats()["requests"] == 2 and place.history("t") == ["j"]


def test_a_worker_that_was_stopped_between_claim_and_call_does_not_ask_what_another_has_answered(place):
    """Neither the group, in which it stays, nor a renewal tells it before its thread comes to the job: the lease alone does."""
    sleeper = place.worker("sleeper", **{"worker.threads": "1", "kafka.session.timeout.ms": "120000"})
    place.topics.send({"id": "first", "message": "[[fault:hold times=1]] hi"}, key="s")
    place.sim.wait_held()
    place.topics.send({"id": "j", "message": "only once"}, key="t")
    wait_until(lambda: place.job("j", "t").get("state") == "run", "its claim, while it waits for the thread")
    sleeper.signal(signal.SIGSTOP)
    other = place.worker("other", ready=False, **{"kafka.group.id": "another"})
    assert place.topics.reply_of("j")["status"] == "ok"
    wait_until(lambda: other.metric("jobs_received_total") == 2 and other.metric("jobs_alive") == 0, "the other one done with both")
    assert place.sim.release() == 1, "its thread is free when it goes on"
    place.redis.signal(signal.SIGSTOP)
    sleeper.signal(signal.SIGCONT)
    wait_until(lambda: sleeper.metric("threads_busy") == 0, "the thread beyond both jobs")
    place.redis.signal(signal.SIGCONT)
    wait_until(lambda: sleeper.metric("jobs_alive") == 0, "the sleeper let go")
    assert place.sim.get("/sim/stats?message=only%20once")["message"]["requests"] == 1
    assert place.history("t") == ["j"]


def test_a_dead_one_that_comes_again_runs_again_and_an_ok_one_does_not(place, redis_io):
    """The same job once more, from another place in the topic: what a replay sends."""
    worker = place.worker(**{"worker.redis_io": redis_io})
    for _ in range(3):
        place.topics.send({"id": "j", "message": "hi [[fault:billing times=1]]"}, key="s")
    records = place.topics.read("chat.replies", 3)
    assert [job_of(r) for r in records] == ["j"] * 3
    dead, fresh, stored = (json.loads(r.value()) for r in records)
    assert (dead["status"], fresh["status"]) == ("error", "ok") and fresh["attempts"] == 1
    assert stored == fresh
    assert place.sim.stats()["requests"] == 2 and place.history() == ["j"]
    wait_until(lambda: worker.metric("jobs_alive") == 0, "acknowledged, its dead letter, too")
    assert len(place.topics.all("chat.dead")) == 1
