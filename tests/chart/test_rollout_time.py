"""How long a roll-out may take, told by the notes and allowed by the Deployment."""
import re

import pytest
from release import install, render

START, GRACE = 660, 75  # of the defaults: 600 s for Kafka and Redis and 60; 60 s of drain, 14 to close and 1


def timeout(values):
    """Both places that tell it."""
    found = re.findall(r"--timeout (\d+)s", install(values).notes)
    assert len(found) == 2 and len(set(found)) == 1
    return int(found[0])


def rolling(surge, unavailable):
    return {"strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}


@pytest.mark.parametrize("values, steps", [
    ({}, 1), ({"replicaCount": 5}, 5), ({"replicaCount": 0}, 1),
    ({"replicaCount": 5, **rolling(2, 0)}, 3), ({"replicaCount": 5, **rolling(1, 1)}, 3), ({"replicaCount": 5, **rolling(0, 5)}, 1),
    ({"replicaCount": 5, **rolling("25%", "0%")}, 3),  # 1.25 pods beyond: two
    ({"replicaCount": 5, **rolling("0%", "30%")}, 5),  # 1.5 missing: one
    ({"replicaCount": 2, **rolling("0%", "10%")}, 2),  # none would be missing: Kubernetes takes one
    ({"replicaCount": 5, "strategy": {"type": "Recreate"}}, 1),
    ({"replicaCount": 5, "kind": "StatefulSet"}, 5),
    ({"replicaCount": 1, "autoscaling": {"maxReplicas": 7, "hpa": {"enabled": True}}}, 7)], ids=str)
def test_it_follows_from_the_pods_and_the_steps(values, steps):
    assert timeout(values) == steps * (START + GRACE)


@pytest.mark.parametrize("values, seconds", [
    ({"minReadySeconds": 30}, START + 30 + GRACE),
    ({"worker": {"startup_wait_ms": 0}}, 60 + GRACE),
    ({"worker": {"startup_wait_ms": 119001, "drain_timeout_ms": 1, "close_timeout_ms": 1000}}, 120 + 60 + 1 + 1 + 1)], ids=str)
def test_it_follows_from_how_long_a_pod_starts_and_ends(values, seconds):
    assert timeout(values) == seconds
    release = render(values)
    probe = release.worker["startupProbe"]
    start = probe["periodSeconds"] * probe["failureThreshold"] + release.workload.get("minReadySeconds", 0)
    assert start + release.worker_pod["terminationGracePeriodSeconds"] == seconds
    assert release.workload["progressDeadlineSeconds"] > seconds  # else Helm calls it failed while a pod still waits


def test_the_notes_name_the_workload_and_its_pods():
    notes = install({"replicaCount": 4}).notes
    assert notes.startswith("4 pod(s) of registry.test/chat-worker") and "rollout status deployment/t-chat-worker" in notes and "4 pod(s), 1 at a time" in notes
    assert "rollout status statefulset/t-chat-worker" in install({"kind": "StatefulSet"}).notes
    assert "all at once" in install({"strategy": {"type": "Recreate"}}).notes
    assert install({"autoscaling": {"minReplicas": 2, "hpa": {"enabled": True}}}).notes.startswith("2 to 10 pod(s)")
