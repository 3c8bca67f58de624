"""A Redis that says nothing is told as what it is: which setting bounds the wait, and how long that was. Whether a command is waited for,
the sign-in, the choice of a database, or a connection; at the check, at the start and in the middle of the work."""
import os
import signal
import socket
import subprocess
from contextlib import contextmanager

import pytest
from parts import BIN, LIMIT_S, Topics, wait_until

TIMEOUT_MS = 300
SETTINGS = {"kafka.bootstrap.servers": "embedded", "provider.main.url": "http://127.0.0.1:9/v1", "provider.main.model": "m", "admin.listen": "127.0.0.1:0", "redis.timeout_ms": str(TIMEOUT_MS)}
NO_ANSWER = f"no answer in redis.timeout_ms ({TIMEOUT_MS} ms)"
NO_CONNECTION = f"no connection in redis.timeout_ms ({TIMEOUT_MS} ms)"


@contextmanager
def listener(backlog):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(backlog)
        yield server.getsockname()[1]


def run(stage, url, *arguments):
    pairs = {**SETTINGS, "redis.url": url}
    return subprocess.run([BIN / "chat-worker", *arguments, *(part for key, value in pairs.items() for part in ("-X", f"{key}={value}"))], text=True,
                          capture_output=True, timeout=LIMIT_S, env={**os.environ, "XDG_RUNTIME_DIR": str(stage.folder)})


@pytest.mark.parametrize("arguments", [["--check-config", "--connect"], []], ids=["check", "start"])
@pytest.mark.parametrize("url, command", [("redis://127.0.0.1:{}", "PING"), ("redis://me:sesame@127.0.0.1:{}", "AUTH"), ("redis://127.0.0.1:{}/3", "SELECT")])
def test_a_server_that_takes_everything_and_answers_nothing(stage, url, command, arguments):
    with listener(64) as port:  # the kernel accepts for it
        done = run(stage, url.format(port), *arguments)
    assert done.returncode == 69 and f"127.0.0.1:{port}, {command}: {NO_ANSWER}" in done.stderr and "sesame" not in done.stderr, done.stderr


def test_a_server_that_takes_no_connection(stage):
    with listener(0) as port:
        waiting = []
        for _ in range(4):  # its queue is full then, and the kernel drops what comes
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            waiting.append(one)
        done = run(stage, f"redis://127.0.0.1:{port}", "--check-config", "--connect")
        for one in waiting:
            one.close()
    assert done.returncode == 69 and f"127.0.0.1:{port}: {NO_CONNECTION}" in done.stderr, done.stderr


def test_a_server_that_is_away_is_no_silent_one(stage):
    with listener(0) as port:
        pass
    done = run(stage, f"redis://127.0.0.1:{port}", "--check-config", "--connect")
    assert done.returncode == 69 and "Connection refused" in done.stderr and "timeout_ms" not in done.stderr, done.stderr


def test_a_server_that_falls_silent_at_work(stage, redis_io):
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **{"worker.redis_io": redis_io, "redis.timeout_ms": str(TIMEOUT_MS)})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "first", "message": "hi"}, key="s")
    assert topics.reply_of("first")["status"] == "ok"
    redis.signal(signal.SIGSTOP)
    try:
        topics.send({"id": "second", "message": "hi"}, key="s")
        wait_until(lambda: NO_ANSWER in worker.text(), "the word on Redis' silence")
    finally:
        redis.signal(signal.SIGCONT)
    assert topics.reply_of("second")["status"] == "ok"
    assert "Resource temporarily unavailable" not in worker.text()
