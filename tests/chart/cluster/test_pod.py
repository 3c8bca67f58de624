"""The release's pod as processes (kubelet.py), as the API server holds it, on a real Kafka and a real Redis."""
import os
import signal
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kubelet import Container
from parts import BIN, LIMIT_S, free_port, wait_until
from test_release import NAME, pods


def admin(path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:9464{path}", timeout=LIMIT_S) as answer:
        return answer.read().decode()


def status_of(container: Container) -> dict[str, list[str]]:
    lines = Path(f"/proc/{container.inner_pid}/status").read_text().splitlines()
    return {name: words.split() for name, _, words in (line.partition(":") for line in lines)}


def test_a_pod_starts_answers_and_ends_in_its_time(namespace, backends, run):
    """Startup, readiness, liveness as its probes say; TERM while a job is at the model; exit 0 within terminationGracePeriodSeconds, with the answer out."""
    namespace.install(backends.values())
    worker = run(pods(namespace)[0])
    worker.watch()
    worker.wait_ready()
    backends.topics.send({"id": "a", "session": "s", "message": "hello"})
    assert backends.topics.reply_of("a")["status"] == "ok"
    assert "chat_jobs_received_total 1" in admin("/metrics"), "where the annotations send a Prometheus"

    backends.topics.send({"id": "b", "session": "s", "message": "[[fault:hold]] wait"})
    backends.sim.wait_held()
    with ThreadPoolExecutor() as beside:
        ending = beside.submit(worker.terminate)
        wait_until(lambda: "event=drain_started" in worker.text(), "the worker draining")
        wait_until(lambda: not worker.ready, "a pod that ends is taken out of service")
        backends.sim.release()
        assert ending.result() == 0, "it ends by itself, within terminationGracePeriodSeconds"
    assert worker.alive and backends.topics.reply_of("b")["status"] == "ok"


def test_a_pod_has_no_more_rights_than_it_says(namespace, backends, run):
    namespace.install(backends.values())
    worker = run(pods(namespace)[0])
    worker.watch()
    worker.wait_ready()
    status, root = status_of(worker), Path(f"/proc/{worker.inner_pid}/root")
    assert status["NSpid"][-1] == "1" and status["NoNewPrivs"] == ["1"] and {int(status[f"Cap{which}"][0], 16) for which in ("Inh", "Prm", "Eff", "Amb")} == {0}
    if os.getuid() == 0:
        assert set(status["Uid"]) == set(status["Gid"]) == set(status["Groups"]) == {"65532"} and int(status["CapBnd"][0], 16) == 0
    secret = root / "etc/chat-worker/secrets/redis-url"
    assert oct(secret.stat().st_mode & 0o777) == "0o440", "nobody else may read a secret"
    writable = [line.split()[4] for line in Path(f"/proc/{worker.inner_pid}/mountinfo").read_text().splitlines() if "rw" in line.split()[5].split(",")]
    assert [path for path in writable if not path.startswith(("/dev", "/proc"))] == ["/var/lib/chat-worker"]
    for name in ("redis-s3cret", "llm-s3cret"):
        assert name not in worker.text() and name not in str(namespace.object("configmap", NAME)) + str(pods(namespace))


def test_what_a_crash_leaves_is_read_by_the_next_container_of_the_pod(namespace, backends, run):
    """worker.crash_file is on a volume that outlives the container: a record that kills whoever decodes it is a dead letter after two crashes."""
    breaks = {"extraEnv": [{"name": "LD_PRELOAD", "value": "/usr/bin/broken_client"}, {"name": "CHAT_TEST_BREAK", "value": "decode"}]}
    values = backends.values(**breaks)
    values["kafka"]["properties"] |= {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}  # after which the next one gets the partitions
    namespace.install(values)
    (pod,) = pods(namespace)
    backends.topics.send({"id": "poison", "message": "DECODER-POISON"})
    for _ in (1, 2):
        assert run(pod, broken_client=BIN / "test/broken_client.so").wait() == 128 + signal.SIGILL
    worker = run(pod, broken_client=BIN / "test/broken_client.so")
    (reply,) = backends.topics.replies(1).values()
    assert reply["error"]["code"] == "crashed_decoding"
    assert "event=crashed_before" in worker.text()


def test_a_pod_that_cannot_reach_redis_is_never_ready(namespace, backends, run):
    """The harness's own: what isn't so is seen."""
    namespace.install(backends.values(redis={"url": f"redis://127.0.0.1:{free_port()}/0"}, worker={"startup_wait_ms": 1000}))
    worker = run(pods(namespace)[0])
    worker.watch()
    assert worker.wait() == 69 and not worker.ready and not worker.started


def test_settings_that_the_worker_refuses_end_the_pod(namespace, backends, run):
    """The harness's own: it is the pod's settings that the process reads."""
    namespace.install(backends.values(extraEnv=[{"name": "CHATW__LOG__LEVEL", "value": "none"}]))
    worker = run(pods(namespace)[0])
    assert worker.wait() == 78 and "log.level" in worker.text()
