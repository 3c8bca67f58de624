"""A job that is cancelled ends wherever it is: at a thread, behind another, in a wait, in Kafka; with one reply that says so."""
import json
import os
import signal
import subprocess
import time

import pytest
from deltas import Reader
from parts import BIN, LIMIT_S, Topics, job_of, wait_until

SLOW = "[[fault:hold times=1]] hi"  # for ever, if the test doesn't let it go


class Place:
    """A Kafka and a Redis that outlive the workers."""

    def __init__(self, stage, *sim):
        self.stage, self.redis, self.sim = stage, stage.redis(), stage.simulator(*sim)
        self.kafka = stage.kafka_mock(chat_jobs=4, chat_replies=4, chat_dead=4, chat_control=2, chat_deltas=4)
        self.topics = Topics(self.kafka.bootstrap)

    def worker(self, name="worker", **settings):
        return self.stage.worker(self.redis, self.sim, name=name, bootstrap=self.kafka.bootstrap,
                                 **{"kafka.session.timeout.ms": "3000", "kafka.heartbeat.interval.ms": "300", **settings})

    def state(self, job, session="s"):
        return self.redis.client.hget(f"chat:{{{session}}}:job:{job}", "state")

    def history(self, session="s"):
        return [json.loads(turn)["job"] for turn in self.redis.client.lrange(f"chat:{{{session}}}:history", 0, -1)]

    def running(self, count=1):
        wait_until(lambda: self.sim.stats()["in_flight"] == count, "the calls under way")

    def is_cancelled(self, job, session="s"):
        """By its one reply, its record and the history; and no dead letter."""
        reply = self.topics.reply_of(job)
        assert (reply["status"], reply["error"]["code"], reply["error"]["retriable"]) == ("cancelled", "cancelled", False)
        assert self.state(job, session) == "cancelled" and job not in self.history(session)
        assert [r for r in self.topics.all("chat.dead") if job in r.value().decode()] == []
        return reply


@pytest.fixture
def place(stage):
    return Place(stage)


def at_rest(worker):
    wait_until(lambda: worker.metric("jobs_alive") == 0, "all acknowledged")


def test_a_running_job_is_cut_short_and_the_provider_sees_it(place, redis_io):
    worker = place.worker(**{"worker.redis_io": redis_io})
    place.topics.send({"id": "j", "message": SLOW, "metadata": {"for": "me"}}, key="s")
    place.running()
    began = time.monotonic()
    place.topics.cancel("j")
    assert place.is_cancelled("j")["metadata"] == {"for": "me"}
    wait_until(lambda: place.sim.stats()["aborted_by_client"] == 1, "the connection gone")
    at_rest(worker)
    (event,) = worker.wait_event("job_cancelled", job="j", topic="chat.jobs")
    assert event["offset"] == "0" and 0 <= int(event["after_ms"]) <= (time.monotonic() - began) * 1000
    assert worker.metric("jobs_cancelled_total") == 1 and worker.metric("control_records_total") == 1
    place.topics.send({"id": "next", "message": "hi"}, key="s")
    assert "[messages=1]" in place.topics.reply_of("next")["message"]["content"], "the session goes on without it"


def test_one_behind_a_slow_one_is_answered_before_it_and_the_lane_goes_on(place, redis_io):
    worker = place.worker(**{"worker.redis_io": redis_io})
    place.topics.send({"id": "first", "message": SLOW}, key="s")
    place.running()
    for job in ("second", "third"):
        place.topics.send({"id": job, "message": "hi"}, key="s")
    wait_until(lambda: worker.metric("jobs_received_total") == 3, "all read")
    place.topics.cancel("second")
    place.is_cancelled("second")
    assert place.sim.stats()["held"] == 1, "the first one runs on"
    place.sim.release()
    assert place.topics.reply_of("first")["status"] == place.topics.reply_of("third")["status"] == "ok"
    assert place.history() == ["first", "third"] and place.sim.stats()["requests"] == 2
    at_rest(worker)


def test_one_that_waits_for_a_thread_gives_up_its_place(place, redis_io):
    """Begun ahead in the one form, in line in the other."""
    worker = place.worker(**{"worker.redis_io": redis_io, "worker.threads": "1"})
    place.topics.send({"id": "first", "message": SLOW}, key="s")
    place.running()
    place.topics.send({"id": "j", "message": "hi"}, key="t")
    wait_until(lambda: worker.metric("jobs_received_total") == 2, "read")
    place.topics.cancel("j")
    place.is_cancelled("j", "t")
    assert place.sim.stats()["held"] == 1
    place.sim.release()
    assert place.topics.reply_of("first")["status"] == "ok" and place.sim.stats()["requests"] == 1
    at_rest(worker)


