"""A worker of which one thread stands still says so at /healthz, whoever else goes on; and /readyz says whether it has its part of the
group: for its own faults alone."""
import itertools
import signal
import threading

import pytest
from engine import ENGINE
from parts import BIN, SANITIZED, Topics, wait_until

QUICK = {"kafka.session.timeout.ms": "6000", "kafka.heartbeat.interval.ms": "300", "kafka.retry.backoff.ms": "50", "kafka.reconnect.backoff.max.ms": "200"}
# How long a thread may be silent: the bound, and as long as its calls may take by these time-outs (worker/telemetry/watchdog.c).
BOUNDS = {"worker.stuck_after_ms": "1000", "redis.timeout_ms": "100", "kafka.socket.timeout.ms": "1000"}


class Place:
    """A Kafka that outlives the workers; each worker's threads can be stopped, one at a time."""

    def __init__(self, stage):
        self.stage, self.redis, self.sim = stage, stage.redis(), stage.simulator()
        self.kafka = stage.kafka_mock(chat_jobs=4, chat_replies=4, chat_dead=4)
        self.topics = Topics(self.kafka.bootstrap)
        self.stopped = stage.folder / "stopped"

    def worker(self, name="worker", **settings):
        env = {"LD_PRELOAD": str(BIN / "test/stopped_thread.so"), "CHAT_TEST_STOPPED": str(self.stopped)}
        if SANITIZED:
            env["ASAN_OPTIONS"] = "verify_asan_link_order=0"
        return self.stage.worker(self.redis, self.sim, name=name, bootstrap=self.kafka.bootstrap, env=env, **{**QUICK, **settings})

    def stop(self, thread):
        whole = self.stopped.with_suffix(".new")
        whole.write_text(thread)
        whole.rename(self.stopped)

    def wait_until_stopped(self):
        wait_until(self.stopped.with_suffix(".stands").exists, "the thread stands still")

    def go_on(self):
        self.stopped.unlink()
        self.stopped.with_suffix(".stands").unlink(missing_ok=True)


@pytest.fixture
def place(stage):
    place = Place(stage)
    yield place
    place.stopped.unlink(missing_ok=True)  # or the worker couldn't end


def unhealthy(worker, named=""):
    """What it says, if that is its name: on a busy machine another thread may have stood still for a moment."""
    status, text = worker.get("/healthz")
    return text if status == 503 and named in text else None


def hangs(worker, job):
    """/healthz says that it is stuck, and the log that it is this job's call; of a loop that stands still /healthz may name the thread first."""
    return unhealthy(worker, "stuck: ") if any(f"job {job} runs" in event["error"] for event in worker.events("liveness_failed")) else None


@pytest.mark.parametrize("thread", ["chat-intake", "chat-time", "chat-renew", "chat-begin", "chat-completion", "chat-control", "chat-group", "chat-takes", *(["chat-loop-0"] if ENGINE == "loop" else [])])
def test_a_thread_that_stands_still_fails_the_liveness_check_and_is_named(place, thread):
    worker = place.worker(**BOUNDS, **{"provider.main.requests_per_minute": "60000"})  # a rate: chat-takes is there
    wait_until(lambda: worker.get("/healthz") == (200, "ok\n"), "healthy at first")
    place.stop(thread)
    place.topics.send({"id": "j", "message": "hi"}, key="s")  # for those that wait for something to do
    text = wait_until(lambda: unhealthy(worker, thread), "an unhealthy worker")
    assert text.startswith("stuck: ")
    place.go_on()
    wait_until(lambda: unhealthy(worker) is None, "healthy once it goes on")
    assert place.topics.replies(1)["j"]["status"] == "ok"


