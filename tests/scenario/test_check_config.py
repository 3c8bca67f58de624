"""--check-config refuses what the start would refuse, by the same words, and leaves nothing behind."""
import fcntl
import os
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest
from parts import BIN, LIMIT_S, SANITIZED, Topics, free_port, wait_until

GOOD = {"kafka.bootstrap.servers": "embedded", "provider.main.url": "http://127.0.0.1:9/v1", "provider.main.model": "m", "admin.listen": "127.0.0.1:0"}


def run(stage, settings, *arguments, prefix=(), **env):
    pairs = {**GOOD, "redis.url": f"unix://{stage.folder}/none.sock", **settings}
    return subprocess.run([*prefix, BIN / "chat-worker", *arguments, *(part for key, value in pairs.items() if value is not None for part in ("-X", f"{key}={value}"))], text=True,
                          capture_output=True, timeout=LIMIT_S, env={**os.environ, "XDG_RUNTIME_DIR": str(stage.folder), **env})


def complaint(done):
    return [line for line in done.stderr.splitlines() if line.startswith("chat-worker:")]


# What is wrong, and what the message names.
BAD = {
    "no host": ({"admin.listen": "9464"}, "admin.listen"),
    "an empty host": ({"admin.listen": ":9464"}, "admin.listen"),
    "a port too high": ({"admin.listen": "127.0.0.1:99999"}, "admin.listen"),
    "no port": ({"admin.listen": "127.0.0.1:"}, "admin.listen"),
    "a port that is none": ({"admin.listen": "127.0.0.1:+80"}, "admin.listen"),
    "v6 without brackets": ({"admin.listen": "::1:9464"}, "admin.listen"),
    "somebody else's address": ({"admin.listen": "192.0.2.1:0"}, "admin.listen"),
    "a port file in no folder": ({"admin.port_file": "/nowhere/port"}, "admin.port_file"),
    "a crash file in no folder": ({"worker.crash_file": "/nowhere/crashes"}, "worker.crash_file"),
    "a folder for a crash file": ({"worker.crash_file": "/tmp"}, "worker.crash_file"),
    "a folder for a port file": ({"admin.port_file": "/tmp"}, "admin.port_file"),
    "a folder's name for a port file": ({"admin.port_file": "/tmp/"}, "admin.port_file"),
    "a producer's property": ({"kafka.max.in.flight": "100"}, "max.in.flight"),
    "a producer's property in transactions": ({"kafka.bootstrap.servers": "127.0.0.1:1", "worker.delivery": "exactly-once", "kafka.retries": "0"}, "retries"),
    "a consumer's property": ({"kafka.partition.assignment.strategy": "nope"}, "partition.assignment.strategy"),
    "a Kafka authority that isn't there": ({"kafka.security.protocol": "ssl", "kafka.ssl.ca.location": "/nowhere"}, "kafka"),
    "a Redis port": ({"redis.url": "redis://h:99999"}, "redis.url"),
    "a provider's port": ({"provider.main.url": "http://h:99999/v1"}, "provider main: url"),
    "a provider's placeholder": ({"provider.main.url": "http://h/{user}/v1"}, "provider.main.url"),
    "a provider beyond ASCII": ({"provider.main.url": "http://b\u00fccher/v1"}, "xn--"),
    "a host that begins with a sign": ({"provider.main.url": "http://-h/v1"}, "provider main: url"),
    "a proxy of another kind": ({"provider.main.proxy": "socks4://p:1"}, "provider main: proxy"),
    "a context's port": ({"llm.contexts": "c", "context.c.url": "http://h:x/"}, "context c: url"),
    "the brokers' property misspelt": ({"kafka.bootstrap.servers": None, "kafka.bootstrap.server": "b:1"}, "-X kafka.bootstrap.server: kafka.bootstrap.server is unknown; do you mean bootstrap.servers?"),
    "a property with underscores": ({"kafka.security_protocol": "ssl"}, "do you mean security.protocol?"),
    "a Java client's property": ({"kafka.max.poll.records": "5"}, "kafka.max.poll.records is unknown to librdkafka"),
    "a property out of range": ({"kafka.linger.ms": "soon"}, "-X kafka.linger.ms: kafka.linger.ms"),
    "a provider's key misspelt": ({"provider.main.api_ky": "k"}, "-X provider.main.api_ky: provider.main.api_ky is unknown; do you mean api_key?"),
    "a provider in quotes": ({"provider.main.url": '"http://h/v1"'}, "-X provider.main.url: provider.main.url: the quotes are a part of the value; write it without quotes"),
    "headers of no JSON": ({"provider.main.headers": "X-Title: mine"}, "-X provider.main.headers: provider.main.headers: is no JSON object"),
    "a header of the request's own": ({"provider.main.headers": '{"host":"h"}'}, "provider.main.headers: host is the worker's to set"),
    "a header beside the key": ({"provider.main.headers": '{"Authorization":"Bearer k"}', "provider.main.api_key": "k"}, "Authorization and api_key are both given"),
    "brokers in quotes": ({"kafka.bootstrap.servers": "'b:1'"}, "kafka.bootstrap.servers: the quotes"),
    "a context's proxy": ({"llm.contexts": "c", "context.c.url": "http://h/", "context.c.proxy": "nonsense://"}, "context c: proxy"),
}


