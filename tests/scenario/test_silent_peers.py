"""The process ends, whoever doesn't answer. A silent peer takes connections and bytes and says nothing: worse than one that is away, since
nothing fails. Each is silent at each moment of an end, in both deliveries; the worker ends by itself within its own bounds, a second TERM
ends it though they are an hour, and the next worker answers what is left."""
import fcntl
import os
import signal
import subprocess
import threading

import pytest
from parts import BIN, LIMIT_S, NameService, Topics, free_port, wait_until
from test_names import Named

HOUR = "3600000"
QUICK = {"kafka.session.timeout.ms": "6000", "kafka.heartbeat.interval.ms": "300", "redis.timeout_ms": "300", "redis.lease_ms": "3000"}
SOON = {"worker.drain_timeout_ms": "300", "worker.close_timeout_ms": "4200"}
NEVER = {"worker.drain_timeout_ms": HOUR, "worker.close_timeout_ms": HOUR}
OFFSETS, COORDINATOR, TRANSACTIONS = 1, 2, 3  # the brokers: all partitions, the group's coordinator, the transactions'

DELIVERIES = ["at-least-once", "exactly-once"]
PEERS = ["group-coordinator", "transaction-coordinator", "broker", "redis", "provider", "dns"]
MOMENTS = ["before-term", "in-the-drain", "last-words", "leaving"]
CASES = [(delivery, peer, moment) for delivery in DELIVERIES for peer in PEERS for moment in MOMENTS
         if (delivery, peer) != ("at-least-once", "transaction-coordinator")  # it has none
         and (peer, moment) != ("provider", "last-words")]  # there are none without its answer


class Place:
    """A worker whose peers can be silenced one by one. Its names are looked up again whenever Redis has cut its connections."""

    def __init__(self, stage, delivery, **settings):
        self.stage, self.delivery = stage, delivery
        port = free_port()
        self.redis, self.sim = stage.redis("--bind", "127.0.0.1", "--port", str(port)), stage.simulator()
        self.names = NameService(stage.folder, redis_test="127.0.0.1", model_test="127.0.0.1")
        self.redis.url = f"redis://redis.test:{port}"
        self.kafka = stage.kafka_mock(3, chat_jobs=1, chat_replies=1, chat_dead=1, chat_control=1)
        for topic in ("jobs", "replies", "dead", "control"):
            self.kafka.tell("leader", f"chat.{topic}", 0, OFFSETS)
        self.kafka.tell("coordinator", "chat-worker", COORDINATOR)
        self.topics = Topics(self.kafka.bootstrap)
        self.worker = self.start(**settings)
        if delivery == "exactly-once":
            (ready,) = self.worker.wait_event("transactions_ready")
            self.kafka.tell("transactions", ready["transactional_id"], TRANSACTIONS)

    def start(self, **settings):
        return self.stage.worker(self.redis, Named(self.sim, "model.test"), bootstrap=self.kafka.bootstrap, env=self.names.env,
                                 **{"worker.delivery": self.delivery, "worker.threads": "4", **QUICK, **settings})

    def answer_one(self):
        """The coordinators are found, the connections made."""
        self.topics.send({"id": "first", "message": "hi"}, key="first")
        assert self.topics.reply_of("first")["status"] == "ok"

    def hold_jobs(self):
        for n in range(2):
            self.topics.send({"id": f"held{n}", "message": "[[fault:hold]] hi"}, key=f"s{n}")
        self.sim.wait_held(2)

    def silence(self, peer):
        match peer:
            case "group-coordinator":
                self.kafka.tell("rtt", COORDINATOR, HOUR)
            case "transaction-coordinator":
                self.kafka.tell("rtt", TRANSACTIONS, HOUR)
            case "broker":
                self.kafka.signal(signal.SIGSTOP)
            case "redis":
                self.redis.signal(signal.SIGSTOP)
            case "provider":
                self.sim.signal(signal.SIGSTOP)
            case "dns":
                self.names.say(redis_test="hold", model_test="hold")
                self.redis.client.client_kill_filter(_type="normal", skipme=True)

    def speak(self, peer):
        for part in (self.kafka, self.redis, self.sim):
            part.signal(signal.SIGCONT)
        for broker in (COORDINATOR, TRANSACTIONS):
            self.kafka.tell("rtt", broker, 0)
        self.names.say(redis_test="127.0.0.1", model_test="127.0.0.1")

    def reach(self, peer, moment):
        """TERM is sent, and the peer is silent from that moment on."""
        if moment == "leaving":
            self.kafka.fail("LeaveGroup", "NO_ERROR", rtt_ms=int(HOUR))
        else:
            self.hold_jobs()
        if moment == "before-term":
            self.silence(peer)
        self.worker.signal(signal.SIGTERM)
        self.worker.wait_event("kafka_revoked" if moment == "leaving" else "drain_started")
        if moment != "before-term":
            self.silence(peer)
        if moment == "last-words":
            self.sim.release()

    def check_nothing_is_lost(self, peer, moment):
        self.speak(peer)
        self.sim.release()
        if moment != "leaving":
            releaser = Releaser(self.sim)  # what is asked anew is held anew
        self.start(name="next", ready=False)
        jobs = {"first"} if moment == "leaving" else {"first", "held0", "held1"}
        replies = self.topics.replies(len(jobs))
        if moment != "leaving":
            releaser.end()
        assert {job: reply["status"] for job, reply in replies.items()} == dict.fromkeys(jobs, "ok")
        assert self.topics.all(self.topics.dead) == []


