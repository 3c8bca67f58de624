"""The real programs as test parts: each starts on a free port in a private folder and is ended by its own id.

Waiting is always for an event with a limit: a file, an answer, a log line, a record. The limit, CHAT_TEST_LIMIT_S, is one for
all of them and long: it is met by what fails alone, on whatever machine."""
from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from engine import guard, is_guarded, with_engine
from ports import free_port

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("CHAT_BIN", ROOT / "build" / "bin"))
SANITIZED = bool({"asan", "tsan"} & set(BIN.parts))  # programs that take several times the time and the memory
LIMIT_S = float(os.environ.get("CHAT_TEST_LIMIT_S", "180"))


def wait_until(check, what: str, limit_s: float = LIMIT_S, pause_s: float = 0.02):
    """The first true answer of check; fails by name when none came in time."""
    began = time.monotonic()
    pause = threading.Event()
    while True:
        got = check()
        if got:
            return got
        waited_s = time.monotonic() - began
        if waited_s > limit_s:
            raise AssertionError(f"waited {limit_s:.0f} s in vain for: {what}")
        pause.wait(max(pause_s, min(waited_s / 20, 0.25)))  # what takes long is looked at less often: looking costs, too


class Process:
    """A program with its output in a file; ended by TERM, then KILL."""

    def __init__(self, name: str, folder: Path, command: list, env: dict | None = None, **pipes):
        self.name = name
        self.log = folder / f"{name}.log"
        self.out = open(self.log, "ab")
        self.start = lambda: subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *(str(c) for c in command)], stderr=self.out,
                                              env={**os.environ, **(env or {})}, cwd=folder, **{"stdout": self.out, "stdin": subprocess.DEVNULL, **pipes})
        self.again()

    def again(self) -> None:
        """Starts it; once it has ended, anew by the same command. The thread that calls must outlive it: setpriv lets the
        kernel end it with that thread, should pytest itself be killed."""
        self.process = self.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def signal(self, number: int) -> None:
        """A stop is there when this returns: each thread stops when it comes by, and until then it answers."""
        self.process.send_signal(number)
        if number == signal.SIGSTOP:
            wait_until(lambda: set(self._thread_states()) <= {"T"}, f"{self.name} stopped")

    def _thread_states(self) -> list[str]:
        states = []
        for stat in Path(f"/proc/{self.pid}/task").glob("*/stat"):
            try:
                states.append(stat.read_text().rpartition(")")[2].split()[0])
            except (FileNotFoundError, ProcessLookupError):  # a thread that has ended
                pass
        return states

    def wait(self, limit_s: float = LIMIT_S) -> int:
        return self.process.wait(limit_s)

    def port_in(self, file: Path) -> int:
        """That it writes when it listens. One that ends instead says why."""
        def look():
            assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}: {self.text()[-2000:]}"
            return file.exists() and file.read_text().strip()
        return int(wait_until(look, f"{self.name}'s port"))

    def end(self) -> None:
        if self.process.poll() is None:
            stopped = "T" in self._thread_states()  # by a test
            self.process.terminate()
            if stopped:  # no other: a CONT takes back the stop by which the leak sanitizer holds a process that ends, and both would wait for ever
                self.process.send_signal(signal.SIGCONT)
            try:
                self.process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(LIMIT_S)
        self.out.close()
        found = re.search(r"(ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:).*", self.text())
        assert not found, f"{self.name}: {found.group(0)}\n{self.text()[found.start():][:6000]}"


REDIS_SERVER = os.environ.get("CHAT_REDIS_SERVER", "redis-server")


def redis_servers() -> dict[str, str]:
    """The servers that tests/run has found, by name: Redis and Valkey of several versions. Alone: the one of this machine."""
    pairs = (pair.split("=", 1) for pair in os.environ.get("CHAT_REDIS_SERVERS", f"redis-server={REDIS_SERVER}").split())
    return dict(pairs)


class Redis(Process):
    def __init__(self, folder: Path, *options: str, server: str = REDIS_SERVER):
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.socket.unlink(missing_ok=True)
        super().__init__("redis", folder, [server, "--port", "0", "--unixsocket", self.socket, "--save", "", "--dir", folder, *options])
        wait_until(self.answers, "redis-server's answer")
        self.client = redis.Redis(unix_socket_path=str(self.socket), decode_responses=True)

    def answers(self) -> bool:
        """Whatever it says, that it is loading, too: it listens before it has looked for its data."""
        with socket.socket(socket.AF_UNIX) as s:
            if s.connect_ex(str(self.socket)) != 0:
                return False
            s.settimeout(LIMIT_S)
            s.sendall(b"PING\r\n")
            return s.recv(100) != b""