def test_one_that_waits_for_a_retry_ends_at_once_and_its_lane_goes_on(place, redis_io):
    worker = place.worker(**{"worker.redis_io": redis_io, "retry.backoff_ms": "60000", "retry.backoff_max_ms": "3600000"})
    place.topics.send({"id": "j", "message": "hi [[fault:429 retry-after=30]]"}, key="s")
    worker.wait_event("job_retry", job="j")
    place.topics.send({"id": "next", "message": "hi"}, key="s")
    place.topics.cancel("j")
    assert place.is_cancelled("j")["attempts"] == 1, "what was tried is said"
    assert place.topics.reply_of("next")["status"] == "ok"
    at_rest(worker)


def test_one_that_waits_while_the_provider_is_away_ends_all_the_same(place, redis_io):
    """Those in the worker end while it is away, those in Kafka when they are read; none is asked any more."""
    place.sim.faults("503")
    worker = place.worker(**{"worker.redis_io": redis_io, "worker.threads": "8", "retry.backoff_ms": "1000", "retry.backoff_max_ms": "1000"})
    for n in range(8):
        place.topics.send({"id": f"j{n}", "message": "hi"}, key=f"s{n}")
    wait_until(lambda: worker.metric("breakers_open") == 1 and worker.metric("jobs_alive") == 8, "all of them wait for the provider")
    for n in range(8, 12):
        place.topics.send({"id": f"j{n}", "message": "hi"}, key=f"s{n}")
    for n in range(12):
        place.topics.cancel(f"j{n}")
    for n in range(8):
        place.is_cancelled(f"j{n}", f"s{n}")
    for n in range(12):
        worker.wait_event("cancel_heard", job=f"j{n}")
    place.sim.faults("")
    for n in range(8, 12):
        place.is_cancelled(f"j{n}", f"s{n}")
    at_rest(worker)
    assert place.sim.get("/sim/messages")["hi"]["requests"] == place.sim.stats()["faults"]["503"], "nothing but refusals"


def test_one_that_is_streamed_ends_without_a_last_delta(stage):
    place = Place(stage, "--tokens", "20", "--faults", "hold n=10")
    reader = Reader(place.topics)
    worker = place.worker()
    place.topics.send({"id": "j", "message": "a long story", "stream": True}, key="s")
    wait_until(lambda: reader.streams("j"), "a delta")
    place.topics.cancel("j")
    place.is_cancelled("j")
    wait_until(lambda: place.sim.stats()["aborted_by_client"] == 1, "the connection gone")
    at_rest(worker)
    place.sim.faults("")
    place.topics.send({"id": "next", "message": "another", "stream": True}, key="s")
    reader.last("next")  # on the same partition: what was sent before it is there
    (deltas,) = reader.streams("j").values()
    assert not any(delta.get("final") for delta in deltas)


def test_while_redis_is_away_a_running_one_is_cut_short_and_told_when_it_is_back(place, redis_io):
    """The call is cut at once; its end is kept until Redis takes it."""
    worker = place.worker(**{"worker.redis_io": redis_io, "redis.timeout_ms": "200", "retry.backoff_max_ms": "200"})
    place.topics.send({"id": "j", "message": SLOW}, key="s")
    place.running()
    place.redis.signal(signal.SIGSTOP)
    place.topics.cancel("j")
    wait_until(lambda: place.sim.stats()["aborted_by_client"] == 1, "the connection gone")
    worker.wait_event("redis_unavailable")
    assert place.topics.all("chat.replies") == []
    place.redis.signal(signal.SIGCONT)
    place.is_cancelled("j")
    at_rest(worker)


def test_one_that_runs_in_a_drain_ends_the_drain(place, redis_io):
    worker = place.worker(**{"worker.redis_io": redis_io, "worker.drain_timeout_ms": "600000"})
    place.topics.send({"id": "j", "message": SLOW}, key="s")
    place.running()
    worker.signal(signal.SIGTERM)
    worker.wait_event("drain_started")
    place.topics.cancel("j")
    place.is_cancelled("j")
    assert worker.wait() == 0


