"""`helm test`: chat-worker --check-config with the release's settings, run here as the pod would."""
import pytest
from release import MINIMAL, VALUES, helm, judge, render, run, unrestricted


def pod(values=None, file=MINIMAL):
    return render(values, file=file).one("Pod")


def test_it_is_a_hook_of_helm_test_and_stays_if_it_fails_until_the_next():
    notes = pod()["metadata"]["annotations"]
    assert notes == {"helm.sh/hook": "test", "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded"}
    assert pod()["spec"]["restartPolicy"] == "Never"
    assert len(pod({"fullnameOverride": "a" * 63})["metadata"]["name"]) <= 63


@pytest.mark.parametrize("file", [MINIMAL, VALUES / "full.yaml", VALUES / "existing.yaml"], ids=lambda file: file.stem)
def test_it_sees_what_a_worker_sees(file):
    release = render(file=file)
    (check,) = release.one("Pod")["spec"]["containers"]
    for key in ("image", "command", "env", "envFrom", "volumeMounts", "resources", "securityContext"):
        assert check.get(key) == release.worker.get(key)
    assert release.one("Pod")["spec"]["volumes"] == release.worker_pod["volumes"]
    assert unrestricted(release.one("Pod")["spec"]) == []
    judge(release, "1.25")


@pytest.mark.parametrize("connect", [True, False])
def test_it_tries_kafka_and_redis_if_it_is_to(connect, stage, tmp_path):
    kafka, redis = stage.kafka_mock(chat_jobs=1, chat_replies=1, chat_dead=1), stage.redis()
    release = render({"kafka": {"properties": {"bootstrap.servers": kafka.bootstrap}}, "redis": {"url": redis.url}, "test": {"connect": connect, "startup_wait_ms": 1000},
                      "providers": {"main": {"url": "http://127.0.0.1:9/v1"}}})
    here = release.unpack(tmp_path)
    (check,) = release.one("Pod")["spec"]["containers"]
    arguments = [here(argument) for argument in check["args"]]
    done = run("chat-worker", *arguments)
    assert done.returncode == 0 and ("Kafka and Redis answer" in done.stdout) == connect, done.stderr
    redis.end()
    assert run("chat-worker", *arguments).returncode == (69 if connect else 0)


def test_it_fails_where_the_settings_are_wrong(tmp_path):
    release = render({"llm": {"strategy": "hedge", "hedge_after_ms": 10}, "test": {"connect": False}, "kafka": {"properties": {"no.such.property": 1}}})
    here = release.unpack(tmp_path)
    done = run("chat-worker", *map(here, release.one("Pod")["spec"]["containers"][0]["args"]))
    assert done.returncode == 78 and "no.such.property" in done.stderr


def test_it_is_no_part_of_what_is_installed():
    assert "chat-worker-check" not in helm("template", "t", "charts/chat-worker", "--no-hooks", "-f", MINIMAL)
