"""The parts of a chaos run: Kafka, Redis and the simulator behind Toxiproxy, the workers, and what can be done to them.

Nothing here waits: each fault is a generator that yields how long it has nothing to do, so that one thread, the run's, does
all. (Processes end with the thread that started them: see parts.Process.)"""
from __future__ import annotations

import json
import os
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path

import check
import schedule
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec
from parts import BIN, Kafka, Process, Simulator, Worker, free_port, wait_until

SESSION_TIMEOUT_MS, LEASE_MS = 6000, 3000
DRAIN_LIMIT_S, RETURN_LIMIT_S = 120, 400  # far above what either takes
SKIPPED = "_skipped"  # there was no worker to do it to
PASSWORD, API_KEY = "pw-kudu-5d20", "sk-kudu-77c1"
TOPICS = {"jobs_topic": "chaos.jobs", "replies_topic": "chaos.replies", "dead_topic": "chaos.dead"}


def now_ms() -> int:
    return int(time.time() * 1000)


def listens(port: int) -> bool:
    with socket.socket() as s:
        s.settimeout(0.2)
        return s.connect_ex(("127.0.0.1", port)) == 0


class Toxiproxy(Process):
    def __init__(self, folder: Path, seed: int):
        self.port = free_port()
        super().__init__("toxiproxy", folder, [os.environ["CHAT_TOXIPROXY"], "-host", "127.0.0.1", "-port", str(self.port), "-seed", str(seed)])
        wait_until(lambda: listens(self.port), "Toxiproxy")

    def ask(self, method: str, path: str, body: dict | None = None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method, data=None if body is None else json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
            return json.loads(text) if text else None

    def proxy(self, name: str, upstream: int, listen: int | None = None) -> int:
        listen = listen or free_port()
        self.ask("POST", "/proxies", {"name": name, "listen": f"127.0.0.1:{listen}", "upstream": f"127.0.0.1:{upstream}", "enabled": True})
        return listen

    def enable(self, name: str, enabled: bool) -> None:
        self.ask("POST", f"/proxies/{name}", {"enabled": enabled})

    def add(self, name: str, toxic: str, streams: tuple, share: float = 1.0, **attributes) -> None:
        """share: of the connections, by chance."""
        for stream in streams:
            self.ask("POST", f"/proxies/{name}/toxics", {"name": f"{toxic}-{stream}", "type": toxic, "stream": stream, "toxicity": share, "attributes": attributes})

    def clean(self, name: str) -> None:
        for toxic in self.ask("GET", f"/proxies/{name}/toxics"):
            self.ask("DELETE", f"/proxies/{name}/toxics/{toxic['name']}")


class Redis(Process):
    """Keeps what it acknowledged over kill -9: each write is on the disk before its answer."""

    def __init__(self, folder: Path):
        self.port = free_port()
        (folder / "redis").mkdir()
        super().__init__("redis", folder, ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--save", "",
                                           "--appendonly", "yes", "--appendfsync", "always", "--dir", folder / "redis"])
        wait_until(self.answers, "redis-server")

    def answers(self) -> bool:
        with socket.socket() as s:
            s.settimeout(0.5)
            try:
                s.connect(("127.0.0.1", self.port))
                s.sendall(f"AUTH {PASSWORD}\r\nPING\r\n".encode())
                got = b""
                while got.count(b"\r\n") < 2:
                    part = s.recv(100)
                    if not part:
                        return False
                    got += part
                return got.endswith(b"+PONG\r\n")
            except OSError:
                return False


class Llm:
    """What a worker is told of its provider."""
    model = "sim"

    def __init__(self, port: int):
        self.url = f"http://127.0.0.1:{port}/v1"


