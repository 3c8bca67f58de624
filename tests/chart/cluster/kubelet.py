"""One pod's container as a kubelet and a runtime run it, by processes alone.

From the pod that the API server holds: its volumes as files with the modes and the group that a kubelet gives them, its command, arguments
and variables and no others, its user, a read-only root, no capabilities, process 1 of its own. The root is that of an image, or holds what an image of ours does: the programs and
the libraries that they load, of this machine. Its probes are made as the pod says, and it is ended as a kubelet ends it.

Not like a kubelet: its memory and processor are not limited, there is no seccomp filter, and without an image it has its network from the test. What it has no
notion of it refuses, rather than leave it out."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from parts import BIN, LIMIT_S, Process, wait_until
from pod_files import expanded, variables, volume_files, write_volume
from sandbox import STARTER, ImageRoot, OwnRoot, starter

PROGRAMS = ("chat-worker", "chat-producer")  # /usr/bin in the image, of which the first is the entry point


@dataclass
class Probe:
    """One of a container's probes, and what came of it."""
    spec: dict
    url: str
    failed_in_turn: int = 0
    passed_in_turn: int = 0
    answers: list[str] = field(default_factory=list)

    def ask(self) -> None:
        try:
            with urllib.request.urlopen(self.url, timeout=self.spec["timeoutSeconds"]) as answer:
                passed, said = 200 <= answer.status < 400, f"{answer.status}"
        except urllib.error.HTTPError as refused:
            passed, said = False, f"{refused.code} {refused.read(500)!r}"
        except OSError as why:
            passed, said = False, str(why)
        self.answers.append(said)
        self.failed_in_turn, self.passed_in_turn = (0, self.passed_in_turn + 1) if passed else (self.failed_in_turn + 1, 0)

    @property
    def passed(self) -> bool:
        return self.passed_in_turn >= self.spec["successThreshold"]

    @property
    def failed(self) -> bool:
        return self.failed_in_turn >= self.spec["failureThreshold"]


