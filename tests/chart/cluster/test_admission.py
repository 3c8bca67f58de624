"""What the real API server says of every object that the chart makes of the examples; and what it refuses."""
import copy

import pytest
import yaml
from control_plane import Refused
from parts import ROOT, wait_until
from test_release import NAME, VALUES

EXAMPLES = sorted([*(ROOT / "charts/chat-worker/examples").glob("*.yaml"), *(ROOT / "tests/chart/values").glob("*.yaml")])
KINDS = {"podmonitor": "monitoring.coreos.com/v1/PodMonitor", "keda": "keda.sh/v1alpha1/ScaledObject"}


def rendered(namespace, values, *arguments: str) -> list[dict]:
    text = namespace.helm("template", "it", ROOT / "charts/chat-worker", "-f", "-", *(word for kind in KINDS.values() for word in ("--api-versions", kind)), *arguments, input=yaml.safe_dump(values))
    return [each for each in yaml.safe_load_all(text) if each]


def judged(namespace, objects: list[dict]) -> None:
    """Refused if the server refuses one, or has a word to say of it."""
    said = namespace.cluster.apply(objects, "-n", namespace.name, "--dry-run=server", "--warnings-as-errors")
    assert said.count("(server dry run)") == len(objects), said


def prepared(namespace, objects: list[dict]) -> None:
    """What must be there before a pod is admitted even for show."""
    classes = {each["spec"]["priorityClassName"] for each in objects if each["kind"] == "Pod" and "priorityClassName" in each["spec"]}
    first = [each for each in objects if each["kind"] == "ServiceAccount"] + [{"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": 1000} for name in classes]
    if first:
        namespace.cluster.apply(first, "-n", namespace.name)
    wait_until(lambda: "default" in {each["metadata"]["name"] for each in namespace.list("serviceaccounts")}, "the namespace's account")


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_server_takes_what_is_made_of(file, others, namespace):
    objects = rendered(namespace, yaml.safe_load(file.read_text()))
    assert "Pod" in {each["kind"] for each in objects} and len(objects) >= 3
    prepared(namespace, objects)
    judged(namespace, objects)


def test_there_are_examples():
    assert len(EXAMPLES) >= 12


@pytest.mark.parametrize(("file", "kind"), KINDS.items(), ids=KINDS)
def test_without_the_operators_kinds_the_chart_says_what_to_install(file, kind, no_others, namespace):
    with pytest.raises(Refused, match=f"the cluster has no {kind}: install"):
        namespace.install(yaml.safe_load((ROOT / f"charts/chat-worker/examples/{file}.yaml").read_text()))
    assert namespace.helm("list", "-q").strip() == ""


@pytest.mark.parametrize("file", KINDS)
def test_with_the_operators_kinds_it_is_installed_and_taken_away(file, others, namespace):
    namespace.install(yaml.safe_load((ROOT / f"charts/chat-worker/examples/{file}.yaml").read_text()))
    assert len(namespace.list({"podmonitor": "podmonitors", "keda": "scaledobjects"}[file])) == 1
    namespace.helm("uninstall", "it", "--wait")
    assert namespace.list({"podmonitor": "podmonitors", "keda": "scaledobjects"}[file]) == []


def test_a_statefulsets_pods_are_members_by_their_names(namespace):
    namespace.install(yaml.safe_load((ROOT / "charts/chat-worker/examples/statefulset.yaml").read_text()))
    assert sorted(pod["metadata"]["name"] for pod in namespace.list("pods")) == [f"{NAME}-{n}" for n in range(4)]


def typo(deployment, pod):
    pod["enableServiceLinx"] = False


def wrong_type(deployment, pod):
    pod["terminationGracePeriodSeconds"] = "a minute"


def unknown_choice(deployment, pod):
    pod["containers"][0]["imagePullPolicy"] = "Sometimes"


def unknown_port(deployment, pod):
    pod["containers"][0]["livenessProbe"]["httpGet"]["port"] = "no such port"


def no_such_volume(deployment, pod):
    pod["volumes"] = [volume for volume in pod["volumes"] if volume["name"] != "config"]


def other_labels(deployment, pod):
    deployment["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"] = "another"


def two_of_a_name(deployment, pod):
    pod["containers"][0]["ports"].append({"name": "admin", "containerPort": 9465})


def hosts_processes(deployment, pod):
    pod["hostPID"] = True


def no_seccomp(deployment, pod):
    del pod["securityContext"]["seccompProfile"]


def capabilities(deployment, pod):
    del pod["containers"][0]["securityContext"]["capabilities"]


BAD = {typo: "field not declared in schema", wrong_type: "(?s)terminationGracePeriodSeconds.*(invalid|expected)", unknown_choice: "Unsupported value", unknown_port: "livenessProbe",
       no_such_volume: "volumeMounts.*Not found", other_labels: "selector.*does not match", two_of_a_name: "(?i)duplicate", hosts_processes: "violate PodSecurity", no_seccomp: "violate PodSecurity",
       capabilities: "violate PodSecurity"}


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_the_judge_refuses(spoil, namespace):
    """Of the least that a release needs, spoilt in one place."""
    objects = rendered(namespace, VALUES)
    prepared(namespace, objects)
    judged(namespace, objects)
    bad = copy.deepcopy(objects)
    deployment = next(each for each in bad if each["kind"] == "Deployment")
    spoil(deployment, deployment["spec"]["template"]["spec"])
    with pytest.raises(Refused, match=BAD[spoil]):
        judged(namespace, bad)


def test_a_pod_that_is_not_restricted_is_not_let_in(namespace):
    """Of the chart's pod, by itself: a Deployment's is only warned of."""
    deployment = next(each for each in rendered(namespace, VALUES) if each["kind"] == "Deployment")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "alone"}, "spec": {**deployment["spec"]["template"]["spec"], "serviceAccountName": "default"}}
    prepared(namespace, [pod])
    judged(namespace, [pod])
    pod["spec"]["securityContext"]["runAsNonRoot"] = False
    with pytest.raises(Refused, match=r"violates PodSecurity .restricted:latest.: runAsNonRoot"):
        namespace.cluster.apply([pod], "-n", namespace.name)


@pytest.mark.parametrize(("file", "field", "value", "says"), [("podmonitor", "podMetricsEndpoints", [{"port": "admin", "interval": "soon"}], "interval"), ("keda", "triggers", [{"type": "kafka"}], "metadata")])
def test_the_operators_kinds_are_judged_too(file, field, value, says, others, namespace):
    objects = rendered(namespace, yaml.safe_load((ROOT / f"charts/chat-worker/examples/{file}.yaml").read_text()))
    bad = next(each for each in objects if f"{each['apiVersion']}/{each['kind']}" == KINDS[file])
    prepared(namespace, objects)
    judged(namespace, objects)
    bad["spec"][field] = value
    with pytest.raises(Refused, match=says):
        judged(namespace, objects)
