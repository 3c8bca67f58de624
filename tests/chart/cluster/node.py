"""A node whose pods are processes (kubelet.py): what the API server has scheduled to it is pulled, run, probed, reported, started again and ended.

Unlike kwok's nodes, it says of a pod what is so. One thread watches the node's pods and starts another for each, which goes on until its pod is gone. Needs root.
It has pods of one container, and restarts what ended without a pause in between, where a kubelet makes longer and longer ones."""
from __future__ import annotations

import datetime as dt
import ssl
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from images import Images
from kubelet import Container
from parts import LIMIT_S, certificate
from pod_network import PodNetwork
from sandbox import ImageRoot

PORT = 10250
LOOK_S = 0.05


def now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Pod(threading.Thread):
    """A pod's life on its node."""

    def __init__(self, node: Node, pod: dict):
        super().__init__(daemon=True, name=pod["metadata"]["name"])
        self.node, self.pod = node, pod
        self.namespace, self.name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        self.path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"
        (self.spec,) = pod["spec"]["containers"]
        assert not pod["spec"].get("initContainers") and pod["spec"]["restartPolicy"] in ("Always", "Never"), "this node has neither init containers nor restarts on failure"
        self.address, self.began = node.network.pod_address(), now()
        self.containers: list[Container] = []
        self.last_state = {}              # of the container before the one that runs
        self.deleted = threading.Event()  # the API server is told to let it go
        self.at_once = False              # its grace period is 0, and it has gone there
        self.ended_by_term = None         # its exit status then

    def run(self) -> None:
        try:
            self._run()
        except Exception as why:  # noqa: BLE001  told by Node.end
            self.node.failures.append(f"{self.namespace}/{self.name}: {why}")

    def _run(self) -> None:
        root = self.node.images.root(self.spec["image"])
        while not self.deleted.is_set():
            self.node.lit.wait()
            image = ImageRoot(root, self.node.network, self.address, self.node.files)
            container = Container(self.node.cluster, self.namespace, self.pod, self.spec["name"], self.node.folder, image, len(self.containers))
            self.containers.append(container)
            container.watch()
            self._watch(container)
            if self.deleted.is_set() or self.pod["spec"]["restartPolicy"] == "Never":
                break
            self.last_state = self._state(container)
        if self.deleted.is_set():
            self._end()

    def _watch(self, container: Container) -> None:
        """Reports what is new of it, until it has ended or is to end."""
        reported = None
        while not self.deleted.is_set() and container.process.poll() is None and container.alive:
            if reported != (container.started, container.ready):
                reported = container.started, container.ready
                self._report(container)
            self.deleted.wait(LOOK_S)
        if not self.deleted.is_set():
            container.end()  # its liveness probe has failed, or it has ended by itself
            self._report(container)

    def _end(self) -> None:
        if self.containers:
            last = self.containers[-1]
            last.pod = self.pod
            if self.at_once:
                last.end()
                return
            self.ended_by_term = last.terminate()
            self._report(last)
            last.end()
        if not self.at_once:
            self.node.cluster.request("DELETE", self.path, {"gracePeriodSeconds": 0, "preconditions": {"uid": self.pod["metadata"]["uid"]}})

    def _state(self, container: Container) -> dict:
        status = container.process.poll()
        if status is None:
            return {"running": {"startedAt": self.began}}
        exit_code = status if status >= 0 else 128 - status
        return {"terminated": {"exitCode": exit_code, "reason": "Completed" if exit_code == 0 else "Error", "startedAt": self.began, "finishedAt": now()}}

    def _report(self, container: Container) -> None:
        state, phase = self._state(container), "Running"
        if "terminated" in state and (self.pod["spec"]["restartPolicy"] == "Never" or self.deleted.is_set()):
            phase = "Succeeded" if state["terminated"]["exitCode"] == 0 else "Failed"
        ready = "True" if container.ready and "running" in state else "False"
        conditions = {"PodReadyToStartContainers": "True", "Initialized": "True", "Ready": ready, "ContainersReady": ready}
        self.node.patch(f"{self.path}/status", {"status": {
            "phase": phase, "startTime": self.began, "hostIP": self.node.address, "hostIPs": [{"ip": self.node.address}], "podIP": self.address, "podIPs": [{"ip": self.address}],
            "conditions": [{"type": kind, "status": holds, "lastTransitionTime": now()} for kind, holds in conditions.items()],
            "containerStatuses": [{"name": self.spec["name"], "image": self.spec["image"], "imageID": self.spec["image"], "containerID": f"process://{container.inner_pid}", "ready": ready == "True",
                                   "started": container.started, "restartCount": len(self.containers) - 1, "state": state, "lastState": self.last_state}]}})


