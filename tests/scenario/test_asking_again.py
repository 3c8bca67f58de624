"""When a model is asked again, when later, when never: those of the fifteen ways in which callers of models break that no other
scenario shows (docs/llm.md lists all)."""
import time

import pytest
from parts import Topics, wait_until


class Place:
    def __init__(self, stage, *sim, **settings):
        self.redis, self.sim = stage.redis(), stage.simulator(*sim)
        self.worker = stage.worker(self.redis, self.sim, **settings)
        self.topics = Topics(self.worker.bootstrap)

    def ask(self, message, job="j", **more):
        self.topics.send({"id": job, "message": message, **more}, key=f"s-{job}")
        return self.topics.reply_of(job)


# What the provider says, and the wait that follows in ms: least and most. The usual one is at most 20 ms here.
RETRY_AFTER = {"ms": ("retry-after-ms=700", 700, 701), "seconds": ("retry-after=1", 1000, 1001), "a date": ("retry-after-date=4", 21, 4001),
               "negative": ("retry-after=-5", 0, 20), "no number": ("retry-after=soon", 0, 20)}


@pytest.mark.parametrize("form", RETRY_AFTER)
def test_way_3_retry_after_is_understood_in_every_form(stage, form):
    said, least, most = RETRY_AFTER[form]
    place = Place(stage)
    reply = place.ask(f"hi [[fault:429 {said} times=1]]")
    assert (reply["status"], reply["attempts"]) == ("ok", 2)
    (retry,) = place.worker.events("job_retry", job="j")
    assert least <= int(retry["wait_ms"]) <= most


def test_way_3_a_retry_after_beyond_all_patience_is_an_end(stage):
    place = Place(stage)
    reply = place.ask("hi [[fault:429 retry-after=999999999]]")
    assert (reply["status"], reply["attempts"]) == ("error", 1) and place.sim.stats()["requests"] == 1


def test_way_4_retries_that_take_longer_than_a_poll_may_cost_no_partition(stage):
    """The intake polls on while jobs wait: for one that must wait eight seconds, of a client that may be silent for six."""
    place = Place(stage, **{"kafka.max.poll.interval.ms": "6000", "kafka.session.timeout.ms": "6000"})
    began = time.monotonic()
    reply = place.ask("hi [[fault:429 retry-after=8 times=1]]")
    assert reply["status"] == "ok" and time.monotonic() - began > 6
    assert place.worker.metric("rebalances_total") == 1 and place.worker.metric("jobs_dropped_total") == 0


def test_way_10_a_cut_answer_says_so(stage):
    reply = Place(stage, "--tokens", "20").ask("hi [[fault:length]]")
    assert (reply["status"], reply["finish_reason"]) == ("ok", "length")


def test_way_11_a_kept_connection_that_the_provider_has_given_up_costs_no_attempt(stage):
    """It is reset at the first bytes of the next request; that one goes over a new connection."""
    place = Place(stage, **{"worker.threads": "1"})
    assert place.ask("hi [[fault:stale]]", "first")["attempts"] == 1
    reply = place.ask("again", "second")
    assert (reply["status"], reply["attempts"]) == ("ok", 1)
    assert place.sim.stats()["faults"]["stale-reset"] == 1


def test_way_13_the_only_provider_is_never_left_out_for_its_errors(stage):
    """Two of three answers are errors, of ever other sessions, though never of five in a row; where there was another provider, it would be
    left out. Here each error costs its job an attempt, as ever. A job that the model holds shows that not all there is fails."""
    place = Place(stage, **{"retry.attempts_max": "20", "retry.backoff_max_ms": "50"})
    place.topics.send({"id": "held", "message": "[[fault:hold]] hi"}, key="held")
    place.sim.wait_held()
    for n in range(15):
        reply = place.ask(f"question {n} [[fault:500 times=2]]", f"j{n}")
        assert (reply["status"], reply["attempts"]) == ("ok", 3)
    place.sim.release()
    assert place.topics.reply_of("held")["status"] == "ok"
    assert place.worker.metric("jobs_dead_total") == 0


def test_way_14_an_answer_of_redis_that_comes_late_answers_nobody_else(stage, redis_io):
    """Redis keeps all commands for longer than they are waited for, again and again, and then answers them; no session sees another's."""
    place = Place(stage, "--latency", "20", **{"worker.redis_io": redis_io, "redis.timeout_ms": "100", "retry.backoff_max_ms": "50", "worker.threads": "8"})
    sessions, turns = 6, 12
    for turn in range(turns):
        for session in range(sessions):
            place.topics.send({"id": f"j{session}-{turn}", "message": f"question {turn} of {session}"}, key=f"s{session}")
        if turn % 3 == 0:
            place.redis.client.execute_command("CLIENT", "PAUSE", "300", "ALL")
    replies = place.topics.replies(sessions * turns)
    for session in range(sessions):
        for turn in range(turns):
            content = replies[f"j{session}-{turn}"]["message"]["content"]
            assert content == f"echo: question {turn} of {session} [messages={2 * turn + 1}]"
    assert place.worker.metric("redis_failures_total") > 0, "some were late"


def test_way_14_an_answer_that_is_still_owed_answers_nobody_else(stage, redis_io):
    """It comes with the answer to whatever is asked next on its connection: so nothing may be."""
    redis, sim = stage.redis(), stage.simulator()
    front = stage.redis_front(redis)
    worker = stage.worker(front, sim, **{"worker.redis_io": redis_io, "redis.timeout_ms": "300", "retry.backoff_ms": "20", "retry.backoff_max_ms": "50", "worker.threads": "4"})
    topics, sessions, turns = Topics(worker.bootstrap), 4, 5
    for turn in range(turns):
        for session in range(sessions):
            topics.send({"id": f"j{session}-{turn}", "message": f"question {turn} of {session}"}, key=f"s{session}")
        front.owe(3)
        wait_until(lambda: front.owed == 0, "answers that are held back")
    replies = topics.replies(sessions * turns)
    said = {job: reply["message"]["content"] for job, reply in replies.items()}
    assert said == {f"j{session}-{turn}": f"echo: question {turn} of {session} [messages={2 * turn + 1}]" for session in range(sessions) for turn in range(turns)}
    assert worker.metric("redis_failures_total") > 0
