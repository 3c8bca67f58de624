"""What docs/operations.md says is there before it begins, under the names that it has there: a Kafka with SASL over TLS and rights, a Redis with TLS, two providers, a registry, the command
lines, and two nodes that run what is scheduled to them. All are real, but the providers, which are simulated; the names lead to this machine."""
from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import own_network
import parts
from images import Images
from node import Node
from pod_network import PodNetwork

HOSTS = {f"{name}.example.com": f"10.96.1.{number}" for number, name in enumerate(("registry", "kafka", "redis", "llm", "other"), 1)}
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
KAFKAS = {"kafka-topics.sh": "org.apache.kafka.tools.TopicCommand", "kafka-acls.sh": "org.apache.kafka.tools.AclCommand", "kafka-configs.sh": "kafka.admin.ConfigCommand",
          "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"}
LOGIN = "org.apache.kafka.common.security"
RULE = re.search(r"ACL SETUSER chat on >PASSWORD (.*)", (parts.ROOT / "docs/redis.md").read_text())[1]


class Lab:
    def __init__(self, stage, cluster, folder: Path, passwords: dict[str, str]):
        """folder: where commands are run. passwords: admin (of Kafka), redis, main and other (the providers' keys)."""
        self.stage, self.cluster, self.folder = stage, cluster, folder
        own_network.know(HOSTS, stage.folder / "hosts")
        self.ca, self.key = parts.certificate(stage.folder, "lab", *HOSTS)
        self.bundle = stage.folder / "authorities.pem"
        self.bundle.write_text(Path(BUNDLE).read_text() + self.ca.read_text())
        shutil.copy(self.ca, self.folder / "kafka.pem")
        self.env = self._command_lines()
        self._registry()
        self._kafka(passwords["admin"])
        self._redis(passwords["redis"])
        self.llm, self.other = (self._provider(name, passwords[key]) for name, key in (("llm", "main"), ("other", "other")))
        self._nodes()

    # ---- what listens ----

    def _registry(self) -> None:
        config = self.stage.folder / "registry.yml"
        config.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {self.stage.folder}/registry}}}}\n"
                          f"http: {{addr: '{HOSTS['registry.example.com']}:443', tls: {{certificate: {self.ca}, key: {self.key}}}}}\n")
        registry = self.stage._add(parts.Process("registry", self.stage.folder, [os.environ["CHAT_REGISTRY"], "serve", config]))
        parts.wait_until(lambda: "listening on" in registry.text(), "the registry")

    def _kafka(self, password: str) -> None:
        """Pods sign in by SCRAM, the administrator by PLAIN."""
        plain, controller, keys = parts.free_port(), parts.free_port(), self.stage.folder / "kafka-keys.pem"
        keys.write_text(self.key.read_text() + self.ca.read_text())
        self.kafka = self.stage.kafka(bootstrap=f"127.0.0.1:{plain}", controller=controller, **{
            "listeners": f"PLAINTEXT://127.0.0.1:{plain},SASL_SSL://{HOSTS['kafka.example.com']}:9093,CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{plain},SASL_SSL://kafka.example.com:9093",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL", "ssl.keystore.type": "PEM", "ssl.keystore.location": str(keys),
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN", "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{LOGIN}.scram.ScramLoginModule required;",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": f'{LOGIN}.plain.PlainLoginModule required user_admin="{password}";',
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users": "User:ANONYMOUS;User:admin"})

    def _redis(self, password: str) -> None:
        self.redis = self.stage.redis("--tls-port", "6379", "--bind", HOSTS["redis.example.com"], "--protected-mode", "no", "--tls-cert-file", str(self.ca), "--tls-key-file", str(self.key),
                                      "--tls-ca-cert-file", str(self.ca), "--tls-auth-clients", "no")
        self.redis.client.execute_command("ACL", "SETUSER", "chat", "on", f">{password}", *RULE.split())

    def _provider(self, name: str, key: str) -> parts.Simulator:
        simulator, folder = self.stage.simulator("--api-key", key), self.stage.folder
        front = self.stage._add(parts.Process(f"front-{name}", folder, [parts.sys.executable, parts.ROOT / "tests/lib/tls_front.py", self.ca, self.key, str(simulator.port), folder / f"front-{name}.port",
                                                                       folder / f"front-{name}.named", HOSTS[f"{name}.example.com"], "443"]))
        parts.wait_until((folder / f"front-{name}.port").exists, f"{name}'s TLS")
        assert front.process.poll() is None
        return simulator

    def _nodes(self) -> None:
        """In the place of kwok's, to which nothing is scheduled any more."""
        self.fake = [node["metadata"]["name"] for node in self.cluster.list("nodes")]
        self.cluster.kubectl("cordon", *self.fake)
        self.network, self.images = PodNetwork(), Images(self.stage.folder, self.env)
        files = {"/etc/hosts": self.stage.folder / "hosts", BUNDLE: self.bundle}
        self.nodes = [self.stage._add(Node(self.cluster, name, self.stage.folder, self.network, self.images, files)) for name in ("node-a", "node-b")]

    # ---- what an operator has ----

    def _command_lines(self) -> dict[str, str]:
        home, programs = self.stage.folder / "home", self.stage.folder / "programs"
        (home / ".config/containers").mkdir(parents=True)
        (home / ".config/containers/policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        programs.mkdir()
        for name, path in {"kubectl": self.cluster.kubectl_program, "helm": self.cluster.helm_program, "chat-producer": parts.BIN / "chat-producer"}.items():
            (programs / name).symlink_to(path)
        for name, main in KAFKAS.items():  # what Kafka's own scripts come to
            (programs / name).write_text(f'#!/bin/sh\nexec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "{os.environ["CHAT_KAFKA_JARS"]}/*" {main} "$@"\n')
            (programs / name).chmod(stat.S_IRWXU)
        return {**self.cluster.env, "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(home), "SSL_CERT_FILE": str(self.bundle)}

    def run(self, command: str) -> str:
        """What it prints, in a shell of its own, as somebody would see it."""
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=parts.LIMIT_S * 4, env=self.env, cwd=self.folder)
        assert done.returncode == 0, f"exit {done.returncode}: {command}\n{done.stdout[-3000:]}\n{self.failures()}"
        return done.stdout

    # ---- what its pods do ----

    def failures(self) -> list[str]:
        return [failure for node in self.nodes for failure in node.failures]

    def pods(self) -> list:
        """All that ran here, the oldest first."""
        return sorted((pod for node in self.nodes for pod in node.pods.values()), key=lambda pod: pod.pod["metadata"]["creationTimestamp"])

    def workers(self) -> list:
        """The containers of the workers' pods that run now."""
        return [pod.containers[-1] for pod in self.pods() if pod.containers and pod.spec["name"] == "chat-worker" and pod.containers[-1].process.poll() is None]

    def logs(self) -> dict[str, str]:
        """By container, also of those that have ended."""
        return {container.name: container.text() for pod in self.pods() for container in pod.containers}

    def leave(self) -> None:
        """The cluster is as it was."""
        try:
            for node in self.nodes:
                node.end()
        finally:
            self.cluster.kubectl("delete", "node", *(node.name for node in self.nodes))
            self.cluster.kubectl("uncordon", *self.fake)
