"""A Kubernetes cluster without containers: etcd, the real API server, controllers and scheduler; kwok plays the nodes.

kwok calls each scheduled pod Running and Ready and runs nothing: what a pod does is kubelet.py's to show. The programs are those of
`need cluster` (tests/lib/setup.sh). All listen on loopback, below a private folder, with a token and a certificate of their own."""
from __future__ import annotations

import json
import os
import secrets
import ssl
import subprocess
import urllib.request
from pathlib import Path

import parts
import yaml
from parts import LIMIT_S, Process, free_port, wait_until

ADMIN = "admin"
PROGRAMS = Path(os.environ.get("CHAT_CLUSTER", "/nonexistent"))
STAGES = ("node/fast/node-initialize", "node/heartbeat-with-lease/node-heartbeat-with-lease", "pod/fast/pod-ready", "pod/fast/pod-complete", "pod/fast/pod-delete")


class Part(Process):
    """One of the cluster's programs. Nothing that it holds outlives it: it needn't end in order, which takes the API server 10 s."""

    def __init__(self, folder: Path, name: str, *flags: str):
        program = PROGRAMS / name
        assert program.exists(), f"{name} isn't in CHAT_CLUSTER={PROGRAMS}: . tests/lib/setup.sh && need cluster"
        super().__init__(name, folder, [program, *flags])

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(LIMIT_S)
        self.out.close()

    def check(self) -> None:
        assert self.process.poll() is None, f"{self.name} has ended ({self.process.returncode}):\n{self.text()[-3000:]}"


class Refused(AssertionError):
    """A command ended with an error; its words are what it said."""


