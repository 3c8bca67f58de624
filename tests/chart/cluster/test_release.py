"""A release's life on a real API server: installed, upgraded, rolled back, taken away."""
import json

import pytest
import yaml
from control_plane import Refused, condition
from parts import ROOT, wait_until

VALUES = yaml.safe_load((ROOT / "tests/chart/values/minimal.yaml").read_text())
NAME = "it-chat-worker"
# What a namespace has without us.
OTHERS = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}


def with_values(**more) -> dict:
    return {**VALUES, **more}


def pods(namespace) -> list[dict]:
    return [pod for pod in namespace.list("pods", "app.kubernetes.io/instance=it") if "deletionTimestamp" not in pod["metadata"]]


def everything(namespace) -> set[tuple[str, str]]:
    """All objects of every kind that a namespace can hold, but events of what was."""
    kinds = [kind for kind in namespace.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").split() if kind.split(".")[0] != "events"]
    found = json.loads(namespace.kubectl("get", ",".join(kinds), "-o", "json", "--ignore-not-found") or '{"items": []}')["items"]
    return {(each["kind"], each["metadata"]["name"]) for each in found} - OTHERS


def test_a_release_is_installed_upgraded_rolled_back_and_taken_away(namespace):
    namespace.install(with_values(replicaCount=2))
    first = namespace.object("deployment", NAME)
    assert first["status"]["readyReplicas"] == 2 and condition(first, "Available") == "True"
    assert {condition(pod, "Ready") for pod in pods(namespace)} == {"True"}
    assert {kind for kind, _ in everything(namespace)} >= {"ConfigMap", "Deployment", "Pod", "PodDisruptionBudget", "Secret", "ServiceAccount"}

    namespace.upgrade(with_values(replicaCount=3, log={"level": "debug"}))
    second = namespace.object("deployment", NAME)
    assert second["status"]["updatedReplicas"] == second["status"]["readyReplicas"] == 3
    assert second["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2", "settings have changed, so pods are new"
    assert "level = debug" in namespace.object("configmap", NAME)["data"]["worker.ini"]

    namespace.rollback(1)
    third = namespace.object("deployment", NAME)
    assert third["spec"]["template"] == first["spec"]["template"] and third["spec"]["replicas"] == 2
    assert "level = debug" not in namespace.object("configmap", NAME)["data"]["worker.ini"]

    namespace.helm("uninstall", "it", "--wait")
    wait_until(lambda: not everything(namespace), "an empty namespace")


def test_an_upgrade_to_the_same_replaces_no_pod(namespace):
    namespace.install(VALUES)
    before = {pod["metadata"]["uid"] for pod in pods(namespace)}
    namespace.upgrade(VALUES)
    assert {pod["metadata"]["uid"] for pod in pods(namespace)} == before


def test_a_rollout_never_lacks_pods_and_goes_beyond_by_one(namespace):
    """maxSurge 1, maxUnavailable 0: the chart's default, kept by the real controller. Watched, not sampled."""
    namespace.install(with_values(replicaCount=3))
    first = namespace.object("deployment", NAME)["metadata"]["resourceVersion"]
    namespace.upgrade(with_values(replicaCount=3, worker={"threads": 2}))
    last = namespace.object("deployment", NAME)
    assert last["status"]["updatedReplicas"] == last["status"]["replicas"] == 3
    seen = namespace.cluster.versions(f"/apis/apps/v1/namespaces/{namespace.name}/deployments?fieldSelector=metadata.name={NAME}", first, last["metadata"]["resourceVersion"])
    assert min(each["status"].get("availableReplicas", 0) for each in seen) == 3
    assert max(each["status"]["replicas"] for each in seen) == 4


def test_two_releases_share_a_namespace(namespace):
    namespace.install(VALUES, release="one")
    namespace.install(VALUES, release="two")
    selected = [{pod["metadata"]["name"] for pod in namespace.list("pods", f"app.kubernetes.io/instance={name}")} for name in ("one", "two")]
    assert len(selected[0]) == len(selected[1]) == 1 and not selected[0] & selected[1]
    namespace.helm("uninstall", "one", "--wait")
    assert condition(namespace.object("deployment", "two-chat-worker"), "Available") == "True"


def test_an_installation_that_cannot_be_admitted_fails(namespace):
    """The harness's own: --wait waits for pods, and there are none that PodSecurity refuses."""
    with pytest.raises(Refused, match=r"(?s)not ready|deadline|timed out|InProgress"):
        namespace.helm("install", "it", "charts/chat-worker", "-f", "-", "--wait", "--timeout", "5s", input=yaml.safe_dump(with_values(extraVolumes=[{"name": "host", "hostPath": {"path": "/"}}])), cwd=ROOT)
    wait_until(lambda: "violates PodSecurity" in namespace.kubectl("get", "events", "-o", "yaml"), "PodSecurity's refusal")
