"""What a release is made of: the least, all that can be said, and secrets that somebody else makes."""
import re

import pytest
import yaml
from memory_bound import MIB, bound
from release import CHART, CONFIG, SECRETS, VALUES, VERSIONS, helm, install, judge, render, run, unrestricted

APP_VERSION = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
ELSEWHERE = {"redis-url": "redis://redis:6379/0", "proxy-main": "http://me:s3cret@proxy.test:3128", "headers-main": '{"X-Route":"s3cret"}',
             "api-key-main": "s3cret", "kafka-sasl.password": "s3cret"}  # existing.yaml's
EXPECTED = {
    "minimal": {"kinds": {"ConfigMap", "Secret", "ServiceAccount", "Deployment", "PodDisruptionBudget"}, "grace": 75, "startup_s": 660,
                "pdb": {"maxUnavailable": 1}, "image": f"registry.test/chat-worker:{APP_VERSION}", "replicas": 1, "account": "t-chat-worker",
                "scrape": ("true", "9464", "/metrics"), "user": 65532, "startup_wait": "600000", "memory": f"{-(-bound({}) // MIB)}Mi",
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                "env": None, "secret": "t-chat-worker", "files": {"redis.url_file": "redis-url"}, "keys": {"redis-url": "redis://redis:6379/0"}},
    "full": {"kinds": {"ConfigMap", "Secret", "ServiceAccount", "Deployment", "PodDisruptionBudget"}, "grace": 113, "startup_s": 180,
             "pdb": {"minAvailable": "50%"}, "image": "registry.test/chat-worker:1.2", "replicas": 3, "account": "answerer",
             "scrape": (None, "9464", "/own"), "strategy": {"type": "Recreate"}, "user": 1001, "startup_wait": "120000", "memory": "8Ti",
             "env": ["CHATW__LLM__MODELS_ALLOWED", "FROM_SECRET"], "secret": "answers",
             "files": {"redis.url_file": "redis-url", "kafka.sasl.password_file": "kafka-sasl.password",
                       "provider.second-one.api_key_file": "api-key-second-one", "context.profile.api_key_file": "context-key-profile",
                       "provider.second-one.proxy_file": "proxy-second-one", "provider.second-one.headers_file": "headers-second-one",
                       "admin.token_file": "admin-token"},
             "keys": {"redis-url": "redis://user:redis-s3cret@redis:6379/2", "kafka-sasl.password": "kafka-s3cret;#=", "api-key-second-one": "llm-s3cret",
                      "context-key-profile": "profile-s3cret", "proxy-second-one": "http://me:proxy-s3cret@proxy.test:3128",
                      "headers-second-one": '{"X-Route":"header-s3cret","X-Title":"a <b> & \\"c\\""}', "admin-token": "admin-s3cret"}},
    "existing": {"kinds": {"ConfigMap", "Deployment"}, "grace": 75, "startup_s": 660, "pdb": None,
                 "image": "registry.test/chat-worker@sha256:" + "0123456789" * 6 + "0123", "replicas": 1, "account": "default",
                 "scrape": ("true", "9464", "/metrics"), "user": 65532, "startup_wait": "600000", "memory": f"{-(-bound({}) // MIB)}Mi",
                 "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0}},
                 "env": None, "secret": "made-elsewhere",
                 "files": {"redis.url_file": "redis-url", "kafka.sasl.password_file": "kafka-sasl.password",
                           "provider.main.api_key_file": "api-key-main", "provider.main.headers_file": "headers-main",
                           "provider.main.proxy_file": "proxy-main"}, "keys": None},
}


@pytest.fixture(params=EXPECTED)
def case(request):
    return request.param


@pytest.fixture
def release(case):
    return render(file=VALUES / f"{case}.yaml")


@pytest.fixture
def want(case):
    return EXPECTED[case]


def test_helms_lint_is_content(case):
    helm("lint", "--strict", CHART, "-f", VALUES / f"{case}.yaml")


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_are_valid(release, version):
    judge(release, version)


def test_an_unknown_field_is_seen():
    release = render()
    release.worker_pod["enableServiceLinx"] = False
    with pytest.raises(AssertionError, match="enableServiceLinx"):
        judge(release, VERSIONS[-1])


def test_the_worker_accepts_the_settings(case, release, tmp_path):
    release.unpack(tmp_path, ELSEWHERE if case == "existing" else None)
    done = run("chat-worker", "--check-config", "-c", tmp_path / "worker.ini")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "worker.ini").read_text()
    (tmp_path / "worker.ini").write_text(text.replace("[admin]\n", "[admin]\nlisten_to = x\n"))
    assert run("chat-worker", "--check-config", "-c", tmp_path / "worker.ini").returncode == 78


def test_kinds(release, want):
    assert release.kinds() == want["kinds"]


def test_the_workload(release, want):
    workload, labels = release.workload, release.workload["template"]["metadata"]["labels"]
    assert (release.worker["image"], workload["replicas"], workload["strategy"]) == (want["image"], want["replicas"], want["strategy"])
    assert workload["selector"]["matchLabels"].items() <= labels.items()
    assert "minReadySeconds" not in workload


