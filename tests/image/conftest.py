"""The image, built once for all tests; tests/run's part image sets up what that needs."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from parts import LIMIT_S, ROOT, Process, Worker, free_port

HERE = Path(__file__).parent
BUILD_LIMIT_S = 10 * LIMIT_S  # compiling, and a Debian to do it in, where there is none yet


def build(tree: Path, *arguments, **env: str) -> str:
    done = subprocess.run([tree / "charts/image/build", *map(str, arguments)], text=True, capture_output=True, timeout=BUILD_LIMIT_S, env={**os.environ, **env})
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr[-3000:]}"
    return done.stdout


class Image:
    def __init__(self, folder: Path, said: str):
        self.layout, self.spdx = folder / "image", folder / "chat-worker.spdx.json"
        facts = dict(re.split(r"  +", line, maxsplit=1) for line in said.splitlines())
        self.digest, self.debian = facts.get("digest"), facts.get("made in")

    def unpack(self, folder: Path) -> Path:
        subprocess.run(["umoci", "unpack", "--image", f"{self.layout}:latest", folder], check=True, capture_output=True, timeout=LIMIT_S)
        return folder / "rootfs"


VERSION, EPOCH, REVISION = "1.2.3-image", "1700000000", "0123abc"
SAID = {"VERSION": VERSION, "SOURCE_DATE_EPOCH": EPOCH, "REVISION": REVISION}


@pytest.fixture(scope="session")
def image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    try:
        yield Image(folder, build(ROOT, folder, **SAID))
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def root(image, tmp_path_factory):
    """Its root file system. Only ever entered read-only."""
    folder = tmp_path_factory.mktemp("unpacked")
    try:
        yield image.unpack(folder / "bundle")
    finally:
        shutil.rmtree(folder)


def entered(root: Path, *program, mounts=(), writable=()) -> list[str]:
    named = [part for option, pairs in (("--mount", mounts), ("--writable", writable)) for source, target in pairs for part in (option, f"{source}={target}")]
    return [sys.executable, str(HERE / "enter.py"), *named, str(root), *map(str, program)]


def run_in(root: Path, *program, stdin="", **mounts) -> subprocess.CompletedProcess:
    return subprocess.run(entered(root, *program, **mounts), input=stdin, text=True, capture_output=True, timeout=LIMIT_S)


class ImagesWorker(Worker):
    """As the chart has it: settings and state are mounted, the rest is read-only."""

    def __init__(self, stage, root: Path, mounts=(), **settings: str):
        folder = stage.folder / "in-image"
        config, state = folder / "config", folder / "state"
        for each in (config, state):
            each.mkdir(parents=True)
        folder.chmod(0o755)
        os.chown(state, 65532, 65532)
        port = free_port()
        self.port_file = folder / "admin.port"
        self.port_file.write_text(str(port))
        sections: dict[str, list[str]] = {}
        for name, value in {"admin.listen": f"127.0.0.1:{port}", "worker.crash_file": "/var/lib/chat-worker/crashes", "worker.startup_wait_ms": "60000", **settings}.items():
            section, key = name.rsplit(".", 1) if name.startswith("provider.") else name.split(".", 1)
            sections.setdefault(section, []).append(f"{key} = {value}\n")
        (config / "worker.ini").write_text("".join(f"[{section}]\n{''.join(lines)}" for section, lines in sections.items()))
        self.state = state
        stage.folder.chmod(0o755)
        Process.__init__(self, "worker-in-image", folder, entered(root, "/usr/bin/chat-worker", "--config=/etc/chat-worker/worker.ini", mounts=[(config, "/etc/chat-worker"), *mounts],
                                                                  writable=[(state, "/var/lib/chat-worker")]))
        stage.started.append(self)
