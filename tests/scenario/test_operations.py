"""Signals, drains, start-up errors: what an operator meets."""
import signal
import socket
import subprocess
import threading

import parts
from parts import BIN, LIMIT_S, Topics, job_of, wait_until

QUICK = {"kafka.session.timeout.ms": "6000", "kafka.heartbeat.interval.ms": "300"}  # where a group of the mock cluster changes


def test_term_finishes_what_runs_and_exits_0(stage, redis_io):
    """Of two jobs of a session, one at the model: that one is answered after TERM, the other is left for the next worker."""
    redis, sim, kafka = stage.redis(), stage.simulator(), stage.kafka_mock(chat_jobs=4, chat_replies=4, chat_dead=4)
    worker = stage.worker(redis, sim, bootstrap=kafka.bootstrap, **{"worker.redis_io": redis_io, "worker.drain_timeout_ms": "3600000", **QUICK})
    topics = Topics(kafka.bootstrap)
    topics.send({"id": "running", "message": "[[fault:hold]] hi"}, key="s")
    sim.wait_held()
    topics.send({"id": "behind", "message": "hi"}, key="s")
    wait_until(lambda: worker.metric("jobs_received_total") == 2, "both read")
    worker.signal(signal.SIGTERM)
    worker.wait_event("drain_started")
    sim.release()
    assert worker.wait() == 0
    assert {job: reply["status"] for job, reply in topics.replies(1).items()} == {"running": "ok"}
    assert redis.client.hget("chat:{s}:job:running", "state") == "ok"
    assert [sim.stats()[key] for key in ("requests", "answered", "aborted_by_client")] == [1, 1, 0]
    stage.worker(redis, sim, bootstrap=kafka.bootstrap, name="next", ready=False, **QUICK)
    assert topics.reply_of("behind")["status"] == "ok" and sim.stats()["requests"] == 2


def test_a_drain_that_runs_out_cuts_the_call_and_gives_the_claim_back(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator("--faults", "hold")
    worker = stage.worker(redis, sim, **{"worker.redis_io": redis_io, "worker.drain_timeout_ms": "300"})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "stuck", "message": "slow"}, key="s")
    wait_until(lambda: sim.stats()["in_flight"] == 1, "the call under way")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    (end,) = worker.events("drain_finished")
    assert end["cut_short"] == "1" and end["left"] == "0"
    worker.wait_event("job_dropped", job="stuck")
    wait_until(lambda: sim.stats()["aborted_by_client"] == 1, "the provider saw the call end")
    record = redis.client.hgetall("chat:{s}:job:stuck")
    assert (record["state"], record["fails"], record["crashes"]) == ("idle", "0", "0"), "the next worker begins it at once, and it has done nothing wrong"


def test_a_second_term_ends_at_once(stage):
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **{"worker.drain_timeout_ms": "3600000"})
    Topics(worker.bootstrap).send({"id": "stuck", "message": "[[fault:hold]] hi"}, key="s")
    sim.wait_held()
    worker.signal(signal.SIGTERM)
    worker.wait_event("drain_started")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 75
    worker.wait_event("ended_at_once")


def test_usr1_says_what_each_thread_does(stage):
    redis, sim = stage.redis(), stage.simulator("--faults", "hold")
    worker = stage.worker(redis, sim, **{"worker.drain_timeout_ms": "0"})
    Topics(worker.bootstrap).send({"id": "watched", "message": "secret words"}, key="s")
    sim.wait_held()
    worker.signal(signal.SIGUSR1)
    worker.wait_event("threads_dump", busy="1")
    (line,) = worker.wait_event("thread_busy", job="watched")
    assert line["thread"].startswith("chat-") and line["offset"] == "0"
    assert "secret words" not in worker.text(), "no message text in a log"


