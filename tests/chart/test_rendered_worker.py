"""The worker as its pod would start it: arguments, variables and files of what is rendered. A kubelet's questions, a job, an end."""
import signal
import urllib.error
import urllib.request

import pytest
from parts import BIN, LIMIT_S, Process, Topics, free_port, wait_until
from release import render


def ask(host, port, probe):
    """The status, as a kubelet asks at the pod's address; 0: nobody is there."""
    try:
        with urllib.request.urlopen(f"http://{host}:{port}{probe['httpGet']['path']}", timeout=LIMIT_S) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return 0


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_it_is_ready_at_each_address_answers_a_job_and_ends_in_time(kind, stage, tmp_path):
    kafka, redis, sim = stage.kafka_mock(chat_jobs=2, chat_replies=1, chat_dead=1), stage.redis(), stage.simulator()
    release = render({"kind": kind, "kafka": {"properties": {"bootstrap.servers": kafka.bootstrap}, "staticMembership": kind == "StatefulSet"}, "redis": {"url": redis.url},
                      "providers": {"main": {"url": sim.url, "model": "sim"}}, "worker": {"control_topic": "", "threads": 4}})
    here = release.unpack(tmp_path)
    settings, port = tmp_path / "worker.ini", free_port()  # in a pod 9464 is free
    assert settings.read_text().count(":9464\n") == 1 and release.worker["ports"][0]["containerPort"] == 9464
    settings.write_text(settings.read_text().replace(":9464\n", f":{port}\n"))
    fields = {"metadata.name": "t-chat-worker-0"}
    variables = {entry["name"]: fields[entry["valueFrom"]["fieldRef"]["fieldPath"]] for entry in release.worker.get("env", [])}
    worker = Process("worker", tmp_path, [BIN / "chat-worker", *map(here, release.worker["args"])], env=variables)
    stage.started.append(worker)
    hosts = ("127.0.0.1", "[::1]")
    wait_until(lambda: ask(hosts[0], port, release.worker["readinessProbe"]) == 200, "the pod ready")
    assert {(host, name): ask(host, port, release.worker[name]) for host in hosts for name in ("startupProbe", "livenessProbe", "readinessProbe")} == {
        (host, name): 200 for host in hosts for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    topics = Topics(kafka.bootstrap)
    topics.send({"id": "j0", "message": "hi"}, key="s")
    assert topics.replies(1)["j0"]["status"] == "ok"
    worker.signal(signal.SIGTERM)
    assert worker.wait(release.worker_pod["terminationGracePeriodSeconds"]) == 0