class Releaser:
    """Lets go what the simulator holds, now and then."""

    def __init__(self, sim):
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(sim,), daemon=True)
        self.thread.start()

    def run(self, sim):
        while not self.over.wait(0.1):
            sim.release()

    def end(self):
        self.over.set()
        self.thread.join()


@pytest.mark.parametrize(("delivery", "peer", "moment"), CASES)
def test_a_silent_peer_does_not_keep_the_process(stage, delivery, peer, moment):
    place = Place(stage, delivery, **SOON)
    place.answer_one()
    place.reach(peer, moment)
    status = place.worker.wait()
    assert status in (0, 75), f"{status}: {place.worker.text()[-2000:]}"
    assert status == 0 or any(place.worker.events(event) for event in ("end_overdue", "completion_left", "transaction_left")), "it says what it was stuck in"
    place.check_nothing_is_lost(peer, moment)


@pytest.mark.parametrize(("delivery", "peer", "moment"), CASES)
def test_a_second_term_ends_it_though_the_peer_stays_silent(stage, delivery, peer, moment):
    """All its own bounds are hours, and nobody speaks."""
    place = Place(stage, delivery, **NEVER)
    place.answer_one()
    place.reach(peer, moment)
    place.worker.signal(signal.SIGTERM)
    assert place.worker.wait() == 75
    assert len(place.worker.events("ended_at_once")) == 1


# ---- where it is stuck for good, until it is told ----


def test_a_start_that_a_silent_name_service_holds_ends_by_its_bound(stage):
    redis, sim, names = stage.redis(), stage.simulator(), NameService(stage.folder, redis_test="hold")
    redis.url = f"redis://redis.test:{free_port()}"
    worker = stage.worker(redis, sim, env=names.env, ready=False, **{"worker.startup_wait_ms": HOUR, "worker.drain_timeout_ms": HOUR, "worker.close_timeout_ms": "1000"})
    wait_until(lambda: names.asked("redis.test") > 0, "its look-up")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 75
    (overdue,) = worker.events("end_overdue")
    assert overdue["step"] == "start"


@pytest.mark.parametrize("peer", ["dns", "redis", "broker"])
@pytest.mark.parametrize("action", ["run", "--check-config"])
def test_a_second_term_ends_a_start(stage, peer, action):
    redis, sim, kafka = stage.redis(), stage.simulator(), stage.kafka_mock(1, chat_jobs=1, chat_replies=1, chat_dead=1)
    names = NameService(stage.folder, redis_test="hold")
    url = {"dns": f"redis://redis.test:{free_port()}"}.get(peer, redis.url)
    {"redis": redis, "broker": kafka}.get(peer, SignalNobody).signal(signal.SIGSTOP)
    process = subprocess.Popen([BIN / "chat-worker", *(() if action == "run" else ("--check-config", "--connect")),
                                *(part for key, value in {"kafka.bootstrap.servers": kafka.bootstrap, "redis.url": url, "redis.timeout_ms": "60000", "redis.lease_ms": "180000",
                                                          "admin.listen": "127.0.0.1:0", "provider.main.url": sim.url,
                                                          "provider.main.model": sim.model, "worker.startup_wait_ms": HOUR, "worker.close_timeout_ms": HOUR}.items()
                                  for part in ("-X", f"{key}={value}"))],
                               env={**os.environ, **names.env, "XDG_RUNTIME_DIR": str(stage.folder)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: threads(process.pid) & {"chat-signals"}, "its thread of signals")
        if peer == "dns":
            wait_until(lambda: names.asked("redis.test") > 0, "its look-up")
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: signals_pending(process.pid) == 0, "the first TERM taken")
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) in ((75,) if peer == "dns" else (75, 0)), "0: it had heard of the first between two tries"
    finally:
        process.kill()
        process.wait()


class SignalNobody:
    @staticmethod
    def signal(number):
        pass


def threads(pid):
    """The names of a process's threads."""
    names = set()
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/comm") as comm:
                names.add(comm.read().strip())
        except OSError:
            pass
    return names


