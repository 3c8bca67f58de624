"""Whose certificates are taken: a ca_file's alone, for providers and context sources."""
import os
import subprocess

import pytest
from parts import BIN, LIMIT_S, Topics


def ask(worker, job="j"):
    topics = Topics(worker.bootstrap)
    topics.send({"id": job, "message": "hi"}, key="s")
    return topics.reply_of(job)


def test_each_provider_trusts_its_own_authority_at_the_same_server_too(stage):
    """Neither connection nor session of the one that trusts the server serves the one that doesn't: main fails each time."""
    redis, sim = stage.redis(), stage.simulator()
    front, other = stage.tls_front(sim), stage.tls_front(sim, name="other")
    worker = stage.worker(redis, front, **{"llm.providers": "main,right", "worker.threads": "1", "provider.main.ca_file": str(other.ca),
                                           "provider.right.ca_file": str(front.ca), "provider.right.url": front.url, "provider.right.model": "sim"})
    for job in ("one", "two", "three"):
        reply = ask(worker, job)
        assert (reply["status"], reply["provider"]) == ("ok", "right")
    assert worker.metric("llm_call_failures_total") == 3 and sim.stats()["requests"] == 3


def test_a_ca_file_replaces_what_the_environment_names(stage):
    redis, sim = stage.redis(), stage.simulator()
    front, other = stage.tls_front(sim), stage.tls_front(sim, name="other")
    worker = stage.worker(redis, front, env={"SSL_CERT_FILE": str(front.ca)},
                          **{"llm.providers": "main,plain", "provider.main.ca_file": str(other.ca), "provider.plain.url": sim.url, "provider.plain.model": "sim"})
    reply = ask(worker)
    assert (reply["status"], reply["provider"]) == ("ok", "plain")


def test_a_context_has_a_ca_file_too(stage):
    redis, sim = stage.redis(), stage.simulator()
    front = stage.tls_front(sim)
    where = front.url.removesuffix("/v1") + "/sim/stats"
    worker = stage.worker(redis, sim, **{"llm.contexts": "seen,unseen", "context.seen.url": where, "context.seen.ca_file": str(front.ca), "context.seen.timeout_ms": "60000", "context.unseen.url": where,
                                         "context.unseen.timeout_ms": "60000"})
    assert ask(worker)["status"] == "ok"
    (failed,) = worker.events("context_failed")
    assert (failed["context"], failed["code"]) == ("unseen", "tls_failed")


FILES = {"missing": None, "empty": "", "no PEM": "hello\n", "broken": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}


@pytest.mark.parametrize("check", [True, False], ids=["check", "start"])
@pytest.mark.parametrize("section", ["provider.main", "context.profile", "SSL_CERT_FILE"])
@pytest.mark.parametrize("what", FILES)
def test_a_file_that_holds_no_certificate_is_refused(stage, what, section, check):
    file = stage.folder / "ca.pem"
    if FILES[what] is not None:
        file.write_text(FILES[what])
    settings = {"kafka.bootstrap.servers": "embedded", "redis.url": f"unix://{stage.folder}/none.sock", "provider.main.url": "https://127.0.0.1:9/v1", "provider.main.model": "m",
                "llm.contexts": "profile", "context.profile.url": "http://127.0.0.1:9/", "admin.listen": "127.0.0.1:0"}
    env = {"XDG_RUNTIME_DIR": str(stage.folder)}
    if section == "SSL_CERT_FILE":
        env[section] = str(file)
    else:
        settings[f"{section}.ca_file"] = str(file)
    command = [BIN / "chat-worker", *(["--check-config"] if check else []), *(part for key, value in settings.items() for part in ("-X", f"{key}={value}"))]
    done = subprocess.run(command, text=True, capture_output=True, timeout=LIMIT_S, env={**os.environ, **env})
    assert done.returncode == 78, done.stderr
    named = section if section == "SSL_CERT_FILE" else section.replace(".", " ") + ": ca_file"
    assert named in done.stderr and str(file) in done.stderr


