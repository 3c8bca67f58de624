"""rediss://: spoken where hiredis has TLS (Debian 13), refused with a remedy where it has none (Debian 12)."""
import platform

import pytest
from parts import Topics

HAS_TLS = platform.freedesktop_os_release()["VERSION_ID"] != "12"


@pytest.mark.skipif(not HAS_TLS, reason="Debian 12's hiredis has no TLS")
def test_history_is_kept_over_tls(stage):
    redis, sim = stage.redis_tls(), stage.simulator()
    worker = stage.worker(redis, sim, env={"SSL_CERT_FILE": str(redis.ca)})
    topics = Topics(worker.bootstrap)
    for n in range(3):
        topics.send({"id": f"j{n}", "message": f"question {n}"}, key="s")
    assert {r["status"] for r in topics.replies(3).values()} == {"ok"}
    (last,) = sim.get("/sim/requests?last=1")
    assert [m["role"] for m in last["body"]["messages"]] == ["user", "assistant", "user", "assistant", "user"]


@pytest.mark.skipif(not HAS_TLS, reason="Debian 12's hiredis has no TLS")
def test_a_redis_whose_certificate_nobody_knows_is_refused_at_start(stage):
    redis = stage.redis_tls()
    worker = stage.worker(redis, stage.simulator(), ready=False)
    assert worker.wait() == 69
    assert "certificate" in worker.text() and redis.url.removeprefix("rediss://") in worker.text()


@pytest.mark.skipif(HAS_TLS, reason="this hiredis has TLS")
def test_without_tls_in_hiredis_it_is_a_settings_error_with_a_remedy(stage):
    done = stage.check_config("--check-config", "-X", "kafka.bootstrap.servers=embedded", "-X", "redis.url=rediss://h", "-X", "provider.main.url=http://h/v1", "-X", "provider.main.model=m")
    assert done.returncode == 78 and "redis.url" in done.stderr and "stunnel" in done.stderr