class ControlPlane:
    def __init__(self, folder: Path, nodes: int = 3):
        self.folder = folder
        self.started: list[Part] = []
        self.has_definitions = False
        self.token = secrets.token_hex(16)
        self.kubeconfig = folder / "kubeconfig"
        self.kubectl_program, self.helm_program = PROGRAMS / "kubectl", os.environ["CHAT_HELM"]
        for name in ("helm", "kube"):
            (folder / name).mkdir()
        self.env = {**{name: value for name, value in os.environ.items() if not name.startswith(("CHATW__", "HELM_", "KUBE"))}, "KUBECONFIG": str(self.kubeconfig), "HOME": str(folder / "kube"),
                    **{f"HELM_{what}_HOME": str(folder / "helm" / what.lower()) for what in ("CONFIG", "CACHE", "DATA")}}
        try:
            self._start(nodes)
        except BaseException:
            self.end()
            raise

    def _start(self, nodes: int) -> None:
        etcd, peers, self.port = free_port(), free_port(), free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.certificate, key = parts.certificate(self.folder, "apiserver")
        self._write_kubeconfig()
        self._run("etcd", f"--data-dir={self.folder / 'etcd'}", "--unsafe-no-fsync=true", f"--listen-client-urls=http://127.0.0.1:{etcd}", f"--advertise-client-urls=http://127.0.0.1:{etcd}",
                  f"--listen-peer-urls=http://127.0.0.1:{peers}", f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}", f"--initial-cluster=default=http://127.0.0.1:{peers}")
        account = self.folder / "account.key"
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-out", account], check=True, capture_output=True)
        tokens = self.folder / "tokens.csv"
        tokens.touch(0o600)
        tokens.write_text(f"{self.token},{ADMIN},{ADMIN},system:masters\n")
        server = self._run("kube-apiserver", f"--etcd-servers=http://127.0.0.1:{etcd}", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--secure-port={self.port}", f"--tls-cert-file={self.certificate}",
                           f"--tls-private-key-file={key}", f"--token-auth-file={tokens}", "--anonymous-auth=false", "--authorization-mode=RBAC", "--endpoint-reconciler-type=none",
                           "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={account}", f"--service-account-signing-key-file={account}",
                           "--service-cluster-ip-range=10.96.0.0/16", "--profiling=false")
        self._wait(server, lambda: self.get("/readyz") == "ok", "the API server's /readyz")
        common = (f"--kubeconfig={self.kubeconfig}", "--leader-elect=false")
        # Autoscalers are looked at each second, not each 15. Without the node controller's life cycle pods stay Pending; but it mustn't take a node of
        # kwok's for dead, however slow the machine is: its pods would be unready from then on.
        controllers = self._run("kube-controller-manager", *common, "--controllers=*,-node-ipam-controller", "--secure-port=0", "--use-service-account-credentials=false",
                                f"--service-account-private-key-file={account}", "--horizontal-pod-autoscaler-sync-period=1s",
                                "--node-monitor-grace-period=24h", "--node-startup-grace-period=24h")
        scheduler = self._run("kube-scheduler", *common, "--secure-port=0")
        stages = self.folder / "stages.yaml"
        stages.write_text("\n---\n".join((PROGRAMS / "stages" / f"{stage}.yaml").read_text() for stage in STAGES))
        kwok = self._run("kwok", f"--kubeconfig={self.kubeconfig}", f"--config={stages}", "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake", f"--server-address=127.0.0.1:{free_port()}")
        self._wait(controllers, lambda: self.exists("serviceaccount", "default", "default"), "the default service account")
        self.add_nodes("node", nodes)
        for part in (scheduler, kwok):
            part.check()

    def add_nodes(self, name: str, count: int, **labels: str) -> list[str]:
        """Ready ones, each in a zone of its own; pods without a choice may run there."""
        names = [f"{name}-{n}" for n in range(count)]
        self.apply([{"apiVersion": "v1", "kind": "Node", "metadata": {"name": each, "annotations": {"kwok.x-k8s.io/node": "fake"},
                     "labels": {"kubernetes.io/hostname": each, "kubernetes.io/os": "linux", "topology.kubernetes.io/zone": f"zone-{n}", **labels}}} for n, each in enumerate(names)])
        wait_until(lambda: all(condition(node, "Ready") == "True" for node in self.list("nodes") if node["metadata"]["name"] in names), f"the nodes {names}")
        return names

    def _run(self, name: str, *flags: str) -> Part:
        self.started.append(Part(self.folder, name, *flags))
        return self.started[-1]

    def _wait(self, part: Part, check, what: str):
        """As wait_until, which needs no limit to see that a part has ended."""
        def look():
            part.check()
            try:
                return check()
            except (OSError, Refused):  # not there yet
                return None
        return wait_until(look, what, pause_s=0.1)

    def _write_kubeconfig(self) -> None:
        self.kubeconfig.touch(0o600)
        self.kubeconfig.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "it", "contexts": [{"name": "it", "context": {"cluster": "it", "user": ADMIN}}],
            "clusters": [{"name": "it", "cluster": {"server": self.url, "certificate-authority": str(self.certificate)}}], "users": [{"name": ADMIN, "user": {"token": self.token}}]}))

    def end(self) -> None:
        for part in reversed(self.started):
            part.end()

    # ---- others' kinds of objects ----

    def add_definitions(self) -> None:
        """The Prometheus operator's and KEDA's kinds are there from now on: one that is taken away soon after it came may stay, half deleted, for ever."""
        if not self.has_definitions:
            self.kubectl("apply", "--server-side", *self._definitions())
            self.kubectl("wait", "--for=condition=Established", f"--timeout={LIMIT_S:.0f}s", *self._definitions())
            self.has_definitions = True

    def _definitions(self) -> list[str]:
        return [word for file in sorted(Path(os.environ["CHAT_CRDS"]).glob("*.yaml")) for word in ("-f", str(file))]

    # ---- asking ----

    def _open(self, path: str, method: str = "GET", what: dict | None = None):
        kind = "application/strategic-merge-patch+json" if method == "PATCH" else "application/json"
        request = urllib.request.Request(self.url + path, json.dumps(what).encode() if what else None, {"Authorization": f"Bearer {self.token}", "Content-Type": kind}, method=method)
        return urllib.request.urlopen(request, timeout=LIMIT_S, context=ssl.create_default_context(cafile=str(self.certificate)))

    def request(self, method: str, path: str, what: dict) -> None:
        self._open(path, method, what).close()

    def watch(self, path: str):
        """What is there and what changes, event by event."""
        with self._open(f"{path}&watch=true") as stream:
            for line in stream:
                yield json.loads(line)

    def get(self, path: str) -> str:
        with self._open(path) as answer:
            return answer.read().decode()

    def versions(self, path: str, first: str, last: str) -> list[dict]:
        """All that an object has been after the resource version `first`, up to `last`: nothing in between is missed."""
        seen = []
        for event in self.watch(f"{path}&resourceVersion={first}"):
            seen.append(event["object"])
            if seen[-1]["metadata"]["resourceVersion"] == last:
                return seen
        raise AssertionError(f"{path}: the watch ended after {len(seen)} versions, before {last}")

    def _command(self, command: list, **options) -> str:
        done = subprocess.run([str(word) for word in command], text=True, capture_output=True, timeout=LIMIT_S * 2, env=self.env, **options)
        if done.returncode != 0:
            raise Refused(f"{' '.join(str(word) for word in command[:8])}: exit {done.returncode}: {done.stdout[-1000:]}{done.stderr[-3000:]}")
        return done.stdout

    def kubectl(self, *arguments, **options) -> str:
        """What it prints; Refused if it fails."""
        return self._command([self.kubectl_program, *arguments], **options)

    def helm(self, *arguments, **options) -> str:
        return self._command([self.helm_program, *arguments], **options)

    def apply(self, objects: list[dict], *arguments: str) -> str:
        return self.kubectl("apply", "--server-side", "-f", "-", *arguments, input=yaml.safe_dump_all(objects))

    def list(self, kind: str, namespace: str | None = None, selector: str = "") -> list[dict]:
        where = ["-n", namespace] if namespace else []
        return json.loads(self.kubectl("get", kind, *where, "-l", selector, "-o", "json"))["items"]

    def object(self, kind: str, name: str, namespace: str) -> dict:
        return json.loads(self.kubectl("get", kind, name, "-n", namespace, "-o", "json"))

    def exists(self, kind: str, name: str, namespace: str) -> bool:
        return self.kubectl("get", kind, name, "-n", namespace, "--ignore-not-found", "-o", "name").strip() != ""


def condition(thing: dict, kind: str) -> str | None:
    """The status of one of its conditions."""
    return next((each["status"] for each in thing.get("status", {}).get("conditions", []) if each["type"] == kind), None)
