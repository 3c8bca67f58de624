"""One test's world: starts parts in a private folder, remembers them, ends them."""
import os
import subprocess
import tempfile
from pathlib import Path

import parts
import raw_http
import redis_front
import scripted


class Stage:
    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="chat-test-"))
        self.started = []

    def end(self):
        """CHAT_TEST_KEEP=1 leaves the folder with the logs."""
        parts.finish(self.started, None if os.environ.get("CHAT_TEST_KEEP") else self.folder)

    def _add(self, part):
        self.started.append(part)
        return part

    def redis(self, *options, **server):
        return self._add(parts.Redis(self.folder, *options, **server))

    def redis_front(self, redis):
        return self._add(redis_front.Front(self.folder, redis))

    def redis_tls(self):
        return self._add(parts.RedisTls(self.folder))

    def simulator(self, *options):
        return self._add(parts.Simulator(self.folder, *options))

    def scripted(self, script):
        return self._add(scripted.Scripted(script))

    def raw(self, script, tls=False, **options):
        """Over TLS its certificate vouches for itself: `ca`."""
        identity = parts.certificate(self.folder, "raw") if tls else None
        server = self._add(raw_http.RawServer(script, identity, **options))
        server.ca = identity[0] if tls else None
        return server

    def tls_front(self, llm, *hosts, **options):
        return self._add(parts.TlsFront(self.folder, llm, *hosts, **options))

    def proxy(self, *options, **named):
        return self._add(parts.Proxy(self.folder, *options, **named))

    def kafka(self, **server):
        return self._add(parts.Kafka(self.folder, **server))

    def kafka_mock(self, brokers=1, **topics):
        return self._add(parts.KafkaMock(self.folder, brokers, **topics))

    def model(self, **options):
        return self._add(parts.Model(self.folder, **options))

    def worker(self, redis, llm, **options):
        """CHAT_TLS=1: the simulator that is its provider `main` is asked over https."""
        if os.environ.get("CHAT_TLS") and isinstance(llm, parts.Simulator) and "provider.main.url" not in options:
            llm = self.tls_front(llm, name=f"front-{len(self.started)}")
            options.setdefault("provider.main.ca_file", str(llm.ca))
        return self._add(parts.Worker(self.folder, redis.url, llm, **options))

    def producer(self, worker, *arguments, stdin="", check=None):
        """Runs chat-producer against the worker's broker."""
        done = subprocess.run([str(parts.BIN / "chat-producer"), *arguments, "-b", worker.bootstrap], input=stdin, text=True,
                              capture_output=True, timeout=parts.LIMIT_S, env={**os.environ, "XDG_RUNTIME_DIR": str(worker.runtime)})
        if check is not None:
            assert done.returncode == check, f"exit {done.returncode}: {done.stdout} {done.stderr}"
        return done

    def check_config(self, *arguments, env=None):
        return subprocess.run([str(parts.BIN / "chat-worker"), *arguments], text=True, capture_output=True, timeout=parts.LIMIT_S, env={**os.environ, **(env or {})})
