"""The admin port beside clients that mean no good: its connections and their time are bounded, and the work keeps its descriptors."""
import os
import resource
import socket
import time
import urllib.request

import pytest
from parts import BIN, LIMIT_S, SANITIZED, Topics, wait_until

CONNECTIONS_MAX = 32  # ADMIN_CONNECTIONS_MAX


def descriptors(worker) -> int:
    return len(os.listdir(f"/proc/{worker.pid}/fd"))


def connect(worker) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(worker.port_file.read_text())), 30)


def say(worker, request: bytes, half_close=False) -> bytes:
    with connect(worker) as client:
        client.sendall(request)
        if half_close:
            client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


def is_open(client) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_half_open_requests_take_no_descriptors_from_the_work(stage):
    redis, sim = stage.redis(), stage.simulator("--latency", "200")
    worker = stage.worker(redis, sim, **{"worker.threads": "32"})
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (512, 512))
    before = most = descriptors(worker)
    held = []
    for _ in range(480):
        held.append(connect(worker))
        held[-1].sendall(b"GET /heal")
        most = max(most, descriptors(worker))
    assert most <= before + CONNECTIONS_MAX + 8, f"{most - before} more descriptors"
    wait_until(lambda: worker.metric("admin_cut_total") >= 480 - CONNECTIONS_MAX, "the oldest made room")
    topics = Topics(worker.bootstrap)
    for i in range(64):
        topics.send({"id": f"j{i}", "message": "hi"}, key=f"s{i}")
    assert {reply["status"] for reply in topics.replies(64).values()} == {"ok"}
    assert sim.stats()["requests"] == 64
    assert worker.get("/healthz") == (200, "ok\n")
    wait_until(lambda: not any(is_open(client) for client in held), "the end of all that brought no request")


def test_whoever_drips_bytes_does_not_keep_its_place(stage):
    worker = stage.worker(stage.redis(), stage.simulator())
    client = connect(worker)

    def closed():
        try:
            client.sendall(b"G")
        except OSError:
            return True
        return not is_open(client)

    wait_until(closed, "an end in the middle of its bytes", pause_s=0.5)
    assert worker.metric("admin_cut_total") == 1


def test_whoever_does_not_read_does_not_keep_its_place(stage):
    """Requests in a row, no answer read: one is answered, and the connection ends."""
    worker = stage.worker(stage.redis(), stage.simulator())
    before = descriptors(worker)
    held = [connect(worker) for _ in range(CONNECTIONS_MAX)]
    for client in held:
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n" * 100)
    assert worker.get("/healthz")[0] == 200
    wait_until(lambda: descriptors(worker) <= before + 2, "the end of their connections")
    for client in held:
        client.close()


def test_whoever_floods_is_cut_before_its_time(stage):
    """What comes behind a request isn't read for long: it would keep a processor busy."""
    worker = stage.worker(stage.redis(), stage.simulator())
    sent = 0
    with connect(worker) as client:
        client.sendall(b"POST /metrics HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while sent < 100_000_000:
                sent += client.send(b"x" * 65536)
        except OSError:
            pass
    assert sent < 50_000_000, "beside what the kernel holds"
    assert worker.get("/healthz") == (200, "ok\n")


def test_without_descriptors_it_tries_now_and_then_and_comes_back(stage):
    worker = stage.worker(stage.redis(), stage.simulator())
    soft, hard = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    taken = {int(number) for number in os.listdir(f"/proc/{worker.pid}/fd")}
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (min(set(range(len(taken) + 1)) - taken), hard))
    begin, clients = time.monotonic(), [connect(worker) for _ in range(8)]  # the kernel accepts them; a descriptor or two may come free
    for client in clients:
        client.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
    worker.wait_event("admin_accept_failed", 3)
    tried, spent = len(worker.events("admin_accept_failed")), time.monotonic() - begin
    assert tried <= 10 * spent + 5, f"{tried} times in {spent:.1f} s"
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (soft, hard))
    for client in clients:
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_it_answers_as_http_wants_it(stage):
    worker = stage.worker(stage.redis(), stage.simulator())
    for request, status in {b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n": b"200 OK", b"GET /healthz?verbose=1 HTTP/1.0\r\n\r\n": b"200 OK", b"HEAD /readyz HTTP/1.1\r\n\r\n": b"200 OK",
                            b"GET http://x:1/metrics HTTP/1.1\r\n\r\n": b"200 OK", b"GET /healthz HTTP/1.1\n\n": b"200 OK", b"GET /other HTTP/1.1\r\n\r\n": b"404 ",
                            b"POST /healthz HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc": b"405 ", b"\r\n\r\n": b"400 ", b"GET /healthz\r\n\r\n": b"400 ", b"\0\0 \r\n\r\n": b"400 ",
                            b"GET /healthz HTTP/1.1\r\nX: \0\r\nY: z\r\n\r\n": b"400 ", b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 9000: b"431 "}.items():
        for half_close in (False, True):
            answer = say(worker, request, half_close and b"x" * 9000 not in request)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 " + status), (request[:40], answer[:80])
            assert b"Connection: close" in head
            length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
            assert len(body) == (0 if request.startswith(b"HEAD") else length) and length > 0


def answers_at(worker, host: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{host}:{worker.port_file.read_text().strip()}/healthz", timeout=LIMIT_S) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.mark.parametrize("system, hosts", [("", {"127.0.0.1", "[::1]"}), ("v6only", {"127.0.0.1", "[::1]"}), ("ipv6", {"127.0.0.1"})],
                         ids=["as it is", "bindv6only", "without IPv6"])
def test_all_addresses_are_those_of_ipv6_and_ipv4(stage, system, hosts):
    """Whatever the system makes of a socket of IPv6; a kubelet asks at the pod's first address."""
    env = {"LD_PRELOAD": str(BIN / "test/broken_client.so"), "CHAT_TEST_BREAK": system} if system else {}
    if SANITIZED:
        env["ASAN_OPTIONS"] = "verify_asan_link_order=0"
    worker = stage.worker(stage.redis(), stage.simulator(), env=env, **{"admin.listen": "[::]:0"})
    assert {host for host in ("127.0.0.1", "[::1]") if answers_at(worker, host)} == hosts