def test_one_that_is_still_in_kafka_is_cancelled_when_it_is_read(place, redis_io):
    """Both records are older than the worker: it reads the control topic first."""
    place.topics.send({"id": "j", "message": "hi"}, key="s")
    place.topics.send({"id": "other", "message": "hi"}, key="s")
    place.topics.cancel("j")
    worker = place.worker(**{"worker.redis_io": redis_io})
    place.is_cancelled("j")
    assert place.topics.reply_of("other")["status"] == "ok" and place.sim.stats()["requests"] == 1
    assert worker.events("job_cancelled", job="j")


def test_one_that_was_answered_stays_so_and_nothing_more_is_published(place, redis_io):
    worker = place.worker(**{"worker.redis_io": redis_io})
    place.topics.send({"id": "j", "message": "hi"}, key="s")
    assert place.topics.reply_of("j")["status"] == "ok"
    at_rest(worker)
    place.topics.cancel("j")
    worker.wait_event("cancel_heard", job="j", waited=0, under_way=0)
    place.topics.send({"id": "other", "message": "hi"}, key="s")
    assert place.topics.reply_of("other")["status"] == "ok"
    assert [job_of(r) for r in place.topics.all("chat.replies")].count("j") == 1
    assert place.state("j") == "ok" and worker.metric("jobs_cancelled_total") == 0
    place.topics.send({"id": "j", "message": "hi"}, key="s")
    replies = wait_until(lambda: (found := [r for r in place.topics.all("chat.replies") if job_of(r) == "j"])[1:] and found, "the duplicate's")
    assert len({r.value() for r in replies}) == 1, "answered from the store, as ever"


def test_a_duplicate_of_a_cancelled_one_is_answered_the_same(place, redis_io):
    """Two that wait behind each other, one that comes later, one that a new worker is given again."""
    worker = place.worker(**{"worker.redis_io": redis_io})
    for _ in range(2):
        place.topics.send({"id": "j", "message": SLOW}, key="s")
    place.running()
    wait_until(lambda: worker.metric("jobs_received_total") == 2, "both read")
    place.topics.cancel("j")
    place.topics.read("chat.replies", 2)
    place.topics.send({"id": "j", "message": SLOW}, key="s")
    records = place.topics.read("chat.replies", 3)
    assert {json.loads(r.value())["status"] for r in records} == {"cancelled"} and len({r.value() for r in records}) == 1
    at_rest(worker)
    assert place.sim.stats()["requests"] == 1
    worker.signal(signal.SIGKILL)
    worker.wait()
    place.topics.send({"id": "j", "message": SLOW}, key="s")
    place.worker("second", **{"worker.redis_io": redis_io})
    assert len({r.value() for r in place.topics.read("chat.replies", 4)}) == 1
    assert place.sim.stats()["requests"] == 1 and place.topics.all("chat.dead") == []


def test_one_that_another_worker_runs_is_cancelled_there_and_answered_here(place, redis_io):
    """A holder that doesn't read the control topic learns it at its end: its answer is thrown away."""
    deaf = place.worker("deaf", **{"worker.redis_io": redis_io, "worker.control_topic": ""})
    place.topics.send({"id": "j", "message": SLOW}, key="s")
    place.running()
    deaf.signal(signal.SIGSTOP)
    other = place.worker("other", ready=False, **{"worker.redis_io": redis_io})
    other.wait_event("job_waits", job="j", code="claim_busy")
    place.topics.cancel("j")
    wait_until(lambda: place.redis.client.hget("chat:{s}:job:j", "cancel") == "1", "the holder told")
    place.sim.release()
    deaf.signal(signal.SIGCONT)
    place.is_cancelled("j")
    wait_until(lambda: deaf.metric("jobs_alive") == 0 and other.metric("jobs_alive") == 0, "both let go")
    assert place.sim.stats()["requests"] == 1 and place.history() == []
    assert len({r.value() for r in place.topics.all("chat.replies")}) == 1


