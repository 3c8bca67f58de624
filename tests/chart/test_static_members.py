"""Static membership: names that outlive a restart, which a Deployment's pods don't have and an autoscaler's don't keep."""
import pytest
from release import Refused, install, judge, render, run

STATIC = {"kind": "StatefulSet", "kafka": {"staticMembership": True}}


def test_a_stateful_set_stands_in_the_deployments_place():
    release, usual = render({"kind": "StatefulSet", "replicaCount": 4, "minReadySeconds": 7}), render()
    assert release.kinds() == usual.kinds() - {"Deployment"} | {"StatefulSet"}
    spec = release.one("StatefulSet")["spec"]
    assert (spec["replicas"], spec["podManagementPolicy"], spec["updateStrategy"], spec["serviceName"], spec["minReadySeconds"]) == (4, "Parallel", {"type": "RollingUpdate"}, "t-chat-worker", 7)
    assert (spec["template"], spec["selector"]) == (usual.workload["template"], usual.workload["selector"])
    assert not {"strategy", "progressDeadlineSeconds"} & spec.keys()
    assert release.one("PodDisruptionBudget")["spec"]["selector"] == spec["selector"]
    judge(release, "1.25")


def test_each_pod_is_a_member_by_its_own_name(tmp_path):
    release = render(STATIC)
    assert release.worker["env"] == [{"name": "CHATW__KAFKA__GROUP_INSTANCE_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    release.unpack(tmp_path)
    done = run("chat-worker", "--print-config", "-c", tmp_path / "worker.ini", env={release.worker["env"][0]["name"]: "t-chat-worker-2"})
    assert "group.instance.id = t-chat-worker-2" in done.stdout, done.stderr


def test_what_is_no_worker_is_no_member():
    """A check that were one would take the name's partitions."""
    release = render({**STATIC, "replay": {"enabled": True}})
    for kind in ("Pod", "Job"):
        spec = release.one(kind)["spec"]
        assert "GROUP_INSTANCE_ID" not in str(spec) and "group.instance.id" not in str(spec)


def test_without_it_nobody_is():
    assert "env" not in render({"kind": "StatefulSet"}).worker


@pytest.mark.parametrize("session, warned", [(None, True), (74999, True), (75000, False)])
def test_the_notes_warn_of_a_session_that_ends_before_a_pod_does(session, warned):
    kafka = {"staticMembership": True, "properties": {"session.timeout.ms": session} if session else {}}
    assert ("WARNING: kafka.properties.session.timeout.ms" in install({"kind": "StatefulSet", "kafka": kafka}).notes) == warned


@pytest.mark.parametrize("values, why", [
    ({"kafka": {"staticMembership": True}}, "kafka.staticMembership: a Deployment's pods have new names after each restart"),
    ({**STATIC, "autoscaling": {"hpa": {"enabled": True}}}, "kafka.staticMembership: a static member that an autoscaler takes away doesn't leave its group"),
    ({"kind": "StatefulSet", "fullnameOverride": "a" * 53}, "is longer than the 52 characters that a StatefulSet's name may have")], ids=str)
def test_what_can_not_be_is_refused(values, why):
    with pytest.raises(Refused) as refused:
        render(values)
    assert why in str(refused.value)