class RedisTls(Process):
    """Redis over TLS alone, with a certificate of its own authority: `ca`."""

    def __init__(self, folder: Path):
        self.ca, key = certificate(folder, "redis")
        port = free_port()
        self.url = f"rediss://127.0.0.1:{port}"
        super().__init__("redis-tls", folder, ["redis-server", "--port", "0", "--bind", "127.0.0.1", "--tls-port", str(port), "--tls-cert-file", self.ca, "--tls-key-file", key,
                                               "--tls-ca-cert-file", self.ca, "--tls-auth-clients", "no", "--save", "", "--dir", folder])
        wait_until(lambda: "Ready to accept connections" in self.text(), "redis-server over TLS")


class Simulator(Process):
    def __init__(self, folder: Path, *options: str):
        port_file = folder / f"sim-{uuid.uuid4().hex[:8]}.port"
        super().__init__("llmsim", folder, [BIN / "chat-llmsim", "--port", free_port(), "--port-file", port_file, *options])
        self.port = self.port_in(port_file)
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.model = "sim"

    def get(self, path: str) -> dict:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=LIMIT_S) as answer:
            return json.load(answer)

    def post(self, path: str, text: str) -> dict:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", text.encode(), timeout=LIMIT_S) as answer:
            return json.load(answer)

    def stats(self) -> dict:
        return self.get("/sim/stats")

    def faults(self, rules: str) -> None:
        """What goes wrong from now on; "": nothing."""
        self.post("/sim/faults", rules)

    def wait_held(self, count: int = 1) -> None:
        """So many answers (of the fault "hold") are held back: what goes on meanwhile has all the time it needs."""
        wait_until(lambda: self.stats()["held"] == count, f"{count} held answers")

    def release(self, text: str = "") -> int:
        """Lets held answers go, those to a message with this text in it; how many there were."""
        return self.post("/sim/release", text)["released"]