@pytest.mark.parametrize("where", ["file", "environment"])
def test_a_misspelt_property_is_named_with_its_place(stage, where):
    file, env = stage.folder / "worker.ini", {}
    file.write_text("[kafka]\n\nbootstrap.server = b:1\n" if where == "file" else "")
    if where == "environment":
        env["CHATW__KAFKA__BOOTSTRAP_SERVER"] = "b:1"
    done = run(stage, {"kafka.bootstrap.servers": None}, "--check-config", "-c", file, **env)
    place = f"{file}:3" if where == "file" else "CHATW__KAFKA__BOOTSTRAP_SERVER"
    assert done.returncode == 78 and f"{place}: kafka.bootstrap.server is unknown; do you mean bootstrap.servers?" in done.stderr


@pytest.mark.parametrize("arguments, named", [(["-X", "bootstrap.server=b:1"], "-X bootstrap.server is unknown; do you mean bootstrap.servers?"),
                                              (["-X", "max.poll.records=5"], "-X max.poll.records is unknown to librdkafka"),
                                              (["-b", '"b:1"'], "-b: the quotes are a part of the value"),
                                              (["-X", 'linger.ms="5"'], "-X linger.ms: the quotes are a part of the value")])
def test_the_producer_says_so_too(arguments, named):
    done = subprocess.run([BIN / "chat-producer", "submit", "hi", *arguments], text=True, capture_output=True, timeout=LIMIT_S)
    assert done.returncode == 64 and named in done.stderr, (done.returncode, done.stderr)


@pytest.mark.parametrize("what", BAD)
def test_a_check_refuses_what_a_start_refuses(stage, what):
    settings, named = BAD[what]
    check, start = run(stage, settings, "--check-config"), run(stage, settings)
    assert (check.returncode, start.returncode) == (78, 78), (check.stderr, start.stderr)
    assert complaint(check) == complaint(start) and len(complaint(check)) == 1 and named in check.stderr


def test_trying_kafka_asks_for_no_group(stage):
    """A client with a group has a connection to its coordinator, and librdkafka may abort when such a client ends early (its #3608)."""
    redis, kafka = stage.redis(), stage.kafka_mock(chat_jobs=3, chat_replies=3, chat_dead=3)
    done = run(stage, {"kafka.bootstrap.servers": kafka.bootstrap, "redis.url": redis.url, "kafka.debug": "broker", "log.level": "debug"}, "--check-config", "--connect")
    assert done.returncode == 0 and "Kafka and Redis answer" in done.stdout, done.stderr
    assert f"{kafka.bootstrap}/bootstrap" in done.stderr, "librdkafka's own log shows no connection"
    assert "GroupCoordinator: " not in done.stderr, done.stderr


def test_a_file_that_cannot_be_written_is_refused(stage):
    folder = stage.folder / "closed"
    folder.mkdir(mode=0o555)
    # Root is as others are without this right.
    prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.getuid() == 0 else ()
    for key in ("worker.crash_file", "admin.port_file"):
        for arguments in (("--check-config",), ()):
            done = run(stage, {key: str(folder / "file")}, *arguments, prefix=prefix)
            assert done.returncode == 78 and key in done.stderr and "Permission denied" in done.stderr, done.stderr


def test_what_is_there_and_no_file_stays(stage):
    """A pipe stands for devices: a port file took the place of /dev/null, and a crash file was read for ever."""
    pipe = stage.folder / "pipe"
    os.mkfifo(pipe)
    for key in ("worker.crash_file", "admin.port_file"):
        for arguments in (("--check-config",), ()):
            done = run(stage, {key: str(pipe)}, *arguments)
            assert done.returncode == 78 and key in done.stderr and "no regular file" in done.stderr, done.stderr
    assert pipe.is_fifo()


ENDLESS = ("a pipe", "a device", "a folder", "a long file")
NAMED = {  # what names a file: by settings, or by the environment
    "the settings": lambda path: ({}, ("--config", path), {}),
    "a secret": lambda path: ({"provider.main.api_key_file": path}, (), {}),
    "a provider's headers": lambda path: ({"provider.main.headers_file": path}, (), {}),
    "the admin port's token": lambda path: ({"admin.token_file": path}, (), {}),
    "Redis' address": lambda path: ({"redis.url": None, "redis.url_file": path}, (), {}),
    "a provider's authorities": lambda path: ({"provider.main.ca_file": path}, (), {}),
    "everybody's authorities": lambda path: ({"provider.main.url": "https://h/v1"}, (), {"SSL_CERT_FILE": path}),
    "Kafka's authorities": lambda path: ({"kafka.security.protocol": "ssl", "kafka.ssl.ca.location": path}, (), {}),
    "Kafka's certificate": lambda path: ({"kafka.security.protocol": "ssl", "kafka.ssl.certificate.location": path}, (), {}),
}


