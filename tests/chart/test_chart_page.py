"""What the chart tells of itself: its examples, its metadata for Artifact Hub, the table of its values."""
import os
import re
import subprocess

import pytest
import yaml
from release import CHART, POD_MONITOR, ROOT, SCALED_OBJECT, VERSIONS, Refused, helm, judge, render, run, unrestricted
from values_reference import PAGE, WORKER, all_rows, page, worker_settings

EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
CHANGELOG = (ROOT / "docs/CHANGELOG.md").read_text()


@pytest.fixture(params=EXAMPLES, ids=lambda file: file.stem)
def example(request):
    return render(file=request.param, apis=(POD_MONITOR, SCALED_OBJECT))


@pytest.mark.parametrize("version", VERSIONS)
def test_an_example_is_valid(example, version):
    judge(example, version)
    assert {name: wrong for name, template in example.templates_of_pods().items() if (wrong := unrestricted(template["spec"]))} == {}


def test_the_worker_accepts_an_examples_settings(example, tmp_path):
    example.unpack(tmp_path, None if example.all("Secret") else {key: "redis://redis" if key == "redis-url" else "s3cret" for key in ("redis-url", "kafka-sasl.password", "api-key-main")})
    settings = tmp_path / "worker.ini"
    (tmp_path / "kafka.pem").write_bytes(certificate(tmp_path))
    settings.write_text(settings.read_text().replace("/etc/ca", str(tmp_path)))
    done = run("chat-worker", "--check-config", "-c", settings, env={"CHATW__KAFKA__GROUP_INSTANCE_ID": "pod-0"} if example.all("StatefulSet") else {})
    assert done.returncode == 0, done.stderr


def certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=ca", "-keyout", folder / "ca.key", "-out", folder / "ca.pem"],
                   check=True, capture_output=True)
    return (folder / "ca.pem").read_bytes()


def test_there_is_an_example_of_each_option():
    made = {file.stem: render(file=file, apis=(POD_MONITOR, SCALED_OBJECT)).kinds() for file in EXAMPLES}
    shown = {"hpa": "HorizontalPodAutoscaler", "keda": "ScaledObject", "statefulset": "StatefulSet", "podmonitor": "PodMonitor", "networkpolicy": "NetworkPolicy", "replay-cronjob": "CronJob"}
    assert made.keys() == {"plain", "sasl-tls", "two-providers", *shown} and {name: kind for name, kind in shown.items() if kind not in made[name]} == {}


def test_artifact_hub_is_told_what_it_asks():
    """https://artifacthub.io/docs/topics/annotations/helm/"""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    notes = chart["annotations"]
    assert notes["artifacthub.io/category"] in {"ai-machine-learning", "database", "integration-delivery", "monitoring-logging", "networking", "security", "storage", "streaming-messaging"}
    assert notes["artifacthub.io/license"] == "Apache-2.0" and "Apache License" in (ROOT / "LICENSE").read_text()
    assert all(isinstance(value, str) for value in notes.values()) and chart["keywords"] and chart["kubeVersion"] == f">={VERSIONS[0]}.0-0"


def test_its_changes_are_those_of_the_changelog():
    changes = yaml.safe_load(yaml.safe_load((CHART / "Chart.yaml").read_text())["annotations"]["artifacthub.io/changes"])
    assert changes and {change["kind"] for change in changes} <= {"added", "changed", "deprecated", "removed", "fixed", "security"}
    sections = re.split(r"^### ", CHANGELOG, flags=re.M)
    lines = {(section.split("\n")[0].lower(), " ".join(line.split())) for section in sections for line in re.findall(r"^- ((?:.+\n)(?:  .+\n)*)", section, re.M)}
    assert [change for change in changes if (change["kind"], "Chart: " + change["description"]) not in lines] == []


def test_an_older_cluster_is_refused():
    with pytest.raises(Refused, match="kubeVersion"):
        helm("template", "t", CHART, "-f", CHART / "examples/plain.yaml", "--kube-version", "1.24.0")


def test_the_table_of_values_is_fresh():
    """CHAT_UPDATE_DOCS=1 writes it."""
    if os.environ.get("CHAT_UPDATE_DOCS"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page(), "VALUES.md is stale: see CONTRIBUTING.md, A setting"


def test_each_value_has_a_comment():
    assert [".".join(path) for path, _, default, words in all_rows() if default is not WORKER and not words] == []


def test_what_values_yaml_does_not_name_is_a_setting_of_the_workers():
    """And its meaning is found."""
    elsewhere = ("kafka.secrets.", "resources.", "replay.resources.")  # Kafka's and Kubernetes' own words
    names = [name for path, _, default, _ in all_rows() if default is WORKER and not (name := ".".join(path)).startswith(elsewhere)]
    known = worker_settings()
    assert "worker.threads" in names and "providers.NAME.url" in names
    assert [name for name in names if not known.get(re.sub(r"^(provider|context)s\.", r"\1.", name), ("", ""))[1]] == []