class Node:
    def __init__(self, cluster, name: str, folder: Path, network: PodNetwork, images: Images, files: dict[str, Path]):
        """files: what its pods find beside their image, by its place."""
        self.cluster, self.name, self.folder, self.network, self.images, self.files = cluster, name, folder, network, images, files
        self.address, self.pods, self.failures = network.node_address(), {}, []
        self.over = False
        self.lit = threading.Event()  # while it isn't, nothing is started here, as on a node that has gone dark
        self.lit.set()
        self._serve_logs()
        self._register()
        self.watcher = threading.Thread(target=self._watch, daemon=True, name=name)
        self.watcher.start()

    def _register(self) -> None:
        self.cluster.request("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name, "labels": {
            "kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux", "topology.kubernetes.io/zone": f"zone-{self.name}"}}})
        room = {"cpu": "8", "memory": "32Gi", "pods": "100", "ephemeral-storage": "100Gi"}
        self.patch(f"/api/v1/nodes/{self.name}/status", {"status": {
            "capacity": room, "allocatable": room, "addresses": [{"type": "InternalIP", "address": self.address}], "daemonEndpoints": {"kubeletEndpoint": {"Port": PORT}},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "it is", "lastHeartbeatTime": now(), "lastTransitionTime": now()}]}})

    def patch(self, path: str, what: dict) -> None:
        """Of what has gone meanwhile nothing is to be said."""
        try:
            self.cluster.request("PATCH", path, what)
        except urllib.error.HTTPError as refused:
            if refused.code != 404:
                raise

    def _watch(self) -> None:
        while not self.over:
            try:
                for event in self.cluster.watch(f"/api/v1/pods?fieldSelector=spec.nodeName={self.name}"):
                    self._take(event["type"], event["object"])
            except OSError:  # nothing new for long, or the server has ended
                pass

    def _take(self, kind: str, pod: dict) -> None:
        uid = pod["metadata"]["uid"]
        if kind == "ADDED" and uid not in self.pods:
            self.pods[uid] = Pod(self, pod)
            self.pods[uid].start()
        known = self.pods[uid]
        known.pod = pod
        if kind == "DELETED" and not known.deleted.is_set():
            known.at_once = True
        if kind == "DELETED" or "deletionTimestamp" in pod["metadata"]:
            known.deleted.set()

    def _serve_logs(self) -> None:
        """What `kubectl logs` asks a kubelet for."""
        node = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self):
                text = node.log(*urlsplit(self.path).path.split("/")[2:5], parse_qs(urlsplit(self.path).query))
                self.send_response(200 if text is not None else 404)
                self.end_headers()
                self.wfile.write((text if text is not None else "there is no such container\n").encode())

            def log_message(self, *_):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate(self.folder, self.name))
        self.server = ThreadingHTTPServer((self.address, PORT), Answer)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def log(self, namespace: str, pod: str, container: str, options: dict[str, list[str]]) -> str | None:
        found = [each for each in self.pods.values() if (each.namespace, each.name, each.spec["name"]) == (namespace, pod, container)]
        which = -2 if options.pop("previous", ["false"]) == ["true"] else -1
        lines = int(options.pop("tailLines", ["0"])[0])
        assert not options, f"this node knows no {options}"
        if not found or len(found[-1].containers) < -which:
            return None
        text = found[-1].containers[which].text()
        return "".join(text.splitlines(keepends=True)[-lines:])

    def container(self, pod: str) -> Container:
        """The newest of that pod of the node's."""
        return next(each for each in self.pods.values() if each.name == pod).containers[-1]

    def text(self) -> str:
        return "\n".join(f"== {container.name}\n{container.text()}" for pod in self.pods.values() for container in pod.containers)

    def end(self) -> None:
        self.over = True
        self.lit.set()
        self.server.shutdown()
        self.server.server_close()
        for pod in self.pods.values():
            pod.at_once = True
            pod.deleted.set()
        for pod in self.pods.values():
            pod.join(LIMIT_S)
        assert not self.failures, self.failures