def test_a_call_that_hangs_is_found_though_failures_of_providers_are_remembered(place):
    """Two providers have failed once each, and nobody was answered since: that explains nothing of a call that never ends."""
    spare = place.stage.simulator("--faults", "500")
    place.sim.faults("hold")
    worker = place.worker(**{**BOUNDS, "llm.providers": "main,spare", "provider.spare.url": spare.url, "provider.spare.model": "sim", "worker.threads": "1",
                             "llm.deadline_ms": "10000", "retry.attempts_max": "10"})
    place.topics.send({"id": "the-culprit", "message": "[[fault:500 times=1]] hi"}, key="s")
    place.sim.wait_held()
    assert place.sim.stats()["requests"] == 2 and spare.stats()["requests"] == 1, "each has failed"
    place.stop("chat-loop-0" if ENGINE == "loop" else "chat-0")
    place.sim.release()
    wait_until(lambda: hangs(worker, "the-culprit"), "an unhealthy worker")
    place.go_on()
    assert place.topics.replies(1)["the-culprit"]["status"] in ("ok", "error")
    wait_until(lambda: unhealthy(worker) is None, "healthy again")


def test_a_call_that_hangs_is_found_while_new_jobs_keep_being_answered(place):
    """Neither is it the head of its partition: an older one waits for its retry."""
    worker = place.worker(**{**BOUNDS, "llm.deadline_ms": "4000", "worker.threads": "2", "worker.loops": "2", "retry.backoff_ms": "60000", "retry.backoff_max_ms": "60000"})
    place.topics.send({"id": "older", "session": "one", "message": "[[fault:500 times=1]] hi"}, key="k")
    worker.wait_event("job_retry", job="older")
    culprit = hang_a_call(place, worker)
    count = 0

    def is_found():
        nonlocal count
        place.topics.send({"id": f"n{count}", "message": "hi"}, key=f"t{count}")
        count += 1
        place.topics.reply_of(f"n{count - 1}")
        return hangs(worker, culprit)

    wait_until(is_found, "an unhealthy worker")


def hang_a_call(place, worker):
    """The job of a call that hangs from now on. On a busy machine a call may have come to its deadline before its thread was stopped: then it is the next job's."""
    for n in itertools.count():
        job = f"culprit-{n}"
        place.topics.send({"id": job, "session": f"of-{job}", "message": f"[[fault:hold times=1]] {job}"}, key="k")
        place.sim.wait_held()
        place.stop(worker_thread_of(worker, job))
        place.sim.release()
        place.wait_until_stopped()
        if not worker.events("job_retry", job=job):
            break
        place.go_on()
    return job


def worker_thread_of(worker, job):
    """By the report that a signal asks for."""
    worker.signal(signal.SIGUSR1)
    return worker.wait_event("thread_busy", job=job)[0]["thread"]


# ---- /readyz ----

def test_a_worker_that_was_put_out_of_its_group_is_not_ready_until_it_is_in_again(place):
    """Its intake stands still for longer than max.poll.interval.ms: the client leaves the group by itself."""
    worker = place.worker(**{**BOUNDS, "kafka.max.poll.interval.ms": "6000"})
    place.stop("chat-intake")
    wait_until(lambda: worker.get("/readyz")[0] == 503, "not ready while it isn't polled")
    wait_until(lambda: "maximum poll interval" in worker.text(), "the client has left")
    wait_until(lambda: unhealthy(worker), "an unhealthy worker")
    place.kafka.fail("JoinGroup", *["COORDINATOR_NOT_AVAILABLE"] * 20)
    place.go_on()
    worker.wait_event("kafka_poll_error", code="_MAX_POLL_EXCEEDED")
    wait_until(lambda: unhealthy(worker) is None, "its intake seen to go on")
    assert worker.get("/readyz")[0] == 503, "it goes on, and isn't in the group"
    wait_until(lambda: worker.get("/readyz")[0] == 200, "ready when it has joined")
    place.topics.send({"id": "j", "message": "hi"}, key="s")
    assert place.topics.replies(1)["j"]["status"] == "ok"


