"""The Debian packages, made once for each suite, and a machine of each to install them on; tests/run's part package sets up what that needs."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from parts import LIMIT_S, ROOT, Process, wait_until

VERSION, EPOCH = "1.2.3", "1700000000"
BUILD_LIMIT_S = 10 * LIMIT_S  # compiling, and a Debian to do it in, where there is none yet


def run(*command, limit_s=LIMIT_S, status=0, **env) -> str:
    done = subprocess.run([*map(str, command)], text=True, capture_output=True, timeout=limit_s, env={**os.environ, **env})
    assert done.returncode == status, f"exit {done.returncode}: {done.stdout[-3000:]} {done.stderr[-3000:]}"
    return done.stdout


def build(suite: str, folder: Path, version: str = VERSION) -> dict[str, Path]:
    said = run(ROOT / "charts/debian/build", "--suite", suite, folder, limit_s=BUILD_LIMIT_S, VERSION=version, SOURCE_DATE_EPOCH=EPOCH)
    return {Path(line).name.split("_")[0]: Path(line) for line in said.splitlines()}


@pytest.fixture(scope="session", params=[pytest.param(suite, marks=pytest.mark.xdist_group(suite)) for suite in ("bookworm", "trixie")])
def suite(request):
    return request.param


@pytest.fixture(scope="session")
def debs(suite, tmp_path_factory):
    return build(suite, tmp_path_factory.mktemp(suite))


@pytest.fixture(scope="session")
def unpacked(debs, tmp_path_factory):
    """What both hold."""
    folder = tmp_path_factory.mktemp("unpacked")
    for deb in debs.values():
        run("dpkg-deb", "-x", deb, folder)
    return folder


class Machine(Process):
    """A Debian that systemd has started, in a container on this machine's network."""

    def __init__(self, folder: Path, suite: str):
        self.root = folder / "machine"
        self.root.mkdir()
        systems = dict(pair.split("=", 1) for pair in os.environ["CHAT_SYSTEMS"].split())
        run("tar", "-x", "-f", systems[suite], "-C", self.root)
        for file in ("/etc/resolv.conf", "/etc/hosts"):
            shutil.copy(file, self.root / file[1:])
        (self.root / "etc/machine-id").write_text("")
        # Debian 13's systemd starts with cgroup v2 alone.
        super().__init__("machine", folder, ["systemd-nspawn", "--quiet", "--directory", self.root, "--machine", f"chat-{os.getpid()}", "--register=no", "--keep-unit", "--resolv-conf=off", "--timezone=off",
                                             "--console=pipe", "--boot", "systemd.show_status=0"], env={"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"})
        self.init = wait_until(self._started, "systemd in its container")
        self.run("bash", "-c", "systemctl is-system-running --wait || true")  # until then it empties /tmp, where apt works

    def _started(self):
        assert self.process.poll() is None, self.text()
        for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            try:
                if Path(f"/proc/{child}/root/run/systemd/private").exists() and os.stat(f"/proc/{child}/root").st_ino == self.root.stat().st_ino:
                    return child
            except OSError:  # it has ended since
                pass
        return None

    def run(self, *command, status=0, limit_s=LIMIT_S) -> str:
        return run("nsenter", "--target", self.init, "--all", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", *command, status=status, limit_s=limit_s)

    def property(self, name: str) -> str:
        return self.run("systemctl", "show", "--value", "-p", name, "chat-worker.service").strip()

    def install(self, *debs: Path) -> None:
        for deb in debs:
            shutil.copy(deb, self.root / "root")
        self.run("apt-get", "install", "-y", "--no-install-recommends", *(f"/root/{deb.name}" for deb in debs), limit_s=BUILD_LIMIT_S)


@pytest.fixture
def machine(stage, suite):
    machine = stage._add(Machine(stage.folder, suite))
    machine.run("apt-get", "update")
    return machine