def test_of_many_the_cancelled_end_so_and_the_others_well(place, redis_io):
    """Every other one, while they come, run and wait in their lanes: each has one reply, in one form or the other."""
    place.sim.faults("slow ms=20 rate=0.5")
    worker = place.worker(**{"worker.redis_io": redis_io, "worker.threads": "8"})
    for n in range(400):
        place.topics.producer.produce("chat.jobs", value=json.dumps({"id": f"j{n}", "message": "hi"}), key=f"s{n % 20}")
        if n % 2:
            place.topics.producer.produce("chat.control", value=json.dumps({"cancel": f"j{n}"}))
    place.topics.flush()
    replies = place.topics.replies(400)
    assert {replies[f"j{n}"]["status"] for n in range(0, 400, 2)} == {"ok"}
    ends = [replies[f"j{n}"]["status"] for n in range(1, 400, 2)]
    assert set(ends) <= {"ok", "cancelled"} and ends.count("cancelled") > 0
    at_rest(worker)
    assert len(place.topics.all("chat.replies")) == 400
    for s in range(20):
        turns = place.history(f"s{s}")
        assert turns == sorted(turns, key=lambda job: int(job[1:])) and all(replies[job]["status"] == "ok" for job in turns)


def test_control_records_that_say_nothing_are_counted_and_skipped(place):
    worker = place.worker()
    for value in ("not json", "[]", "{}", '{"cancel":7}', '{"cancel":""}', "x" * 5000, '{"stop":"all"}'):
        place.topics.send(value, topic="chat.control")
    place.topics.send({"id": "j", "message": SLOW}, key="s")
    place.running()
    place.topics.send({"cancel": "j", "why": "a later version's"}, topic="chat.control")
    place.is_cancelled("j")
    worker.wait_event("control_undecodable", 7)  # of two partitions: the one that was sent last may be read before some
    assert worker.metric("control_records_total") == 8 and worker.metric("control_undecodable_total") == 7 == len(worker.events("control_undecodable"))


def test_a_control_topic_that_is_not_there_stops_nothing_and_is_found_later(place):
    place.kafka.tell("topic", "chat.control", "UNKNOWN_TOPIC_OR_PART")
    worker = place.worker()
    (said,) = worker.wait_event("control_topic_missing")
    assert said["topic"] == "chat.control"
    place.topics.send({"id": "before", "message": "hi"}, key="s")
    assert place.topics.reply_of("before")["status"] == "ok"
    place.kafka.tell("topic", "chat.control", "NO_ERROR")
    place.topics.send({"id": "j", "message": SLOW}, key="s")
    place.running()
    place.topics.cancel("j")
    place.is_cancelled("j")


def test_with_an_empty_setting_no_control_topic_is_read(place):
    worker = place.worker(**{"worker.control_topic": ""})
    place.topics.cancel("j")
    place.topics.send({"id": "j", "message": "hi"}, key="s")
    assert place.topics.reply_of("j")["status"] == "ok"
    assert worker.metric("control_records_total") == 0 and not worker.events("control_topic_missing")


