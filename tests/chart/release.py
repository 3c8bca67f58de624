"""A release as Helm renders it, as data: its objects, its settings and secrets as a pod sees them, and what judges them.

Tests render the least that a release needs (values/minimal.yaml) with what they are about laid over it.
"""
import base64
import functools
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml
from parts import BIN, LIMIT_S

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/chat-worker"
VALUES = Path(__file__).parent / "values"
MINIMAL = VALUES / "minimal.yaml"
VERSIONS = ["1.25", "1.37"]  # of Kubernetes: the oldest that the chart takes, and the newest that there are schemas of
SECRETS, CONFIG, STATE = "/etc/chat-worker/secrets", "/etc/chat-worker/config", "/var/lib/chat-worker"
POD_MONITOR, SCALED_OBJECT = "monitoring.coreos.com/v1/PodMonitor", "keda.sh/v1alpha1/ScaledObject"


class Refused(Exception):
    pass


def without_settings():
    """No variable of this shell becomes a setting."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CHATW__")}


@functools.cache
def helm(*arguments, values="{}"):
    """Its own folders stay out of the home directory."""
    with tempfile.TemporaryDirectory(prefix="chat-test-") as folder:
        homes = {f"HELM_{kind}_HOME": folder for kind in ("CONFIG", "CACHE", "DATA")}
        done = subprocess.run([os.environ["CHAT_HELM"], *map(str, arguments)], input=values, text=True, capture_output=True, timeout=LIMIT_S,
                              env={**without_settings(), **homes}, check=False)
    if done.returncode != 0:
        raise Refused(done.stderr)
    return done.stdout


class Release:
    def __init__(self, text, notes=""):
        self.text, self.notes = text, notes
        self.objects = [thing for thing in yaml.safe_load_all(text) if thing]
        names = [(thing["kind"], thing["metadata"]["name"]) for thing in self.objects]
        assert len(set(names)) == len(names), f"two of one name: {names}"

    def kinds(self):
        """Without helm test's pod, which isn't installed."""
        return {thing["kind"] for thing in self.objects if not is_hook(thing)}

    def all(self, kind):
        return [thing for thing in self.objects if thing["kind"] == kind]

    def one(self, kind):
        (found,) = self.all(kind)
        return found

    @property
    def workload(self):
        (found,) = self.all("Deployment") + self.all("StatefulSet")
        return found["spec"]

    @property
    def worker_pod(self):
        return self.workload["template"]["spec"]

    @property
    def worker(self):
        return next(container for container in self.worker_pod["containers"] if container["name"] == "chat-worker")

    @property
    def settings(self):
        """worker.ini as {"section.key": value}."""
        section, pairs = "", {}
        for line in self.one("ConfigMap")["data"]["worker.ini"].splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif line:
                key, value = line.split(" = ", 1)
                pairs[f"{section}.{key}"] = value
        return pairs

    @property
    def secrets(self):
        return {key: base64.b64decode(value).decode() for key, value in self.one("Secret")["data"].items()}

    def templates_of_pods(self):
        """{"Kind name": the pod's metadata and spec}, of all that makes pods."""
        found = {}
        for thing in self.objects:
            spec = thing.get("spec", {})
            spec = spec.get("jobTemplate", {}).get("spec", spec)
            template = thing if thing["kind"] == "Pod" else spec.get("template")
            if template:
                found[f"{thing['kind']} {thing['metadata']['name']}"] = template
        return found

    def unpack(self, folder, elsewhere=None):
        """What a pod finds in its files, below the folder; secrets that others make are in elsewhere. Returns what a path of the pod is here."""
        data = dict(self.one("ConfigMap")["data"])
        text = data.pop("worker.ini")
        for name in set(re.findall(rf"{SECRETS}/(\S+)", self.text)):
            (folder / name).write_text(elsewhere[name] if elsewhere is not None else self.secrets[name])
        for name, value in data.items():
            (folder / name).write_text(value)

        def here(text):
            for mount in (SECRETS, CONFIG, STATE):
                text = text.replace(mount, str(folder))
            return text

        (folder / "worker.ini").write_text(here(text))
        return here


def is_hook(thing):
    return "helm.sh/hook" in thing["metadata"].get("annotations", {})


def render(values=None, file=MINIMAL, apis=()):
    """Release of the file's values with these over them. apis: what the cluster has beside Kubernetes' own."""
    flags = [flag for api in apis for flag in ("--api-versions", api)]
    return Release(helm("template", "t", CHART, "--namespace", "chat", "-f", file, "-f", "-", *flags, values=json.dumps(values or {})))


def install(values=None, file=MINIMAL):
    """As render, with the notes that Helm prints."""
    text = helm("install", "t", CHART, "--namespace", "chat", "--dry-run=client", "-o", "json", "-f", file, "-f", "-", values=json.dumps(values or {}))
    made = json.loads(text)
    return Release(made["manifest"], made["info"]["notes"])


def run(program, *arguments, env=None):
    return subprocess.run([BIN / program, *arguments], text=True, capture_output=True, timeout=LIMIT_S, env={**without_settings(), **(env or {})}, check=False)


# ---- what judges objects ----

@functools.cache
def definitions():
    """{(group/version, kind): schema} of objects that aren't Kubernetes' own, as strict as a server that refuses unknown fields."""
    found = {}
    for file in Path(os.environ["CHAT_CRDS"]).glob("*.yaml"):
        spec = yaml.safe_load(file.read_text())["spec"]
        for version in spec["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            forbid_unknown(schema)
            schema["properties"]["metadata"] = {"type": "object"}
            found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


def forbid_unknown(schema):
    if "properties" in schema and "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema["additionalProperties"] = False
    if schema.pop("x-kubernetes-int-or-string", False):
        schema["type"] = ["integer", "string"]
    for below in [*schema.get("properties", {}).values(), *(schema[k] for k in ("items", "additionalProperties") if isinstance(schema.get(k), dict))]:
        forbid_unknown(below)


def judge(release, version):
    """Each object by Kubernetes' own schema of that version or by its definition; AssertionError names what is wrong."""
    for thing in release.objects:
        known = definitions().get((thing["apiVersion"], thing["kind"]))
        try:
            if known is not None:
                jsonschema.validate(thing, known)
            else:
                kubernetes_validate.validate(thing, version, strict=True)
        except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as wrong:
            raise AssertionError(f"{thing['kind']}: {'.'.join(map(str, wrong.path))}: {wrong.message}") from None


def unrestricted(pod):
    """What PodSecurity `restricted` forbids in this pod's spec (https://kubernetes.io/docs/concepts/security/pod-security-standards/)."""
    context = pod.get("securityContext", {})
    wrong = [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    wrong += [f"volume {v['name']}" for v in pod.get("volumes", []) if not {"configMap", "secret", "emptyDir", "projected", "persistentVolumeClaim", "downwardAPI", "csi", "ephemeral"} & set(v)]
    for container in pod["containers"] + pod.get("initContainers", []):
        own = container.get("securityContext", {})
        name = container["name"]
        if own.get("privileged") or own.get("allowPrivilegeEscalation") is not False:
            wrong.append(f"{name}: privileges")
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
            wrong.append(f"{name}: capabilities")
        if not own.get("runAsNonRoot", context.get("runAsNonRoot")) or own.get("runAsUser", context.get("runAsUser")) == 0:
            wrong.append(f"{name}: root")
        if own.get("seccompProfile", context.get("seccompProfile", {})).get("type") not in ("RuntimeDefault", "Localhost"):
            wrong.append(f"{name}: seccomp")
        wrong += [f"{name}: host port" for port in container.get("ports", []) if port.get("hostPort")]
    return wrong