def certificate(folder: Path, name: str, *hosts: str) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and these hosts that vouches for itself, and its key."""
    crt, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", ",".join(["subjectAltName=IP:127.0.0.1", *(f"DNS:{host}" for host in hosts)]), "-keyout", key, "-out", crt], check=True, capture_output=True)
    return crt, key


class TlsFront(Process):
    """The same LLM over https, with a certificate of its own authority, `ca`, for 127.0.0.1 and hosts."""

    def __init__(self, folder: Path, llm, *hosts: str, name: str = "front"):
        (self.ca, key), port_file = certificate(folder, name, *hosts), folder / f"{name}.port"
        self.named = folder / f"{name}.named"
        super().__init__(name, folder, [sys.executable, ROOT / "tests/lib/tls_front.py", self.ca, key, str(llm.port), port_file, self.named])
        self.port = self.port_in(port_file)
        self.url = f"https://127.0.0.1:{self.port}/v1"
        self.model = llm.model


class NameService:
    """What the worker's names lead to (tests/preload/name_service.c); `env` is for the worker."""

    def __init__(self, folder: Path, **names: str):
        """names: with _ for a dot; what each is, as the file of names says it."""
        self.file, self.names = folder / "names", {name.replace("_", "."): says for name, says in names.items()}
        preloaded = [os.environ.get("LD_PRELOAD", ""), str(BIN / "test" / "name_service.so")]
        self.env = {"LD_PRELOAD": ":".join(filter(None, preloaded)), "CHAT_TEST_NAMES": str(self.file)}
        if SANITIZED:
            self.env["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        self.say()

    def say(self, **names: str) -> None:
        self.names.update({name.replace("_", "."): says for name, says in names.items()})
        whole = self.file.with_suffix(".new")
        whole.write_text("".join(f"{name} {says}\n" for name, says in self.names.items()))
        whole.rename(self.file)

    def asked(self, name: str) -> int:
        """How often the name was looked up."""
        asked = Path(f"{self.file}.asked")
        return asked.read_text().splitlines().count(name) if asked.exists() else 0


class Proxy(Process):
    """An HTTP proxy that reaches the same machine whatever it is asked for; `asked` are its requests."""

    def __init__(self, folder: Path, *options: str, name: str = "proxy"):
        port_file, self.journal = folder / f"{name}.port", folder / f"{name}.journal"
        super().__init__(name, folder, [sys.executable, ROOT / "tests/lib/proxy.py", port_file, self.journal, *options])
        self.port = self.port_in(port_file)
        self.url = f"http://127.0.0.1:{self.port}"

    def asked(self) -> list[dict]:
        return [json.loads(line) for line in self.journal.read_text().splitlines()] if self.journal.exists() else []


class Model(Process):
    """The real small LLM."""

    def __init__(self, folder: Path, context: int = 2048, slots: int = 2):
        """context: tokens that a slot holds."""
        port_file = folder / "model.port"
        super().__init__("model", folder, [os.environ["CHAT_MODEL_PYTHON"], ROOT / "tests/lib/llm_server.py", "--port-file", port_file, "--context", context, "--slots", slots])
        port = self.port_in(port_file)
        self.url = f"http://127.0.0.1:{port}/v1"
        self.model = "smollm2-135m"

    def counter(self, name: str) -> float:
        """What the server counts of itself."""
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/metrics", timeout=LIMIT_S) as answer:
            return float(re.search(rf"^llamacpp:{name} (\S+)$", answer.read().decode(), re.M).group(1))


def kafkas() -> dict[str, str]:
    """The jars of several versions that tests/run has found, by what they are here for: main, oldest, hanging (tests/lib/setup.sh)."""
    return dict(pair.split("=", 1) for pair in os.environ["CHAT_KAFKAS"].split())


class Kafka(Process):
    """A real Apache Kafka: one KRaft node."""

    def __init__(self, folder: Path, heap: str = "512m", bootstrap: str | None = None, jars: str | None = None, node: int = 1, controller: int | None = None, **server: str):
        """server: more of its properties; with listeners of one's own, bootstrap is where the tests reach it. A node beyond the first is a
        broker alone; controller: the first one's port."""
        port, name = free_port(), "kafka" if node == 1 else f"kafka-{node}"
        self.node, self.controller = node, controller or free_port()
        self.bootstrap = bootstrap or f"127.0.0.1:{port}"
        config = folder / ("server.properties" if node == 1 else f"{name}.properties")
        config.write_text(f"""process.roles={"broker,controller" if node == 1 else "broker"}
node.id={node}
controller.quorum.voters=1@127.0.0.1:{self.controller}
listeners=PLAINTEXT://127.0.0.1:{port}{f",CONTROLLER://127.0.0.1:{self.controller}" if node == 1 else ""}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={folder}/{name}-data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
message.max.bytes=20971520
""" + "".join(f"{key}={value}\n" for key, value in server.items()))
        # At info the coordinator says which partition's marker it leaves out (KAFKA-20734).
        self.java = java = ["java", f"-Xmx{heap}", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.log.kafka.coordinator.transaction=info",
                            "-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS", "-cp", (jars or os.environ["CHAT_KAFKA_JARS"]) + "/*"]
        subprocess.run([*java, "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", config], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        super().__init__(name, folder, [*java, "kafka.Kafka", config])
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        wait_until(self.answers, "Kafka's metadata")

    def answers(self) -> bool:
        try:
            return self.node in self.admin.list_topics(timeout=10).brokers
        except Exception:  # noqa: BLE001  not there yet
            return False

    def transactions(self, *arguments: str) -> str:
        """What kafka-transactions.sh says."""
        return subprocess.run([*self.java, "org.apache.kafka.tools.TransactionsCommand", "--bootstrap-server", self.bootstrap, *arguments], check=True, text=True,
                              capture_output=True, timeout=LIMIT_S).stdout

    def set_quota(self, client_id: str, **bytes_a_second: int) -> None:
        """producer_byte_rate, consumer_byte_rate: beyond them the broker answers late."""
        subprocess.run([*self.java, "kafka.admin.ConfigCommand", "--bootstrap-server", self.bootstrap, "--alter", "--entity-type", "clients", "--entity-name", client_id,
                        "--add-config", ",".join(f"{name}={rate}" for name, rate in bytes_a_second.items())], check=True, stdout=subprocess.DEVNULL)

    def create_topics(self, *names: str, partitions: int = 4, **config: str) -> None:
        self.make(*(NewTopic(n, partitions, 1, config=config) for n in names))

    def make(self, *topics: NewTopic) -> None:
        for future in self.admin.create_topics(list(topics)).values():
            future.result(LIMIT_S)


class KafkaMock(Process):
    """librdkafka's mock cluster, which fails as it is told; see tests/kafkamock."""

    def __init__(self, folder: Path, brokers: int = 1, **topics: int):
        """Topics by name and partitions, with _ for a dot."""
        command = [BIN / "chat-kafkamock", brokers, *(f"{name.replace('_', '.')}={partitions}" for name, partitions in topics.items())]
        super().__init__("kafkamock", folder, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.bootstrap = self.process.stdout.readline().strip()
        assert self.bootstrap, f"the mock cluster doesn't start: {self.text()}"

    def tell(self, *words) -> str:
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        answer = self.process.stdout.readline().split()
        assert answer and answer[0] == "ok", f"{words}: {answer}"
        return answer[1] if len(answer) > 1 else ""

    def fail(self, api: str, *errors: str, rtt_ms: int = 0) -> None:
        """The next requests of this kind to each broker, one after the other."""
        for error in errors:
            self.tell("fail", api, error, rtt_ms)

    def wait_failed(self, *apis: str) -> None:
        """All that was asked for has been met."""
        for api in apis:
            wait_until(lambda: self.tell("left", api) == "0", f"every failing {api} met")

    def end(self) -> None:
        super().end()
        self.process.stdin.close()
        self.process.stdout.close()


class Worker(Process):
    """chat-worker; its log lines are events."""

    is_guarded = False  # subclasses start it otherwise

    def __init__(self, folder: Path, redis_url: str, llm, bootstrap: str = "embedded", name: str = "worker", ready: bool = True, env: dict | None = None, arguments: tuple = (), **settings):
        self.runtime = folder / f"run-{name}"
        self.runtime.mkdir(mode=0o700, exist_ok=True)
        self.port_file = self.runtime / "admin.port"
        self.port_file.unlink(missing_ok=True)
        pairs = {"kafka.bootstrap.servers": bootstrap, "redis.url": redis_url, "provider.main.url": llm.url, "provider.main.model": llm.model,
                 "admin.listen": "127.0.0.1:0", "admin.port_file": str(self.port_file), "log.level": "debug", "worker.commit_interval_ms": "100",
                 "retry.backoff_ms": "20", **settings}
        if ready:  # Redis or Kafka may answer late on a slow machine: that is no failure to start
            pairs.setdefault("worker.startup_wait_ms", "60000")
        pairs = with_engine(pairs)
        env = {"XDG_RUNTIME_DIR": str(self.runtime), **(env or {})}
        self.is_guarded = is_guarded(env, pairs) and not SANITIZED  # the sanitizer's library has to be the first one
        if self.is_guarded:
            env = guard(env, BIN)
        options = [part for key, value in pairs.items() for part in ("-X", f"{key}={value}")]
        super().__init__(name, folder, [BIN / "chat-worker", *arguments, *options], env=env)
        self.bootstrap = bootstrap
        if ready:
            self.wait_event("worker_started")
            if bootstrap == "embedded":
                self.bootstrap = (self.runtime / "chat-worker" / "bootstrap").read_text().strip()
            wait_until(lambda: self.get("/readyz")[0] == 200, "the worker in its group")

    def end(self) -> None:
        super().end()
        assert not (self.is_guarded and "event=loop_blocks" in self.text()), f"{self.name}: an event loop called what could block\n{self.text()[-3000:]}"

    def events(self, name: str, **fields) -> list[dict]:
        found = []
        for line in self.text().splitlines():
            if f"event={name} " not in line + " ":
                continue
            try:
                event = dict(part.split("=", 1) for part in shlex.split(line) if "=" in part)
            except ValueError:
                continue  # a line still being written
            if all(event.get(k) == str(v) for k, v in fields.items()):
                found.append(event)
        return found

    def wait_event(self, name: str, count: int = 1, limit_s: float = LIMIT_S, **fields) -> list[dict]:
        def look():
            found = self.events(name, **fields)
            if len(found) < count and self.process.poll() is not None and len(self.events(name, **fields)) < count:
                raise AssertionError(f"the worker ended ({self.process.returncode}) before {name} {fields}:\n{self.text()[-3000:]}")
            return found if len(found) >= count else None
        return wait_until(look, f"{count} × {name} {fields}", limit_s)

    def get(self, path: str) -> tuple[int, str]:
        try:
            port = self.port_file.read_text().strip()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=LIMIT_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""

    def metric(self, name: str) -> int:
        """-1: there is none, or the worker has ended."""
        for _ in range(3):  # the admin port cuts a request for which a busy machine takes longer than its five seconds
            status, page = self.get("/metrics")
            if status == 200 or self.process.poll() is not None:
                break
        found = re.search(rf"^chat_{name} (-?\d+)$", page, re.M)
        return int(found.group(1)) if found else -1


class Topics:
    """What a test sends and reads, by a client that isn't the project's."""

    def __init__(self, bootstrap: str, prefix: str = "chat"):
        self.bootstrap = bootstrap
        self.jobs, self.replies_topic, self.dead, self.control, self.deltas = (f"{prefix}.{name}" for name in ("jobs", "replies", "dead", "control", "deltas"))
        self.producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0, "linger.ms": 0, "message.max.bytes": 20000000})

    def send(self, value, key=None, topic=None, headers=None) -> None:
        if isinstance(value, dict):
            value = json.dumps(value)
        refused = []
        self.producer.produce(topic or self.jobs, value=value, key=key, headers=headers,
                              on_delivery=lambda err, _: refused.append(err) if err else None)
        self.flush()
        assert not refused, refused

    def flush(self) -> None:
        """All that was produced is acknowledged."""
        assert self.producer.flush(LIMIT_S) == 0

    def cancel(self, job: str) -> None:
        self.send({"cancel": job}, topic=self.control)

    def read(self, topic: str, count: int, key: str | None = None, limit_s: float = LIMIT_S) -> list:
        """The first count records of a topic (of one key) from its beginning. Of one partition they come in order."""
        return self._read(topic, count_of(count), f"{count} records", key, limit_s)

    def all(self, topic: str) -> list:
        """Every record a topic holds now."""
        consumer = self._consumer()
        try:
            ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), LIMIT_S)[1] for p in consumer.list_topics(topic, LIMIT_S).topics[topic].partitions}
        finally:
            consumer.close()
        return self._read(topic, count_of(sum(ends.values())), f"{sum(ends.values())} records", None, LIMIT_S)

    def replies(self, count: int, limit_s: float = LIMIT_S) -> dict[str, dict]:
        """The replies to count different jobs, by job; of a job that has several, the last."""
        replies = {}

        def enough(record):
            if record is not None:
                replies[job_of(record)] = json.loads(record.value())
            return len(replies) >= count

        self._read(self.replies_topic, enough, f"replies to {count} jobs", None, limit_s)
        return replies

    def reply_of(self, job: str, limit_s: float = LIMIT_S) -> dict:
        """The reply to one job."""
        records = self._read(self.replies_topic, lambda record: record is not None and job_of(record) == job, f"a reply to {job}", None, limit_s)
        return json.loads(records[-1].value())

    def _consumer(self) -> Consumer:
        return Consumer({"bootstrap.servers": self.bootstrap, "group.id": f"look-{uuid.uuid4()}", "enable.auto.commit": False,
                         "auto.offset.reset": "earliest", "log_level": 0, "fetch.wait.max.ms": 50})

    def _read(self, topic: str, enough, what: str, key: str | None, limit_s: float) -> list:
        """enough is told of each record that counts, once, before them of none."""
        consumer = self._consumer()
        try:
            consumer.assign([TopicPartition(topic, p, 0) for p in consumer.list_topics(topic, LIMIT_S).topics[topic].partitions])
            found, until, done = [], time.monotonic() + limit_s, enough(None)
            while not done:
                assert time.monotonic() < until, f"only {len(found)} records on {topic} after {limit_s:.0f} s, not {what}" + (f" of key {key}" if key else "")
                record = consumer.poll(0.2)
                if record is not None and not record.error() and (key is None or record.key() == key.encode()):
                    found.append(record)
                    done = enough(record)
            return found
        finally:
            consumer.close()


def count_of(count: int):
    """True for the last of so many records."""
    left = [count]

    def enough(record):
        left[0] -= record is not None
        return left[0] <= 0

    return enough


def job_of(reply) -> str:
    return json.loads(reply.value())["job"]


def end_on_signals() -> None:
    """Ctrl-C and TERM raise KeyboardInterrupt, once: a second one must not cut the clean-up short."""
    def stop(number, frame):
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, stop)


def finish(parts: list, folder: Path | None) -> None:
    """Ends the parts, the last started first; each gets its chance even if another one fails."""
    failures = []
    for part in reversed(parts):
        try:
            part.end()
        except Exception as failure:  # noqa: BLE001
            failures.append(failure)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    if failures:
        raise failures[0]


__all__ = ["BIN", "ROOT", "Kafka", "KafkaMock", "Model", "Process", "Redis", "Simulator", "Topics", "Worker", "end_on_signals", "finish", "free_port", "job_of", "redis_servers", "signal", "wait_until"]
