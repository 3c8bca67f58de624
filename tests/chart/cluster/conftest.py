"""One cluster for a session, a namespace for a test: pods of no other kind than PodSecurity `restricted` admits are let in."""
import itertools
import os
import re
import shutil
import sys
from pathlib import Path

import parts
import pytest
import yaml
from stage import Stage

sys.path.insert(0, str(Path(__file__).parent))
import own_network
from backends import Backends
from control_plane import ControlPlane
from kubelet import Container
from operations_page import made_image

LOGS = Path(os.environ.get("CHAT_CLUSTER", "/nonexistent")).parent / "cluster-logs"


@pytest.fixture(scope="session")
def operator(tmp_path_factory):
    """The folder that docs/operations.md is done in, with the image; and how making it went."""
    folder = tmp_path_factory.mktemp("operator")
    try:
        yield folder, made_image(folder)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def world(request):
    """Where a test has failed, the programs' logs stay beside the cluster's programs, in cluster-logs."""
    if os.getuid() == 0 and any("operator" in item.fixturenames for item in request.session.items):
        request.getfixturevalue("operator")  # which wants Debian's archive
    own_network.enter()
    stage = Stage()
    try:
        yield stage
    finally:
        if request.session.testsfailed:
            shutil.rmtree(LOGS, ignore_errors=True)
            LOGS.mkdir(parents=True)
            for log in stage.folder.glob("*.log"):
                shutil.copy(log, LOGS)
        stage.end()


@pytest.fixture(scope="session")
def cluster(world):
    return world._add(ControlPlane(world.folder))


@pytest.fixture(scope="session")
def kafka(world):
    return world.kafka()


@pytest.fixture
def others(cluster):
    """The Prometheus operator's and KEDA's kinds are there."""
    cluster.add_definitions()


@pytest.fixture
def no_others(cluster):
    assert not cluster.has_definitions, "tests without them come first"


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: "no_others" not in item.fixturenames)


class Namespace:
    """A test's own, with what is in it."""

    def __init__(self, cluster: ControlPlane, name: str):
        self.cluster, self.name = cluster, name
        cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}}}])

    def kubectl(self, *arguments, **options) -> str:
        return self.cluster.kubectl("-n", self.name, *arguments, **options)

    def helm(self, *arguments, **options) -> str:
        return self.cluster.helm("-n", self.name, *arguments, **options)

    def install(self, values: dict, *arguments: str, release: str = "it") -> str:
        return self._deploy("install", values, *arguments, release=release)

    def upgrade(self, values: dict, *arguments: str, release: str = "it") -> str:
        return self._deploy("upgrade", values, *arguments, release=release)

    def _deploy(self, how: str, values: dict, *arguments: str, release: str) -> str:
        return self.helm(how, release, parts.ROOT / "charts/chat-worker", "-f", "-", "--wait", "--timeout", f"{parts.LIMIT_S:.0f}s", *arguments, input=yaml.safe_dump(values))

    def rollback(self, revision: int) -> str:
        return self.helm("rollback", "it", revision, "--wait", "--timeout", f"{parts.LIMIT_S:.0f}s")

    def list(self, kind: str, selector: str = "") -> list[dict]:
        return self.cluster.list(kind, self.name, selector)

    def object(self, kind: str, name: str) -> dict:
        return self.cluster.object(kind, name, self.name)

    def says(self) -> str:
        """What has happened in it, for who reads of a failure."""
        return self.kubectl("get", "deployments,statefulsets,hpa,pdb,pods,events", "-o", "wide")


numbers = itertools.count(1)


@pytest.fixture
def namespace(cluster, request):
    made = Namespace(cluster, f"{re.sub(r'[^a-z0-9]+', '-', request.node.originalname.removeprefix('test_'))[:40].strip('-')}-{next(numbers)}")
    yield made
    cluster.kubectl("delete", "namespace", made.name, "--wait=false")


@pytest.fixture
def backends(kafka, stage):
    return Backends(stage, kafka)


@pytest.fixture
def run(cluster, namespace, stage):
    """Runs a container of a pod that the API server holds."""
    def start(pod: dict, name: str = "chat-worker", **brought: Path) -> Container:
        return stage._add(Container(cluster, namespace.name, pod, name, stage.folder, **brought))
    return start


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    used = getattr(item, "funcargs", {}).get("namespace")
    if report.when == "call" and report.failed and used is not None:
        report.sections.append((f"namespace {used.name}", used.says()[-6000:]))
        for part in used.cluster.started:
            report.sections.append((f"log of {part.name}", part.text()[-1500:]))
