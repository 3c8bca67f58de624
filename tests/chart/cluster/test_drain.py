"""`kubectl drain` against the release's PodDisruptionBudget, which the API server keeps."""
import pytest
from control_plane import condition
from parts import LIMIT_S, Process, wait_until
from test_release import VALUES, pods

NODES = {"for": "drain"}


class Drain(Process):
    """As an operator does it; the volume `state` is an emptyDir, and a drain wants to be told that it may go."""

    def __init__(self, cluster, folder, *nodes: str):
        super().__init__("drain", folder, [cluster.kubectl_program, "drain", *nodes, "--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={LIMIT_S:.0f}s"], env=cluster.env)


@pytest.fixture
def nodes(cluster):
    """Three of the test's own."""
    names = cluster.add_nodes("drain", 3, **NODES)
    yield names
    cluster.kubectl("delete", "node", *names)


@pytest.fixture
def drain(cluster, stage):
    return lambda *nodes: stage._add(Drain(cluster, stage.folder, *nodes))


def on(namespace, *nodes: str) -> list[dict]:
    return [pod for pod in pods(namespace) if pod["spec"].get("nodeName") in nodes]


def budget(namespace) -> tuple[int, int, int]:
    status = namespace.object("pdb", "it-chat-worker")["status"]
    return status["currentHealthy"], status["desiredHealthy"], status["disruptionsAllowed"]


def test_a_drain_of_two_nodes_takes_one_pod_at_a_time(cluster, namespace, nodes, drain):
    """Nothing new can be scheduled at first, so that what was evicted stays away: the drain stands still after one."""
    namespace.install({**VALUES, "replicaCount": 6, "nodeSelector": NODES})
    assert all(on(namespace, node) for node in nodes), "spread over the nodes by default"
    there = len(on(namespace, *nodes[:2]))
    cluster.kubectl("cordon", *nodes)
    draining = drain(*nodes[:2])
    wait_until(lambda: "would violate the pod's disruption budget" in draining.text(), "a refused eviction")
    assert len(on(namespace, *nodes)) == 5 and draining.process.poll() is None
    wait_until(lambda: budget(namespace) == (5, 5, 0), "a spent budget")

    cluster.kubectl("uncordon", nodes[2])
    assert draining.wait() == 0
    wait_until(lambda: len([pod for pod in on(namespace, nodes[2]) if condition(pod, "Ready") == "True"]) == 6, "all pods on the node that is left")
    assert draining.text().count(" evicted") == there


def test_without_a_budget_a_drain_takes_all_at_once(cluster, namespace, nodes, drain):
    """The judge judges."""
    namespace.install({**VALUES, "replicaCount": 6, "nodeSelector": NODES, "podDisruptionBudget": {"enabled": False}})
    cluster.kubectl("cordon", *nodes)
    assert drain(*nodes[:2]).wait() == 0
    assert not on(namespace, *nodes[:2]) and 0 < len(on(namespace, nodes[2])) < 5
