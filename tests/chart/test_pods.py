"""What users add to pods and to the release, and where pods go."""
import pytest
from release import POD_MONITOR, Refused, judge, render

SIDE = {"name": "side", "image": "busybox", "args": ["{{ .Release.Name }}-{{ .Values.redis.key_prefix }}"]}
FILLED = {**SIDE, "args": ["t-a"]}
ALL = {"replay": {"enabled": True}, "networkPolicy": {"enabled": True}, "autoscaling": {"hpa": {"enabled": True}}}


def test_containers_beside_the_worker():
    release = render({"extraContainers": [SIDE], "redis": {"key_prefix": "a"}})
    assert [container["name"] for container in release.worker_pod["containers"]] == ["chat-worker", "side"] and release.worker_pod["containers"][1] == FILLED
    others = {name: template["spec"]["containers"] for name, template in release.templates_of_pods().items() if not name.startswith("Deployment")}
    assert [len(containers) for containers in others.values()] == [1]
    judge(release, "1.25")


def test_containers_before_each_of_ours():
    """They may bring what a volume holds, say certificates: what needs those is a check and a replay, too."""
    release = render({"initContainers": [SIDE], "redis": {"key_prefix": "a"}, "replay": {"enabled": True}})
    assert [template["spec"]["initContainers"] for template in release.templates_of_pods().values()] == [[FILLED]] * 3
    assert "initContainers" not in render().worker_pod
    judge(release, "1.25")


@pytest.mark.parametrize("form", [lambda thing: thing, lambda thing: "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: '{{ .Release.Name }}-own'\ndata:\n  where: '{{ .Values.kafka.properties.x }}'\n"],
                         ids=["an object", "a text"])
def test_whole_objects(form):
    thing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-own"}, "data": {"where": "{{ .Values.kafka.properties.x }}"}}
    release = render({"extraObjects": [form(thing), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "second"}}], "kafka": {"properties": {"x": "here"}}})
    made = {of["metadata"]["name"]: of for of in release.all("ConfigMap")}
    assert made.keys() == {"t-chat-worker", "t-own", "second"} and made["t-own"]["data"] == {"where": "here"}


def test_variables_from_elsewhere():
    release = render({"envFrom": [{"secretRef": {"name": "a"}}, {"prefix": "B_", "configMapRef": {"name": "b", "optional": True}}]})
    assert release.worker["envFrom"] == [{"secretRef": {"name": "a"}}, {"prefix": "B_", "configMapRef": {"name": "b", "optional": True}}]
    assert release.one("Pod")["spec"]["containers"][0]["envFrom"] == release.worker["envFrom"]  # what a check is to judge, too
    judge(release, "1.25")


def test_common_labels_are_on_all_that_the_release_makes():
    release = render({**ALL, "commonLabels": {"team": "chat", "app.kubernetes.io/name": "other"}})
    wanted = {"team": "chat", "app.kubernetes.io/name": "chat-worker", "app.kubernetes.io/instance": "t", "app.kubernetes.io/managed-by": "Helm"}
    labels = {f"{thing['kind']}": thing["metadata"]["labels"] for thing in release.objects}
    labels |= {f"pod of {name}": template["metadata"]["labels"] for name, template in release.templates_of_pods().items()}
    assert len(labels) == 12 and [name for name, of in labels.items() if not wanted.items() <= of.items()] == []
    assert "team" not in release.workload["selector"]["matchLabels"]  # it can't be changed once it is made


def test_a_pods_labels_are_the_charts_then_the_pods_then_the_common_ones():
    labels = render({"commonLabels": {"a": "common", "b": "common"}, "podLabels": {"b": "pod", "app.kubernetes.io/component": "other"}}).workload["template"]["metadata"]["labels"]
    assert (labels["a"], labels["b"], labels["app.kubernetes.io/component"]) == ("common", "pod", "worker")


def test_the_workers_selector_finds_no_other_pod():
    """A budget would count a Job's pod, which nobody scales, and then let none go."""
    release = render({"replay": {"enabled": True}})
    selector = release.workload["selector"]["matchLabels"].items()
    found = [name for name, template in release.templates_of_pods().items() if selector <= template["metadata"]["labels"].items()]
    assert found == ["Deployment t-chat-worker"] and release.one("PodDisruptionBudget")["spec"]["selector"] == release.workload["selector"]


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_the_workloads_own_annotations_and_patience(kind):
    release = render({"kind": kind, "workloadAnnotations": {"reloader.stakater.com/auto": "true"}, "minReadySeconds": 20})
    assert release.one(kind)["metadata"]["annotations"] == {"reloader.stakater.com/auto": "true"} and release.workload["minReadySeconds"] == 20
    assert "reloader.stakater.com/auto" not in release.workload["template"]["metadata"]["annotations"]
    assert "annotations" not in render({"kind": kind}).one(kind)["metadata"]


def test_pods_are_spread_over_hosts_and_zones_where_that_can_be():
    release = render()
    selector = {"matchLabels": release.workload["selector"]["matchLabels"]}
    assert release.worker_pod["topologySpreadConstraints"] == [
        {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector} for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")]
    own = {"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}
    assert render({"topologySpreadConstraints": [own]}).worker_pod["topologySpreadConstraints"] == [{**own, "labelSelector": selector}]
    assert "topologySpreadConstraints" not in render({"topologySpreadConstraints": []}).worker_pod


def test_null_is_none():
    names = ["commonLabels", "podLabels", "podAnnotations", "workloadAnnotations", "extraEnv", "envFrom", "extraVolumes", "extraVolumeMounts", "extraContainers", "initContainers",
             "extraObjects", "imagePullSecrets", "command", "contexts", "retry", "log", "nodeSelector", "tolerations", "affinity", "resources", "topologySpreadConstraints",
             "priorityClassName", "minReadySeconds"]
    judge(render({**dict.fromkeys(names), "replay": {"enabled": True}, "podMonitor": {"enabled": True, "labels": None}}, apis=(POD_MONITOR,)), "1.25")


@pytest.mark.parametrize("name", ["serviceAccount", "podDisruptionBudget", "existingSecret", "strategy", "autoscaling", "podMonitor", "networkPolicy", "replay", "test"])
def test_a_section_that_is_null_is_refused(name):
    with pytest.raises(Refused, match=name):
        render({name: None})


@pytest.mark.parametrize("values", [{"extraContainers": [{"name": "a"}]}, {"initContainers": [{"image": "a"}]}, {"extraObjects": [1]}, {"envFrom": [{"secret": {}}]}, {"commonLabels": {"a": 1}},
                                    {"minReadySeconds": -1}, {"workloadAnnotations": {"a": True}}], ids=str)
def test_what_is_none_is_refused(values):
    with pytest.raises(Refused, match="/" + next(iter(values))):
        render(values)