def test_tstp_takes_no_new_jobs_and_cont_takes_them_again(stage):
    """A worker of another group has the same records: when it has answered all of them, the held one would have had each, too."""
    redis, sim, kafka = stage.redis(), stage.simulator(), stage.kafka_mock(chat_jobs=4, chat_replies=4, chat_dead=4, witness_replies=4)
    topics = Topics(kafka.bootstrap)
    worker = stage.worker(redis, sim, bootstrap=kafka.bootstrap)
    topics.send({"id": "before", "message": "before"}, key="s")
    assert topics.reply_of("before")["status"] == "ok"
    worker.signal(signal.SIGTSTP)
    worker.wait_event("intake_held")
    wait_until(lambda: worker.metric("partitions_paused") == 4, "all paused")
    later = {f"later{n}" for n in range(20)}
    for job in later:
        topics.send({"id": job, "message": "later"}, key=job)
    stage.worker(redis, sim, bootstrap=kafka.bootstrap, name="witness", **{"kafka.group.id": "witness", "redis.key_prefix": "witness", "worker.replies_topic": "witness.replies"})
    assert {job_of(r) for r in topics.read("witness.replies", 21)} == {"before", *later}
    assert [job_of(r) for r in topics.all("chat.replies")] == ["before"] and redis.client.keys("chat:*:job:later*") == []
    assert sim.get("/sim/messages")["later"]["requests"] == 20, "the witness's"
    worker.signal(signal.SIGCONT)
    assert {r["status"] for r in topics.replies(21).values()} == {"ok"}


def test_settings_that_are_wrong_are_refused_with_where_and_what_to_do(stage):
    bad = stage.folder / "bad.ini"
    bad.write_text("[kafka]\nbootstrap.servers = embedded\n[worker]\nthreds = 9\n")
    done = stage.check_config("--check-config", "-c", str(bad))
    assert done.returncode == 78 and f"{bad}:4" in done.stderr and "do you mean threads?" in done.stderr
    done = stage.check_config("--check-config", "-X", "worker.threads=6000")
    assert done.returncode == 78 and "1 to 5000" in done.stderr
    done = stage.check_config("--check-config")
    assert done.returncode == 78 and "bootstrap.servers" in done.stderr
    done = stage.check_config("--check-config", "-c", "/nowhere.ini")
    assert done.returncode == 78 and "/nowhere.ini" in done.stderr
    done = stage.check_config("--check-config", env={"CHATW__WORKER__THRED": "3"})
    assert done.returncode == 78 and "CHATW__WORKER__THRED" in done.stderr
    done = stage.check_config("--check-config", "-X", "kafka.bootstrap.servers=embedded", "-X", "provider.main.url=http://127.0.0.1:9/v1",
                              "-X", "provider.main.model=m", "-X", "kafka.no.such.thing=1")
    assert done.returncode == 78 and "no.such.thing" in done.stderr
    done = stage.check_config("--check-config", "-X", "kafka.bootstrap.servers=embedded", "-X", "llm.providers=elsewhere")
    assert done.returncode == 78 and "elsewhere" in done.stderr
    done = stage.check_config("--nonsense")
    assert done.returncode == 64


def test_settings_that_are_right_are_said_to_be(stage):
    done = stage.check_config("--check-config", "-X", "kafka.bootstrap.servers=embedded", "-X", "provider.main.url=http://127.0.0.1:9/v1",
                              "-X", "provider.main.model=m", "-X", "provider.main.api_key=sk-very-secret")
    assert done.returncode == 0, done.stderr
    done = stage.check_config("--print-config", "-X", "kafka.bootstrap.servers=embedded", "-X", "provider.main.url=http://127.0.0.1:9/v1",
                              "-X", "provider.main.model=m", "-X", "provider.main.api_key=sk-very-secret")
    assert done.returncode == 0 and "sk-very-secret" not in done.stdout + done.stderr


def test_what_a_provider_is_sent_beside_its_key_is_told_by_nobody(stage):
    pairs = ("-X", "kafka.bootstrap.servers=embedded", "-X", "provider.main.url=http://127.0.0.1:9/v1", "-X", "provider.main.model=m", "-X")
    shown = stage.check_config("--print-config", *pairs, 'provider.main.headers={"X-Gateway":"sesame"}')
    assert shown.returncode == 0 and 'headers = {"X-Gateway":"***"}\n' in shown.stdout and "sesame" not in shown.stdout + shown.stderr
    for wrong in ('{"X-Gateway":"sesame\\n"}', '{"X-Gateway":sesame}', '{"X-Gateway: sesame":""}', '{"X-Gateway":"a","x-gateway":"sesame"}', '{"Host":"sesame"}'):
        done = stage.check_config("--check-config", *pairs, f"provider.main.headers={wrong}")
        assert done.returncode == 78 and "provider.main.headers: " in done.stderr and "sesame" not in done.stdout + done.stderr, (wrong, done.stderr)