class Container(Process):
    """The pod's container of that name, its probes in a thread: `started`, `ready`, `alive` are what the kubelet would say of it."""

    def __init__(self, cluster, namespace: str, pod: dict, name: str, folder: Path, image: ImageRoot | None = None, number: int | None = None, **brought: Path):
        """number: of its pod's containers of that name; each has a log of its own then. brought: without an image, files of a test's that an image hasn't, by their names in /usr/bin."""
        self.pod, self.spec = pod, next(each for each in pod["spec"]["containers"] if each["name"] == name)
        assert not pod["spec"].get("hostNetwork") and not self.spec.get("lifecycle", {}).get("postStart"), "this kubelet has neither"
        self.within = image or OwnRoot({**{program: BIN / program for program in PROGRAMS}, **brought})
        self.root = folder / f"pod-{pod['metadata']['uid']}"
        self.root.mkdir(mode=0o755, exist_ok=True)  # a container that is started again finds the pod's volumes as they were
        self.info = self.root / "info"
        self.env_of_it = variables(cluster, namespace, pod, self.spec)
        mounts = self._mounts(cluster, namespace)
        command = [expanded(word, self.env_of_it) for word in [*self.spec.get("command", [f"/usr/bin/{PROGRAMS[0]}"]), *self.spec.get("args", [])]]
        self.started = self.ready = False
        self.alive = True
        self.ended = threading.Event()
        self.prober = None
        info_read, info_write = os.pipe()
        go_read, go_write = os.pipe()
        super().__init__(f"{pod['metadata']['name']}-{name}" + ("" if number is None else f"-{number}"), folder,
                         ["bwrap", "--info-fd", str(info_write), "--block-fd", str(go_read), *self._sandbox(), *mounts, "--remount-ro", "/", "--", *self._user(), *command],
                         pass_fds=(info_write, go_read))
        os.close(info_write)
        os.close(go_read)
        with os.fdopen(info_read) as said, os.fdopen(go_write, "w") as go:
            text = said.read()
            assert text, f"no sandbox: {self.text()}"
            self.inner_pid = json.loads(text)["child-pid"]
            self.within.join(self.inner_pid)
            go.write("go")
        self.probes = {kind: self._probe(f"{kind}Probe") for kind in ("startup", "readiness", "liveness")}

    # ---- what it runs in ----

    def _security(self) -> dict:
        return {**self.pod["spec"].get("securityContext", {}), **self.spec.get("securityContext", {})}

    def _sandbox(self) -> list[str]:
        security = self._security()
        assert security.get("readOnlyRootFilesystem"), "this kubelet has read-only roots alone"
        words = [*self.within.binds(), *self.within.mounted("--ro-bind", starter(self.root.parent)[0], STARTER), "--unshare-pid", "--as-pid-1", "--unshare-ipc", "--unshare-uts",
                 "--hostname", self.pod["metadata"]["name"], "--die-with-parent", "--clearenv", "--chdir", "/", "--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/dev/shm"]
        for name, value in self.env_of_it.items():
            words += ["--setenv", name, value]
        if os.getuid() != 0:
            words += ["--unshare-user", "--uid", str(security["runAsUser"]), "--gid", str(security["runAsGroup"])]
        return words

    def _user(self) -> list[str]:
        security = self._security()
        assert security["runAsUser"] != 0 or not security.get("runAsNonRoot"), "container has runAsNonRoot and image will run as root"
        words = [*starter(self.root.parent)[1], "--pdeathsig", "keep"]
        if os.getuid() == 0:
            groups = sorted({security["runAsGroup"], *filter(None, [self.pod["spec"]["securityContext"].get("fsGroup")])})
            words += ["--reuid", str(security["runAsUser"]), "--regid", str(security["runAsGroup"]), "--groups", ",".join(map(str, groups))]
            if "ALL" in security.get("capabilities", {}).get("drop", []):
                words += ["--bounding-set", "-all", "--inh-caps", "-all"]
        if not security.get("allowPrivilegeEscalation", True):
            words += ["--no-new-privs"]
        return [*words, "--"]

    def _mounts(self, cluster, namespace: str) -> list[str]:
        group, words = self.pod["spec"].get("securityContext", {}).get("fsGroup"), []
        volumes = {volume["name"]: volume for volume in self.pod["spec"].get("volumes", [])}
        for mount in sorted(self.spec.get("volumeMounts", []), key=lambda each: each["mountPath"]):
            volume, folder = volumes[mount["name"]], self.root / mount["name"]
            assert not {"subPath", "subPathExpr"} & set(mount), "this kubelet has no subPath"
            if not folder.exists():
                if "emptyDir" in volume:
                    folder.mkdir()
                    if group is not None and os.getuid() == 0:
                        os.chown(folder, 0, group)
                    folder.chmod(0o2777)
                else:
                    source = volume.get("configMap") or volume.get("secret")
                    assert source, f"this kubelet has no volume as {volume}"
                    write_volume(folder, volume_files(cluster, namespace, volume), source["defaultMode"], group)
            words += self.within.mounted("--ro-bind" if mount.get("readOnly") or "emptyDir" not in volume else "--bind", folder, mount["mountPath"])
        return words

    # ---- its probes ----

    def _probe(self, kind: str) -> Probe | None:
        spec = self.spec.get(kind)
        if spec is None:
            return None
        get = spec["httpGet"]
        port = get["port"] if isinstance(get["port"], int) else next(each["containerPort"] for each in self.spec["ports"] if each["name"] == get["port"])
        return Probe(spec, f"{get['scheme'].lower()}://{self.within.address}:{port}{get['path']}")

    def watch(self) -> None:
        """Makes its probes, from now on until it has ended."""
        self.prober = threading.Thread(target=self._watch, daemon=True)
        self.prober.start()

    def _watch(self) -> None:
        startup, readiness, liveness = (self.probes[kind] for kind in ("startup", "readiness", "liveness"))
        if startup is not None and not self.ended.wait(startup.spec.get("initialDelaySeconds", 0)):
            while not startup.passed:
                startup.ask()
                if startup.failed:
                    self.alive = False
                    return
                if not startup.passed and self.ended.wait(startup.spec["periodSeconds"]):
                    return
        self.started = True
        due = [[each, time.monotonic() + each.spec.get("initialDelaySeconds", 0)] for each in (readiness, liveness) if each is not None]
        while due and not self.ended.wait(max(0.0, min(at for _, at in due) - time.monotonic())):
            turn = min(due, key=lambda each: each[1])
            turn[0].ask()
            turn[1] = time.monotonic() + turn[0].spec["periodSeconds"]
            if readiness is None or readiness.passed:
                self.ready = True
            elif readiness.failed:
                self.ready = False
            if liveness is not None and liveness.failed:
                self.alive = False
                return

    def wait_ready(self) -> None:
        def look():
            assert self.process.poll() is None, f"{self.name} ended ({self.process.returncode}):\n{self.text()[-3000:]}"
            assert self.alive, f"{self.name}: a kubelet would restart it: {self._answers()}"
            return self.ready
        wait_until(look, f"{self.name} ready; its probes: {self._answers()}")

    def _answers(self) -> dict[str, list[str]]:
        return {kind: probe.answers[-5:] for kind, probe in self.probes.items() if probe is not None}

    # ---- its end ----

    def terminate(self) -> int:
        """As a kubelet ends it: preStop, TERM, KILL after the time that the pod, or who deletes it, gives. Its exit status."""
        until = time.monotonic() + self.pod["metadata"].get("deletionGracePeriodSeconds", self.pod["spec"]["terminationGracePeriodSeconds"])
        pre_stop = self.spec.get("lifecycle", {}).get("preStop", {})
        if "sleep" in pre_stop:
            self.ended.wait(pre_stop["sleep"]["seconds"])
        else:
            assert not pre_stop, f"this kubelet has no preStop of {pre_stop}"
        os.kill(self.inner_pid, signal.SIGTERM)
        return self.wait_within(until)

    def wait_within(self, until: float) -> int:
        try:
            return self.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.kill(self.inner_pid, signal.SIGKILL)
            self.process.wait(LIMIT_S)
            return 128 + signal.SIGKILL

    def end(self) -> None:
        self.ended.set()
        if self.process.poll() is None:
            os.kill(self.inner_pid, signal.SIGKILL)
            self.process.wait(LIMIT_S)
        if self.prober is not None:
            self.prober.join(LIMIT_S)
        super().end()
