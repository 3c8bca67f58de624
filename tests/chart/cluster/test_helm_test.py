"""`helm test`: the hook's pod is admitted, and judged by what its container does (kubelet.py), not by kwok."""
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from control_plane import Refused
from parts import free_port, wait_until
from test_release import everything

POD = "it-chat-worker-check"


def helm_test(namespace, run) -> str:
    """What it prints; Refused if it fails."""
    def look():
        pods = [pod for pod in namespace.list("pods") if pod["metadata"]["name"] == POD and pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]]
        return pods[0] if pods else beside.done()

    with ThreadPoolExecutor() as threads:
        beside = threads.submit(namespace.helm, "test", "it")
        pod = wait_until(look, "the hook's pod")
        if not beside.done():
            container = run(pod, "check")
            state = {"terminated": {"exitCode": container.wait(), "reason": "Completed" if container.wait() == 0 else "Error"}}
            status = {"phase": "Succeeded" if container.wait() == 0 else "Failed", "containerStatuses": [{**pod["status"]["containerStatuses"][0], "ready": False, "state": state}]}
            namespace.kubectl("patch", "pod", POD, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
        return beside.result()


def left(namespace) -> set:
    return {name for kind, name in everything(namespace) if kind == "Pod" and name == POD}


def test_helm_test_tries_what_the_release_names(namespace, backends, run):
    namespace.install(backends.values())
    assert "Succeeded" in helm_test(namespace, run)
    wait_until(lambda: not left(namespace), "the pod of a test that passed taken away")
    assert "Succeeded" in helm_test(namespace, run), "a second one"


def test_helm_test_fails_where_redis_is_away_and_its_pod_stays_until_the_next(namespace, backends, run):
    namespace.install(backends.values(redis={"url": f"redis://127.0.0.1:{free_port()}/0"}, test={"startup_wait_ms": 1000}))
    with pytest.raises(Refused, match=f"(?s){POD}.*[Ff]ailed"):
        helm_test(namespace, run)
    failed = namespace.object("pod", POD)
    assert failed["status"]["phase"] == "Failed"
    namespace.upgrade(backends.values())
    assert "Succeeded" in helm_test(namespace, run), "the next takes its place"
    wait_until(lambda: not left(namespace), "nothing of either")


def test_of_the_release_and_its_test_nothing_is_left(namespace, backends, run):
    """Helm keeps a hook's objects out of what it uninstalls."""
    namespace.install(backends.values(test={"connect": False}))
    helm_test(namespace, run)
    namespace.helm("uninstall", "it", "--wait")
    wait_until(lambda: everything(namespace) == set(), "an empty namespace")