class Nobody:
    """A provider that isn't there; it isn't asked at start."""
    url, model = "http://127.0.0.1:9/v1", "none"


class Address:
    def __init__(self, url):
        self.url = url


def start(stage, redis_url, **settings):
    return stage.worker(Address(redis_url), Nobody, ready=False, **settings)


def complaints(worker):
    """The lines that aren't log lines."""
    return [line for line in worker.text().splitlines() if line.startswith("chat-worker:")]


def test_redis_that_is_not_there_is_69_and_a_wrong_password_78(stage):
    worker = start(stage, "redis://127.0.0.1:9/0")
    assert worker.wait() == 69 and "127.0.0.1:9" in worker.text()
    assert len(complaints(worker)) == 1
    redis = stage.redis("--requirepass", "right")
    worker = start(stage, f"unix://:wrong-one@{redis.socket}", name="second")
    assert worker.wait() == 78 and "password" in worker.text() and "wrong-one" not in worker.text()


def test_kafka_that_is_not_there_is_69(stage):
    worker = start(stage, stage.redis().url, bootstrap="127.0.0.1:9")
    assert worker.wait() == 69
    (line,) = complaints(worker)
    assert "127.0.0.1:9" in line and "bootstrap.servers" in line


class HeldFront:
    """A way to a broker that accepts at once and lets nothing through until it is opened."""

    def __init__(self, bootstrap):
        host, port = bootstrap.rsplit(":", 1)
        self.broker, self.asked, self.opened = (host, int(port)), threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.bootstrap = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            self.asked.set()
            threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client):
        self.opened.wait()
        broker = socket.create_connection(self.broker)
        threading.Thread(target=self.pump, args=(broker, client), daemon=True).start()
        self.pump(client, broker)

    @staticmethod
    def pump(source, sink):
        try:
            while part := source.recv(65536):
                sink.sendall(part)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_redis_that_goes_away_while_kafka_is_waited_for_is_waited_for_too(stage):
    """Each was there when it was looked at, never both at once: startup_wait_ms covers that."""
    host = stage.worker(stage.redis(), Nobody, name="host")
    (stage.folder / "late").mkdir()
    redis, front = parts.Redis(stage.folder / "late"), HeldFront(host.bootstrap)
    stage.started.append(redis)
    worker = start(stage, redis.url, name="late", bootstrap=front.bootstrap, **{"worker.startup_wait_ms": "60000"})
    assert front.asked.wait(LIMIT_S), "Redis answered, Kafka is asked"
    redis.signal(signal.SIGTERM)
    redis.wait()
    front.opened.set()
    (waits, *_) = worker.wait_event("startup_waits")
    assert waits["code"] == "redis_connect"
    redis.again()
    worker.wait_event("worker_started")


def test_an_admin_port_that_is_taken_is_said(stage):
    redis, sim = stage.redis(), stage.simulator()
    worker = start(stage, redis.url, **{"admin.listen": f"127.0.0.1:{sim.port}"})
    assert worker.wait() == 78 and "admin.listen" in worker.text()


def test_the_programs_say_what_they_are():
    for program in ("chat-worker", "chat-producer", "chat-llmsim"):
        done = subprocess.run([str(BIN / program), "--help"], text=True, capture_output=True, timeout=LIMIT_S)
        assert done.returncode == 0 and "Usage" in done.stdout, program


def test_a_drain_without_patience_begins_no_job_of_a_lane_that_was_just_going_on(stage):
    """The thread tells Redis one job's end and the next one's begin; Redis answers when the drain has cut all calls."""
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **{"worker.drain_timeout_ms": "0", "redis.timeout_ms": "60000", "redis.lease_ms": "180000"})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "first", "message": "[[fault:hold times=1]] hi"}, key="s")
    topics.send({"id": "second", "message": "[[fault:hold]] hi"}, key="s")
    wait_until(lambda: sim.stats()["held"] == 1 and worker.metric("jobs_received_total") == 2, "one under way, one behind it")
    redis.signal(signal.SIGSTOP)
    sim.release()
    wait_until(lambda: sim.stats()["answered"] == 1, "the first one's answer")
    worker.signal(signal.SIGTERM)
    worker.wait_event("drain_ran_out")
    redis.signal(signal.SIGCONT)
    assert worker.wait() == 0
    assert sim.stats()["requests"] == 1