class Asking:
    """chat-producer ask, as a script runs it."""

    def __init__(self, place, *arguments):
        self.process = subprocess.Popen(["env", "--default-signal=INT", BIN / "chat-producer", "ask", "-b", place.kafka.bootstrap, "--id", "j", "--session", "s", *arguments],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def end(self):
        out, err = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, out, err


def test_an_interrupted_ask_cancels_its_job_and_says_so(place):
    place.worker()
    asking = Asking(place, SLOW)
    place.running()
    asking.interrupt()
    assert asking.end() == (1, "", "chat-producer: cancelled: the job was cancelled\n")
    place.is_cancelled("j")
    wait_until(lambda: place.sim.stats()["aborted_by_client"] == 1, "the model is let go")


def test_an_answer_that_comes_before_the_cancel_is_printed(place):
    """A worker that reads no control topic answers all the same."""
    place.worker(**{"worker.control_topic": ""})
    asking = Asking(place, "[[fault:hold]] hello")
    place.running()
    asking.interrupt()
    wait_until(lambda: place.topics.all("chat.control"), "the cancel sent")
    place.sim.release()
    status, out, err = asking.end()
    assert (status, err) == (1, "chat-producer: interrupted, but the answer came first\n") and "echo:" in out


def test_an_ask_without_a_control_topic_says_so_and_leaves(place):
    place.kafka.tell("topic", "chat.control", "UNKNOWN_TOPIC_OR_PART")
    place.worker()
    asking = Asking(place, SLOW)
    place.running()
    asking.interrupt()
    status, out, err = asking.end()
    assert (status, out) == (1, "") and "chat.control" in err and "interrupted; job j may still be answered on chat.replies" in err


def test_a_second_interrupt_leaves_at_once(place):
    place.worker(**{"worker.control_topic": ""})
    asking = Asking(place, SLOW)
    place.running()
    for _ in range(2):
        asking.interrupt()
        wait_until(lambda: place.topics.all("chat.control"), "the cancel sent")
    status, _, err = asking.end()
    assert status == 1 and "interrupted; job j may still be answered on chat.replies" in err


def test_jobs_are_cancelled_by_name(place):
    worker = place.worker()
    for n in range(3):
        place.topics.send({"id": f"j{n}", "message": "[[fault:hold]] hi"}, key=f"s{n}")
    place.running(3)
    done = place.stage.producer(worker, "cancel", "-v", "j0", "j2", check=0)
    assert "2 of 2 records acknowledged" in done.stderr
    for n in (0, 2):
        place.is_cancelled(f"j{n}", f"s{n}")
    wait_until(lambda: place.sim.stats()["aborted_by_client"] == 2, "both connections gone")
    assert place.sim.stats()["in_flight"] == 1
    place.topics.cancel("j1")
    place.is_cancelled("j1", "s1")
    assert place.stage.producer(worker, "cancel").returncode == 64


def test_an_id_that_nobody_has_is_said(place):
    """As is one that has ended before: no worker says a word of either. What is heard of is not waited for. A worker that a busy machine
    keeps from saying its word in time has more of it."""
    worker = place.worker()
    place.topics.send({"id": "ended", "message": "hi"}, key="t")
    assert place.topics.reply_of("ended")["status"] == "ok"
    for wait_s in (2, 20, 120):
        job = f"j{wait_s}"
        place.topics.send({"id": job, "message": "[[fault:hold]] hi"}, key="s")
        place.running()
        done = place.stage.producer(worker, "cancel", "--wait", str(wait_s), "nobody's", job, "ended", check=1)
        said = done.stderr.splitlines()
        named = [line.split(":")[1].split()[1] for line in said]
        place.is_cancelled(job)
        if named != ["nobody's", job, "ended"]:
            break
    assert done.stdout == "" and named == ["nobody's", "ended"] and all("No worker seems to have it" in line for line in said)
    place.topics.send({"id": "alone", "message": "[[fault:hold]] hi"}, key="s")
    place.running()
    assert place.stage.producer(worker, "cancel", "--wait", "3600", "alone", check=0).stderr == ""
    place.is_cancelled("alone")
    assert place.stage.producer(worker, "cancel", "--wait", "0", "nobody's", check=0).stderr == "", "who doesn't wait isn't told"


def test_a_job_that_is_not_read_yet_is_no_unknown_one_for_long(place):
    """No worker is there; the one that comes has the job end as cancelled."""
    place.topics.send({"id": "j", "message": "hi"}, key="s")
    done = subprocess.run([BIN / "chat-producer", "cancel", "--wait", "1", "j", "-b", place.kafka.bootstrap], capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 1 and "still on the topic" in done.stderr
    place.worker()
    place.is_cancelled("j")


@pytest.mark.parametrize("job", ["", "x" * 281, b"a\xff", b"\xc3", b"\xed\xa0\x80"])
def test_what_cannot_be_an_id_is_refused_before_anything_is_sent(place, job):
    job = os.fsdecode(job)
    done = subprocess.run([BIN / "chat-producer", "cancel", "good", job, "-b", place.kafka.bootstrap], capture_output=True, text=True, errors="surrogateescape", timeout=LIMIT_S)
    assert done.returncode == 65 and "job 2 of 2" in done.stderr
    assert place.topics.all("chat.control") == []


@pytest.mark.parametrize("job", ["{{{{{{{{{x", "[[[[[[[[[[", 'a "quoted" \\ one', "two\nlines", "ü", "x" * 256])
def test_whatever_can_be_an_id_can_be_cancelled(place, job):
    worker = place.worker()
    place.topics.send({"id": job, "message": SLOW, "session": "s"}, key="s")
    place.running()
    assert place.stage.producer(worker, "cancel", job, check=0).stderr == ""
    assert place.topics.reply_of(job)["status"] == "cancelled"
    assert worker.metric("control_undecodable_total") == 0


def test_a_cancel_whose_timestamp_is_in_seconds_is_no_old_one(place):
    worker = place.worker()
    place.topics.send({"id": "j", "message": SLOW}, key="s")
    place.running()
    place.topics.producer.produce("chat.control", value='{"canc\\u0065l":"j"}', timestamp=int(time.time()))
    place.topics.flush()
    place.is_cancelled("j")
    assert worker.metric("control_undecodable_total") == 0