def test_the_pod(release, want):
    pod, container = release.worker_pod, release.worker
    assert pod["securityContext"] == {"runAsNonRoot": True, "runAsUser": want["user"], "runAsGroup": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert (pod["enableServiceLinks"], pod["automountServiceAccountToken"], pod["serviceAccountName"]) == (False, False, want["account"])
    assert all(account["automountServiceAccountToken"] is False for account in release.all("ServiceAccount"))
    assert pod["terminationGracePeriodSeconds"] == want["grace"]
    assert container["ports"] == [{"name": "admin", "containerPort": 9464}]
    assert ([entry["name"] for entry in container["env"]] if "env" in container else None) == want["env"]
    assert sorted(container["resources"]) == ["limits", "requests"] and container["resources"]["limits"]["memory"] == want["memory"]


def test_every_pod_is_taken_where_podsecurity_is_restricted(release):
    assert {name: unrestricted(pod["spec"]) for name, pod in release.templates_of_pods().items()} == {"Deployment " + release.one("Deployment")["metadata"]["name"]: [],
                                                                                                     "Pod " + release.one("Pod")["metadata"]["name"]: []}


def test_probes(release, want):
    probes = {name: release.worker[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
    assert {name: probe["httpGet"] for name, probe in probes.items()} == {"startup": {"path": "/healthz", "port": "admin"}, "liveness": {"path": "/healthz", "port": "admin"},
                                                                        "readiness": {"path": "/readyz", "port": "admin"}}
    assert probes["startup"]["periodSeconds"] * probes["startup"]["failureThreshold"] == want["startup_s"]
    assert release.settings["worker.startup_wait_ms"] == want["startup_wait"]
    assert release.settings["admin.listen"] == "[::]:9464"  # IPv4's too: test_admin_port.py, all_addresses_are_those_of_ipv6_and_ipv4


def test_annotations(release, want):
    notes = release.workload["template"]["metadata"]["annotations"]
    assert tuple(notes.get(f"prometheus.io/{key}") for key in ("scrape", "port", "path")) == want["scrape"]
    assert sorted(key for key, value in notes.items() if key.startswith("checksum/") and re.fullmatch("[0-9a-f]{64}", value)) == ["checksum/config", "checksum/secret"]


def test_a_node_may_go_with_the_volumes_that_are_on_it_alone(release):
    """Else the cluster autoscaler keeps it for them."""
    notes = release.workload["template"]["metadata"]["annotations"]
    assert notes["cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"].split(",") == [volume["name"] for volume in release.worker_pod["volumes"] if "emptyDir" in volume] == ["state"]


def test_the_disruption_budget(release, want):
    budgets = release.all("PodDisruptionBudget")
    assert [{key: value for key, value in budget["spec"].items() if key != "selector"} for budget in budgets] == ([want["pdb"]] if want["pdb"] else [])
    assert all(budget["spec"]["selector"] == release.workload["selector"] for budget in budgets)


def test_mounts(release, want):
    pod = release.worker_pod
    assert [volume["secret"]["secretName"] for volume in pod["volumes"] if volume["name"] == "secrets"] == [want["secret"]]
    assert {m["name"]: (m["mountPath"], m.get("readOnly", False)) for m in release.worker["volumeMounts"] if m["name"] != "ca"} == {
        "config": (CONFIG, True), "secrets": (SECRETS, True), "state": ("/var/lib/chat-worker", False)}
    assert release.settings["worker.crash_file"] == "/var/lib/chat-worker/crashes"  # outlives the container
    assert [volume.get("emptyDir") for volume in pod["volumes"] if volume["name"] == "state"] == [{"sizeLimit": "1Mi"}]


def test_secrets_are_files_and_nowhere_else(release, want):
    assert {key: value for key, value in release.settings.items() if key.endswith("_file") and value.startswith(SECRETS)} == {key: f"{SECRETS}/{name}" for key, name in want["files"].items()}
    assert [release.secrets for _ in release.all("Secret")] == ([want["keys"]] if want["keys"] else [])
    outside = yaml.safe_dump_all(thing for thing in release.objects if thing["kind"] != "Secret")
    assert [value for value in (want["keys"] or {}).values() if value in outside] == []


def test_settings_of_every_kind():
    release = render(file=VALUES / "full.yaml")
    assert [release.settings[key] for key in ("worker.buffered_bytes_max", "kafka.socket.keepalive.enable", "worker.reply_topics_allowed", "worker.gather_ms", "provider.second-one.params")] == [
        "17179869184", "true", "a.one,a.two", "0", '{"max_tokens":10000000,"stop":["<a&b>"],"temperature":0.2}']
    assert [release.settings[key] for key in ("llm.contexts", "context.profile.url", "context.profile.required", "context.rules.kind")] == [
        "profile,rules", "https://p.test/v1/{user}?s={session}", "true", "moderation"]
    prompts = release.one("ConfigMap")["data"]
    assert prompts["system-prompt"] == 'Be brief.\n  Be kind: "always" {{ not a template }}; and # so on.\n' and prompts["context-prompt"] == "Who:\n{profile}\n"


def test_placement():
    release = render(file=VALUES / "full.yaml")
    pod, template = release.worker_pod, release.workload["template"]["metadata"]
    assert [key for key in ("nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "priorityClassName") if key not in pod] == []
    assert [c["labelSelector"]["matchLabels"] for c in pod["topologySpreadConstraints"]] == [release.workload["selector"]["matchLabels"], {"own": "one"}]
    assert (template["annotations"]["team"], template["labels"]["tier"]) == ("chat", "back")


def test_the_notes_warn_of_a_drain_that_cuts_answers_short():
    assert "WARNING: worker.drain_timeout_ms" in install(file=VALUES / "full.yaml").notes
    assert "WARNING" not in install().notes