def test_what_comes_to_a_whole_fleet_takes_nobody_out(place):
    """A rebalance, and a broker that says nothing for longer than a session lasts."""
    worker = place.worker("first", **{"kafka.socket.timeout.ms": "1000", "worker.stuck_after_ms": "4000"})
    seen, over = set(), threading.Event()

    def watch():
        while not over.wait(0.05):
            seen.add((worker.get("/readyz")[0], worker.get("/healthz")[0]))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        second = place.worker("second", **{"kafka.socket.timeout.ms": "1000"})
        second.signal(signal.SIGTERM)
        assert second.wait() == 0
        rebalances = worker.metric("rebalances_total")
        assert rebalances >= 2
        place.kafka.signal(signal.SIGSTOP)
        wait_until(lambda: "REQTMOUT" in worker.text() or "ALL_BROKERS_DOWN" in worker.text() or "timed out" in worker.text(), "the client knows it")
        place.redis.client.set("a-session-and-more", "1", px=8000)
        wait_until(lambda: not place.redis.client.exists("a-session-and-more"), "longer than a session")
        place.kafka.signal(signal.SIGCONT)
        place.topics.send({"id": "j", "message": "hi"}, key="s")
        assert place.topics.replies(1)["j"]["status"] == "ok"
    finally:
        over.set()
        watching.join()
    assert seen == {(200, 200)}


def test_whoever_drains_or_has_failed_is_not_ready(place):
    place.sim.faults("hold")
    draining = place.worker("draining", **{"worker.drain_timeout_ms": "3600000"})
    place.topics.send({"id": "j", "message": "hi"}, key="s")
    place.sim.wait_held()
    draining.signal(signal.SIGTERM)
    wait_until(lambda: draining.get("/readyz")[0] == 503, "not ready while it drains")
    assert draining.get("/healthz")[0] == 200, "and well"
    place.sim.release()
    assert draining.wait() == 0
    failed = place.worker("failed", **{"worker.drain_timeout_ms": "3600000"})
    for n in range(2):
        place.topics.send({"id": f"k{n}", "message": ("the-first", "the-other")[n]}, key=f"s{n}")
    place.sim.wait_held(2)
    place.kafka.fail("Produce", *["OUT_OF_ORDER_SEQUENCE_NUMBER"] * 4)  # a client and the three that take its place
    place.sim.release("the-first")  # its reply meets the failures; the other's call goes on
    wait_until(lambda: failed.get("/readyz")[0] == 503, "not ready once its producer has failed for good")
    place.sim.release()
    assert failed.wait() == 75


# Threads of ours that main waits for when it ends, and the step that it is in then; some stand still with a lock that an earlier step may need.
JOINED = {"chat-intake": "group", "chat-control": "control", "chat-completion": "completion", "chat-time": None, "chat-renew": None, "chat-begin": "threads"}


def stand_still(place, thread, **bounds):
    worker = place.worker(**BOUNDS, **bounds)
    place.stop(thread)
    place.topics.send({"id": "j", "message": "hi"}, key="s")  # for those that wait for something to do
    wait_until(lambda: unhealthy(worker, thread), "it stands still")
    return worker


@pytest.mark.parametrize("thread", JOINED)
def test_a_thread_that_stands_still_does_not_keep_the_process(place, thread):
    # Long enough that a busy machine comes to the step that waits for the thread: a client of Kafka's is closed before.
    worker = stand_still(place, thread, **{"worker.drain_timeout_ms": "0", "worker.close_timeout_ms": "8000"})
    worker.signal(signal.SIGTERM)
    assert worker.wait() in (0, 75)
    (overdue,) = worker.events("end_overdue")
    assert overdue["step"] == (JOINED[thread] or overdue["step"])
    place.go_on()
    place.worker("next")
    assert place.topics.replies(1)["j"]["status"] == "ok", "nothing is lost"


@pytest.mark.parametrize("thread", [thread for thread in JOINED if thread != "chat-begin"])  # which asks for the time for a job's sake alone
def test_a_second_term_ends_it_while_main_waits_for_the_thread(place, thread):
    """No job is there, so that no step before waits for it: the thread stands still when it is told to end."""
    worker = place.worker(**{"worker.close_timeout_ms": str(3600 * 1000)})
    place.stop(thread)
    if thread != "chat-completion":  # without an end it sleeps; it asks for the time when it is woken to stop
        place.wait_until_stopped()
    worker.signal(signal.SIGTERM)
    worker.wait_event("closing", step=JOINED[thread] or "drain")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 75
    assert len(worker.events("ended_at_once")) == 1
