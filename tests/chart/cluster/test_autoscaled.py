"""A release whose number of pods is an autoscaler's: Helm applies by the server's side, where each field has an owner."""
import pytest
import yaml
from control_plane import Refused
from parts import ROOT, wait_until
from test_release import NAME, VALUES

HPA = yaml.safe_load((ROOT / "charts/chat-worker/examples/hpa.yaml").read_text())


def replicas(namespace) -> int:
    return namespace.object("deployment", NAME)["spec"]["replicas"]


def owners(namespace, field: str = "f:replicas") -> set[str]:
    """Whose .spec.replicas is."""
    held = yaml.safe_load(namespace.kubectl("get", "deployment", NAME, "-o", "yaml", "--show-managed-fields"))["metadata"]["managedFields"]
    return {each["manager"] for each in held if field in each["fieldsV1"].get("f:spec", {})}


def test_an_upgrade_and_a_rollback_leave_an_autoscalers_number_alone(namespace):
    values = {**HPA, "autoscaling": {**HPA["autoscaling"], "minReplicas": 2}}
    namespace.install(values)
    wait_until(lambda: replicas(namespace) == 2, "the real controller raising it to minReplicas")
    assert "helm" not in owners(namespace)
    namespace.kubectl("scale", "deployment", NAME, "--replicas=5")  # as by a metric, of which there is none here: within its bounds the controller leaves it
    namespace.upgrade({**values, "worker": {"threads": 2}})
    assert replicas(namespace) == 5 and "threads = 2" in namespace.object("configmap", NAME)["data"]["worker.ini"]
    namespace.rollback(1)
    assert replicas(namespace) == 5 and namespace.object("deployment", NAME)["status"]["readyReplicas"] == 5


def test_a_release_becomes_autoscaled_and_again_not(namespace):
    """Its number then is what it was, within the autoscaler's bounds; and again what the values say."""
    namespace.install({**VALUES, "replicaCount": 4})
    assert owners(namespace) == {"helm"}
    namespace.upgrade(HPA)
    assert "helm" not in owners(namespace)
    wait_until(lambda: replicas(namespace) >= HPA["autoscaling"]["minReplicas"], "within the bounds")
    namespace.upgrade({**VALUES, "replicaCount": 3}, "--force-conflicts")
    assert replicas(namespace) == 3


def test_who_scales_beside_the_chart_is_told_of_the_conflict(namespace):
    """The judge judges: without autoscaling the number is the chart's, and another's is seen."""
    namespace.install({**VALUES, "replicaCount": 2})
    namespace.kubectl("scale", "deployment", NAME, "--replicas=3")
    with pytest.raises(Refused, match=r"conflict.*\.spec\.replicas"):
        namespace.upgrade({**VALUES, "replicaCount": 2, "worker": {"threads": 2}})