class World:
    """Everything, and the faults as generators: World.FAULT(event). What was done is in faults and lives."""

    def __init__(self, folder: Path, delivery: str, settings: dict, seed: int, jars: str | None = None):
        """jars: of another Kafka than the tests' own."""
        self.folder, self.delivery, self.settings, self.seed, self.jars = folder, delivery, settings, seed, jars
        self.shape = schedule.shape(seed)
        self.parts: list[Process] = []
        self.lives: list[check.Life] = []
        self.processes: dict[int, Worker] = {}   # by slot: the newest
        self.wanted = set(schedule.AT_START)      # slots the supervisor keeps alive
        self.begun_anew: dict[int, float] = {}    # slot: when the supervisor starts it again
        self.faults: list[check.Fault] = []
        self.restarting: set[str] = set()         # parts that a fault has taken down, or is bringing back
        self.harness: list = []
        self.group = self.prefix = "chaos"

    def start(self) -> None:
        folder, seed = self.folder, self.seed
        self.toxiproxy = self._add(Toxiproxy(folder, seed))
        self.redis = self._add(Redis(folder))
        self.sim = self._add(Simulator(folder, "--journal", str(folder / "llm.ndjson"), "--latency", "120", "--jitter", "lognormal", "--seed", str(seed),
                                       "--api-key", API_KEY, "--keep", "0"))
        self._sim_faults("")
        self._start_kafka()
        slots = range(schedule.SLOTS)
        self.redis_ports = {slot: self.toxiproxy.proxy(f"redis-{slot}", self.redis.port) for slot in slots}
        self.llm_ports = {slot: self.toxiproxy.proxy(f"llm-{slot}", self.sim.port) for slot in slots}

    def _add(self, part):
        self.parts.append(part)
        return part

    def _start_kafka(self) -> None:
        """Two listeners a broker: the workers' behind the proxy, and the run's own, to which nothing happens but restarts. With three brokers
        the jobs and their ends are the first one's, the group's coordinator is the second, that of transactions the third."""
        self.nodes: dict[int, Kafka] = {}
        self.direct_ports: dict[int, int] = {}
        for node in range(1, self.shape["nodes"] + 1):
            self._start_node(node)
        self.kafka = self.nodes[1]
        if len(self.nodes) > 1:
            self.kafka.make(NewTopic("__consumer_offsets", 4, replica_assignment=[[schedule.NODES["group"]]] * 4, config={"cleanup.policy": "compact"}),
                            NewTopic("__transaction_state", 4, replica_assignment=[[schedule.NODES["transactions"]]] * 4,
                                     config={"cleanup.policy": "compact", "min.insync.replicas": "1"}))
        for topic in TOPICS.values():
            partitions = self.shape["partitions"] if topic == TOPICS["jobs_topic"] else schedule.PARTITIONS
            self.kafka.make(NewTopic(topic, partitions, replica_assignment=[[schedule.NODES["data"]]] * partitions))
        self.asker: AdminClient | None = None
        self.watcher = Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": self.group, "enable.auto.commit": False, "log_level": 0})
        wait_until(lambda: self.lag() == 0, "a leader of each partition that answers")

    def _start_node(self, node: int) -> None:
        inner, direct, proxied = (free_port() for _ in range(3))
        controller = self.nodes[1].controller if self.nodes else free_port()
        leads = f",CONTROLLER://127.0.0.1:{controller}" if node == 1 else ""
        self.nodes[node] = self._add(Kafka(self.folder, jars=self.jars, node=node, controller=controller, bootstrap=f"127.0.0.1:{direct}", heap="384m", **{
            "listeners": f"PLAINTEXT://127.0.0.1:{inner},DIRECT://127.0.0.1:{direct}{leads}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{proxied},DIRECT://127.0.0.1:{direct}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,DIRECT:PLAINTEXT,CONTROLLER:PLAINTEXT", "inter.broker.listener.name": "DIRECT",
            "broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "400", "transaction.max.timeout.ms": "60000",
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000"}))
        self.direct_ports[node] = direct
        self.toxiproxy.proxy(f"kafka-{node}", inner, proxied)
        self.bootstrap = ",".join(filter(None, [getattr(self, "bootstrap", ""), f"127.0.0.1:{proxied}"]))

    def end(self) -> None:
        """Ends every process; says of none that it failed, that is the checker's."""
        for part in [*self.processes.values(), *reversed(self.parts)]:
            if part.process.poll() is None:
                part.process.kill()
                part.process.wait(15)
            part.out.close()

    # ---- workers ----

    def start_worker(self, slot: int) -> None:
        name = f"w{slot}-{sum(life.slot == slot for life in self.lives) + 1}"
        exactly_once = {"worker.delivery": "exactly-once", "kafka.transaction.timeout.ms": "8000"} if self.delivery == "exactly-once" else {}
        # Both forms of Redis I/O and both kinds of membership, side by side in one group.
        variety = {1: {"worker.redis_io": "per-thread"}, 2: {"kafka.group.instance.id": "the-second"}}.get(slot, {})
        settings = {
            "kafka.group.id": self.group, "kafka.session.timeout.ms": str(SESSION_TIMEOUT_MS), "kafka.heartbeat.interval.ms": "500",
            "kafka.socket.timeout.ms": "6000", "kafka.reconnect.backoff.max.ms": "1000", "redis.key_prefix": self.prefix, "redis.lease_ms": str(LEASE_MS),
            "redis.timeout_ms": "1000", "redis.history_turns_max": "10000", "redis.pool_size": "8", "llm.history_bytes_max": "100000000",
            "worker.threads": "16", "worker.buffered_jobs_max": "300", "worker.commit_interval_ms": "300", "worker.drain_timeout_ms": "2000",
            "worker.startup_wait_ms": "60000", "retry.attempts_max": "10", "retry.backoff_ms": "20", "retry.backoff_max_ms": "1000",
            "provider.main.attempt_timeout_ms": "4000", "provider.main.connect_timeout_ms": "1000", "provider.main.api_key": API_KEY,
            "provider.main.params": json.dumps({"user": name}), **{f"worker.{key}": topic for key, topic in TOPICS.items()}, **variety, **exactly_once, **self.settings}
        self.lives.append(check.Life(name=name, slot=slot, started_ms=now_ms()))
        self.processes[slot] = Worker(self.folder, f"redis://:{PASSWORD}@127.0.0.1:{self.redis_ports[slot]}/0", Llm(self.llm_ports[slot]),
                                      bootstrap=self.bootstrap, name=name, ready=False, **settings)

    def life(self, slot: int) -> check.Life:
        return next(life for life in reversed(self.lives) if life.slot == slot)

    def signal(self, slot: int, number: int, name: str) -> None:
        self.life(slot).signals.append([now_ms(), name])
        self.processes[slot].signal(number)

    def running(self, slot: int) -> bool:
        self.look_after(slot)
        return slot in self.processes and self.life(slot).ended_ms is None

    def look_after(self, slot: int) -> None:
        """Notes an end."""
        part = self.processes.get(slot)
        if part is not None and self.life(slot).ended_ms is None and part.process.poll() is not None:
            self.life(slot).ended_ms, self.life(slot).status = now_ms(), part.process.returncode

    def supervise(self) -> None:
        """As Kubernetes would: one that ended and is wanted is started again, a second later."""
        for slot in range(schedule.SLOTS):
            if self.running(slot) or slot not in self.wanted:
                self.begun_anew.pop(slot, None)
            elif self.begun_anew.setdefault(slot, time.monotonic() + 1) <= time.monotonic():
                del self.begun_anew[slot]
                self.start_worker(slot)

    # ---- faults: each yields seconds to wait ----

    def play(self, event: dict):
        fault = check.Fault(do=event["do"], from_ms=now_ms(), to_ms=2**62, slot=event.get("slot"))
        self.faults.append(fault)
        if (yield from getattr(self, event["do"])(event)) == SKIPPED:
            fault.do += SKIPPED
        fault.to_ms = now_ms()

    def _take_worker(self, event: dict, number: int, name: str, again: bool = False):
        slot = event["slot"]
        if not self.running(slot):
            return SKIPPED
        self.wanted.discard(slot)
        self.signal(slot, number, name)
        if again:
            yield event["for_s"]
            if self.running(slot):
                self.signal(slot, number, name)
        until = time.monotonic() + DRAIN_LIMIT_S
        while self.running(slot):
            if time.monotonic() > until:
                self.harness.append(["drain_hangs", self.life(slot).name, f"{name} was sent {DRAIN_LIMIT_S} s ago: {self.life(slot).signals}"])
                self.signal(slot, 9, "KILL")
            yield 0.05

    def _replace_worker(self, event: dict, number: int, name: str, again: bool = False):
        if (yield from self._take_worker(event, number, name, again)) == SKIPPED:
            return SKIPPED
        yield event["for_s"]
        self.wanted.add(event["slot"])
        if not self.running(event["slot"]):
            self.start_worker(event["slot"])

    def kill_worker(self, event):
        return (yield from self._replace_worker(event, 9, "KILL"))

    def term_worker(self, event):
        return (yield from self._replace_worker(event, 15, "TERM"))

    def hasty_term_worker(self, event):
        return (yield from self._replace_worker(event, 15, "TERM", again=True))

    def stop_worker(self, event):
        slot = event["slot"]
        if not self.running(slot):
            return SKIPPED
        self.signal(slot, 19, "STOP")
        yield event["for_s"]
        self.signal(slot, 18, "CONT")

    def add_worker(self, event):
        self.wanted.add(event["slot"])
        yield event["for_s"]
        yield from self._take_worker(event, 15, "TERM")
        self.wanted.discard(event["slot"])

    def _restart(self, part: Process, number: int, event: dict, answers):
        if part.name in self.restarting:  # on a slow machine the one before isn't through: two of one folder would ruin it
            return SKIPPED
        self.restarting.add(part.name)
        part.signal(number)
        while part.process.poll() is None:
            yield 0.05
        yield event["for_s"]
        part.again()
        until = time.monotonic() + RETURN_LIMIT_S
        while not answers():
            assert time.monotonic() < until, f"{part.name} doesn't come back (status {part.process.poll()}): {part.text()[-2000:]}"
            if part.process.poll() is not None:  # a start that failed is tried again, as a supervisor would
                self.faults.append(check.Fault(do=f"{part.name}_start_failed", from_ms=now_ms(), to_ms=now_ms()))
                yield 1.0
                part.again()
            yield 0.05
        self.restarting.discard(part.name)

    def broker_term(self, event):
        return (yield from self._restart(self.nodes[event["node"]], 15, event, lambda: listens(self.direct_ports[event["node"]])))

    def broker_kill(self, event):
        return (yield from self._restart(self.nodes[event["node"]], 9, event, lambda: listens(self.direct_ports[event["node"]])))

    def redis_term(self, event):
        return (yield from self._restart(self.redis, 15, event, self.redis.answers))

    def redis_kill(self, event):
        return (yield from self._restart(self.redis, 9, event, self.redis.answers))

    def _proxies(self, event: dict) -> list[str]:
        what, part = event["do"].split("_")[:2]
        if what == "kafka":
            return [f"kafka-{node}" for node in ([schedule.NODES[part]] if part in schedule.NODES else self.nodes)]
        return [f"{what}-{slot}" for slot in (range(schedule.SLOTS) if event["slot"] == schedule.EVERYWHERE else [event["slot"]])]

    def _cut(self, event):
        for name in self._proxies(event):
            self.toxiproxy.enable(name, False)
        yield event["for_s"]
        for name in self._proxies(event):
            self.toxiproxy.enable(name, True)

    def _toxic(self, event, toxic: str, streams=("upstream", "downstream"), **attributes):
        for name in self._proxies(event):
            self.toxiproxy.add(name, toxic, streams, **attributes)
        yield event["for_s"]
        for name in self._proxies(event):
            self.toxiproxy.clean(name)

    def _stall(self, event):
        yield from self._toxic(event, "timeout", timeout=0)

    def _silent(self, event):
        """Longer than a stall, and the connections never speak again."""
        yield from self._stall(event)
        for name in self._proxies(event):
            self.toxiproxy.enable(name, False)
            self.toxiproxy.enable(name, True)

    def kafka_stall_some(self, event):
        yield from self._toxic(event, "timeout", ("upstream",), share=0.5, timeout=0)

    def _slow(self, event):
        yield from self._toxic(event, "latency", ("downstream",), latency=150, jitter=100)

    def _reset(self, event):
        yield from self._toxic(event, "reset_peer", ("downstream",), timeout=0)

    kafka_cut = redis_cut = llm_cut = kafka_group_cut = kafka_transactions_cut = _cut
    kafka_stall = redis_stall = llm_stall = _stall
    kafka_slow = redis_slow = llm_slow = _slow
    kafka_reset = redis_reset = llm_reset = _reset
    kafka_silent = redis_silent = llm_silent = kafka_group_silent = kafka_transactions_silent = kafka_data_silent = _silent

    def llm_clip(self, event):
        yield from self._toxic(event, "limit_data", ("downstream",), bytes=900)

    def _sim_faults(self, rules: str) -> None:
        """These, and what the seed's provider does throughout."""
        if self.shape["limited"]:
            rules = "; ".join(filter(None, [rules, f"429 retry-after-ms=80 rate={self.shape['limited']}"]))
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{self.sim.port}/sim/faults", method="POST", data=rules.encode()), timeout=10).close()

    def llm_outage(self, event):
        self._sim_faults("503")
        yield event["for_s"]
        self._sim_faults("")

    # ---- the end ----

    def heal(self) -> None:
        for name in self.toxiproxy.ask("GET", "/proxies"):
            self.toxiproxy.clean(name)
            self.toxiproxy.enable(name, True)
        self._sim_faults("")
        self.wanted = set(schedule.AT_START)

    def lag(self) -> int:
        """Records the group hasn't committed; -1: the broker doesn't say, lag_unknown has why. Two requests, however many partitions."""
        partitions = [TopicPartition(TOPICS["jobs_topic"], p) for p in range(self.shape["partitions"])]
        try:
            self.asker = self.asker or AdminClient({"bootstrap.servers": self.kafka.bootstrap, "log_level": 0})
            ends = self.asker.list_offsets({partition: OffsetSpec.latest() for partition in partitions}, request_timeout=5)
            committed = {place.partition: max(place.offset, 0) for place in self.watcher.committed(partitions, 5)}
            return sum(end.result().offset - committed[partition.partition] for partition, end in ends.items())
        except Exception as e:  # noqa: BLE001  KafkaException: not back yet
            self.lag_unknown = f"{type(e).__name__}: {e}"
            self.asker = None  # it keeps the leaders' epochs as it first heard them, and is fenced with them once a broker was started again
            return -1

    def config(self) -> dict:
        """What check.py wants to know."""
        return {"delivery": self.delivery, "lease_ms": LEASE_MS, "secrets": [schedule.MARKER, PASSWORD, API_KEY], "bootstrap": self.kafka.bootstrap,
                "redis": f"redis://:{PASSWORD}@127.0.0.1:{self.redis.port}/0", "group": self.group, "prefix": self.prefix, "harness": self.harness, **TOPICS}


__all__ = ["BIN", "World", "now_ms"]
