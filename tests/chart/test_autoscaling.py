"""HPA, KEDA's ScaledObject, or a fixed number of pods: one of the three."""
import re

import pytest
from release import SCALED_OBJECT, Refused, judge, render

METRIC = {"type": "Pods", "pods": {"metric": {"name": "chat_jobs_alive"}, "target": {"type": "AverageValue", "averageValue": "48"}}}
TRIGGER = {"type": "kafka", "metadata": {"bootstrapServers": "kafka:9092", "consumerGroup": "chat-worker", "topic": "chat.jobs", "lagThreshold": "64"}}


def hpa(minimum=2, maximum=8, **values):
    return {"autoscaling": {"minReplicas": minimum, "maxReplicas": maximum, "hpa": {"enabled": True, **values}}}


def keda(minimum=0, maximum=8, **values):
    return {"autoscaling": {"minReplicas": minimum, "maxReplicas": maximum, "keda": {"enabled": True, "triggers": [TRIGGER], **values}}}


def with_keda(values):
    return render(values, apis=(SCALED_OBJECT,))


def test_without_one_there_is_none():
    release = render({"replicaCount": 3})
    assert not {"HorizontalPodAutoscaler", "ScaledObject"} & release.kinds() and release.workload["replicas"] == 3


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_an_hpa_scales_the_workload_by_cpu(kind):
    release = render({**hpa(), "kind": kind})
    spec = release.one("HorizontalPodAutoscaler")["spec"]
    assert spec == {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": release.one(kind)["metadata"]["name"]}, "minReplicas": 2, "maxReplicas": 8,
                    "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]}
    judge(release, "1.25")


def test_an_hpa_scales_by_any_metric():
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 600}}
    spec = render(hpa(cpuUtilization=None, metrics=[METRIC], behavior=behavior)).one("HorizontalPodAutoscaler")["spec"]
    assert (spec["metrics"], spec["behavior"]) == ([METRIC], behavior)
    both = render(hpa(cpuUtilization=55, metrics=[METRIC])).one("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert (both[0]["resource"]["target"]["averageUtilization"], both[1:]) == (55, [METRIC])


def test_keda_scales_by_triggers_of_the_users():
    release = with_keda(keda(pollingInterval=15, cooldownPeriod=60, fallback={"failureThreshold": 3, "replicas": 6}, annotations={"autoscaling.keda.sh/paused": "true"},
                             advanced={"restoreToOriginalReplicaCount": True}))
    scaled = release.one("ScaledObject")
    assert scaled["spec"] == {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": release.one("Deployment")["metadata"]["name"]},
                              "minReplicaCount": 0, "maxReplicaCount": 8, "pollingInterval": 15, "cooldownPeriod": 60, "triggers": [TRIGGER],
                              "fallback": {"failureThreshold": 3, "replicas": 6}, "advanced": {"restoreToOriginalReplicaCount": True}}
    assert scaled["metadata"]["annotations"] == {"autoscaling.keda.sh/paused": "true"}
    judge(release, "1.37")


def test_keda_s_definition_refuses_what_it_does_not_know():
    release = with_keda(keda(advanced={"restoreToOriginalReplicas": True}))
    with pytest.raises(AssertionError, match="restoreToOriginalReplicas"):
        judge(release, "1.37")


@pytest.mark.parametrize("release", [lambda: render(hpa()), lambda: with_keda(keda())], ids=["hpa", "keda"])
def test_the_number_of_pods_is_the_autoscalers(release):
    """A number of ours would take the pods back to it at each upgrade."""
    assert "replicas" not in release().workload


@pytest.mark.parametrize("values, why", [
    ({"autoscaling": {"hpa": {"enabled": True}, "keda": {"enabled": True, "triggers": [TRIGGER]}}}, "autoscaling.hpa and autoscaling.keda are both enabled"),
    (hpa(minimum=9), "autoscaling.minReplicas: 9 is more than autoscaling.maxReplicas, 8"),
    (keda(minimum=9), "autoscaling.minReplicas: 9 is more than autoscaling.maxReplicas, 8"),
    (hpa(minimum=0), "autoscaling.minReplicas: 0: an HPA can't start again from none"),
    (hpa(cpuUtilization=None), "autoscaling.hpa: nothing to scale on"),
    ({**hpa(), "resources": {"requests": {"cpu": None}}}, "a part of resources.requests.cpu, which isn't given"),
    (keda(triggers=[]), "autoscaling.keda.triggers is empty"),
    (keda(triggers=[{"type": "kafka"}]), "metadata"),
    (hpa(maximum=0), "/autoscaling/maxReplicas")], ids=str)
def test_what_can_not_scale_is_refused(values, why):
    with pytest.raises(Refused) as refused:
        with_keda(values)
    assert why in str(refused.value)


def test_keda_where_it_is_not_is_refused():
    with pytest.raises(Refused) as refused:
        render(keda())
    assert re.search(r"autoscaling.keda.enabled: the cluster has no keda.sh/v1alpha1/ScaledObject: install KEDA first, or disable .*--api-versions keda.sh/v1alpha1/ScaledObject", str(refused.value))