def signals_pending(pid):
    try:
        with open(f"/proc/{pid}/status") as status:
            return next((int(line.split()[1], 16) for line in status if line.startswith("ShdPnd:")), 0)
    except OSError:
        return 0


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_second_term_ends_it_in_the_rebalance_callback(stage, delivery):
    """The committed offsets never come."""
    kafka = stage.kafka_mock(1, chat_jobs=1, chat_replies=1, chat_dead=1)
    kafka.fail("OffsetFetch", *["NO_ERROR"] * 20, rtt_ms=int(HOUR))
    worker = stage.worker(stage.redis(), stage.simulator(), bootstrap=kafka.bootstrap, ready=False, **{"worker.delivery": delivery, **NEVER})
    worker.wait_event("worker_started")
    wait_until(lambda: int(kafka.tell("left", "OffsetFetch")) < 20, "the callback")
    worker.signal(signal.SIGTERM)
    worker.wait_event("drain_started")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 75


@pytest.mark.parametrize("again", [False, True], ids=["by-its-bound", "by-a-second-term"])
def test_a_full_queue_of_the_producer_does_not_keep_it(stage, again):
    """More ends than the client's queue takes, and a broker that acknowledges none of them."""
    jobs = 60
    redis, sim, kafka = stage.redis(), stage.simulator("--faults", "hold"), stage.kafka_mock(1, chat_jobs=1, chat_replies=1, chat_dead=1)
    topics = Topics(kafka.bootstrap)
    worker = stage.worker(redis, sim, bootstrap=kafka.bootstrap, **{"worker.threads": str(jobs), "kafka.queue.buffering.max.messages": "20", **QUICK, **(NEVER if again else SOON)})
    for n in range(jobs):
        topics.producer.produce(topics.jobs, value=f'{{"id":"j{n}","message":"hi"}}', key=f"s{n}")
    topics.flush()
    sim.wait_held(jobs)
    kafka.signal(signal.SIGSTOP)
    sim.faults("")
    sim.release()
    wait_until(lambda: sum(redis.client.hget(f"chat:{{s{n}}}:job:j{n}", "state") == "ok" for n in range(jobs)) > 20, "more ends than its queue takes")
    worker.signal(signal.SIGTERM)
    worker.wait_event("drain_started")
    if again:
        worker.signal(signal.SIGTERM)
    assert worker.wait() in ((75,) if again else (0, 75))
    kafka.signal(signal.SIGCONT)
    stage.worker(redis, sim, bootstrap=kafka.bootstrap, name="next", ready=False, **QUICK)
    assert {reply["status"] for reply in topics.replies(jobs).values()} == {"ok"}


@pytest.mark.parametrize("again", [False, True], ids=["by-its-bound", "by-a-second-term"])
def test_a_log_that_nobody_reads_does_not_keep_it(stage, again):
    """Standard error is a pipe that is full: whoever writes a line is stuck, the main thread first."""
    redis, sim, kafka = stage.redis(), stage.simulator(), stage.kafka_mock(1, chat_jobs=1, chat_replies=1, chat_dead=1)
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    bounds = NEVER if again else {"worker.drain_timeout_ms": "0", "worker.close_timeout_ms": "1000"}
    settings = {"kafka.bootstrap.servers": kafka.bootstrap, "redis.url": redis.url, "provider.main.url": sim.url, "provider.main.model": sim.model, "admin.listen": "127.0.0.1:0", **bounds}
    process = subprocess.Popen([BIN / "chat-worker", *(part for key, value in settings.items() for part in ("-X", f"{key}={value}"))], stdout=subprocess.DEVNULL, stderr=writing)
    try:
        seen = b""
        while b"event=worker_started" not in seen:
            seen += os.read(reading, 65536)
        os.set_blocking(writing, False)  # the description that the worker has, too
        try:
            while True:
                os.write(writing, b"." * 4096)
        except BlockingIOError:
            pass
        os.set_blocking(writing, True)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: signals_pending(process.pid) == 0, "the first TERM taken")
        if again:
            process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 75
    finally:
        process.kill()
        process.wait()
        os.close(reading)
        os.close(writing)


# ---- chat-producer ----

COMMANDS = {"submit": ["hi"], "ask": ["hi"], "cancel": ["j"], "replay": ["--execute"]}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("peer", ["dns", "broker"])
def test_a_second_interrupt_ends_chat_producer_though_kafka_stays_silent(stage, command, peer):
    names = NameService(stage.folder, kafka_test="hold")
    kafka = stage.kafka_mock(1, chat_jobs=1, chat_replies=1, chat_dead=1, chat_control=1)
    bootstrap = kafka.bootstrap if peer == "broker" else f"kafka.test:{free_port()}"
    if peer == "broker":
        kafka.signal(signal.SIGSTOP)
    process = subprocess.Popen([BIN / "chat-producer", command, *COMMANDS[command], "-b", bootstrap], env={**os.environ, **names.env}, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: any(name.startswith("rdk:") for name in threads(process.pid)), "its client")
        if peer == "dns":
            wait_until(lambda: names.asked("kafka.test") > 0, "its look-up")
        process.send_signal(signal.SIGINT)
        wait_until(lambda: signals_pending(process.pid) == 0, "the first interrupt taken")
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) in ((1,) if peer == "dns" else (1, 69)), "69: nobody was reached in five seconds"
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