@pytest.mark.parametrize("what, kind", [(what, kind) for what in NAMED for kind in ENDLESS if (what, kind) != ("Kafka's authorities", "a folder")])
def test_a_file_without_an_end_is_refused(stage, what, kind):
    path = str({"a device": "/dev/zero", "a folder": stage.folder}.get(kind, stage.folder / "named"))
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a long file":
        Path(path).touch()
        os.truncate(path, 1 << 40)
    settings, arguments, env = NAMED[what](path)
    limit = () if SANITIZED else ("prlimit", f"--as={2 << 30}")  # whoever reads on dies of it
    for more in (("--check-config",), ()):
        done = run(stage, settings, *arguments, *more, prefix=limit, **env)
        assert done.returncode == 78 and path in done.stderr and len(complaint(done)) == 1, (done.returncode, done.stderr)


def write_in_two(path, first, second):
    """The second piece goes in when the first has been read."""
    with open(path, "w") as pipe:
        print(first, end="", file=pipe, flush=True)
        wait_until(lambda: int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder) == 0, "the first piece read")
        print(second, end="", file=pipe)


def test_what_comes_by_a_pipe_is_read(stage):
    """As by a shell's <(command), a piece at a time."""
    path = stage.folder / "pipe"
    os.mkfifo(path)
    for settings, arguments, text in (({}, ("--config", str(path)), ("[worker]\nthr", "eads = 3\n")), ({"provider.main.api_key_file": str(path)}, (), ("ke", "y\n"))):
        writer = threading.Thread(target=write_in_two, args=(path, *text))
        writer.start()
        done = run(stage, settings, *arguments, "--check-config")
        writer.join(LIMIT_S)
        assert not writer.is_alive() and done.returncode == 0, done.stderr


def test_too_few_descriptors_are_refused(stage):
    loop = {"worker.engine": "loop", "worker.in_flight": "400"}
    for arguments in (("--check-config",), ()):
        for settings, named in (({"worker.threads": "1000"}, "worker.threads"), ({**loop, "worker.calls_per_shard": "1"}, "worker.in_flight")):
            done = run(stage, settings, *arguments, prefix=("prlimit", "--nofile=1024:1024"))
            assert done.returncode == 78 and named in done.stderr and "ulimit -n" in done.stderr
    assert run(stage, loop, "--check-config", prefix=("prlimit", "--nofile=1024:1024")).returncode == 0


def test_an_embedded_cluster_wants_a_folder_of_its_own(stage):
    (stage.folder / "chat-worker").mkdir(mode=0o755)
    for arguments in (("--check-config",), ()):
        done = run(stage, {}, *arguments)
        assert done.returncode == 78 and "0700" in done.stderr


def test_a_check_leaves_nothing_behind_and_says_yes_beside_the_worker_itself(stage):
    crashes, port = stage.folder / "crashes", free_port()
    settings = {"worker.crash_file": str(crashes), "admin.listen": f"127.0.0.1:{port}"}
    before = sorted(os.listdir(stage.folder))
    assert run(stage, {**settings, "admin.port_file": str(stage.folder / "port")}, "--check-config").returncode == 0
    assert sorted(os.listdir(stage.folder)) == before
    redis, sim = stage.redis(), stage.simulator()
    worker = stage.worker(redis, sim, **settings)
    noted, said = crashes.read_bytes(), worker.port_file.read_text()
    done = run(stage, {**settings, "admin.port_file": str(worker.port_file)}, "--check-config")
    assert done.returncode == 0, done.stderr
    assert crashes.read_bytes() == noted and worker.port_file.read_text() == said
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    assert topics.reply_of("j")["status"] == "ok"


@pytest.mark.parametrize("action", ["--print-example", "--print-markdown", "--print-config", "--check-config"])
def test_what_cannot_be_printed_is_no_success(stage, action):
    """A full disk under `--print-example > worker.ini` leaves half a file."""
    assert run(stage, {}, action).returncode == 0
    with open("/dev/full", "w") as full:
        done = subprocess.run([BIN / "chat-worker", action, *(part for key, value in GOOD.items() for part in ("-X", f"{key}={value}"))], text=True, stdout=full, stderr=subprocess.PIPE,
                              timeout=LIMIT_S, env={**os.environ, "XDG_RUNTIME_DIR": str(stage.folder)})
    assert done.returncode == 74 and complaint(done) == ["chat-worker: standard output can't be written"]
