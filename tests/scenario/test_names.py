"""The names of servers: looked up once for all who wait, beside the calls of others, by a name service that the test leads."""
import os
import re
import subprocess

import pytest
from parts import BIN, LIMIT_S, NameService, Topics, wait_until

JOBS = 400


class Named:
    """The simulator by a name."""

    def __init__(self, sim, name, scheme="http"):
        self.url, self.model = f"{scheme}://{name}:{sim.port}/v1", "sim"


def threads(worker) -> int:
    return int(re.search(r"^Threads:\s+(\d+)", open(f"/proc/{worker.pid}/status").read(), re.M).group(1))


def test_a_first_wave_has_a_host_looked_up_once(stage):
    redis, sim, names = stage.redis(), stage.simulator("--latency", "100"), NameService(stage.folder, model_test="hold")
    worker = stage.worker(redis, Named(sim, "model.test"), env=names.env,
                          **{"worker.threads": str(JOBS), "provider.main.connect_timeout_ms": "60000", "provider.main.attempt_timeout_ms": "60000"})
    topics = Topics(worker.bootstrap)
    before = threads(worker)
    for i in range(JOBS):
        topics.producer.produce(topics.jobs, value=f'{{"id":"j{i}","message":"hi"}}', key=f"s{i}")
    topics.producer.flush(30)
    wait_until(lambda: worker.metric("threads_busy") == JOBS, "a call of each thread")
    wait_until(lambda: names.asked("model.test") > 0, "the look-up")
    waiting = threads(worker) - before
    assert names.asked("model.test") == 1 and waiting <= 8, f"{names.asked('model.test')} look-ups, {waiting} more threads"
    assert sim.stats()["requests"] == 0
    names.say(model_test="127.0.0.1")
    assert {reply["status"] for reply in topics.replies(JOBS).values()} == {"ok"}
    assert names.asked("model.test") <= 3, "at most a renewal or two, should this have taken minutes"
    wait_until(lambda: worker.metric("dns_lookups_total") == names.asked("model.test"), "each counted")


def test_a_name_that_nobody_answers_for_holds_no_other_provider_up(stage):
    redis, sim, names = stage.redis(), stage.simulator(), NameService(stage.folder, stuck_test="hold", model_test="127.0.0.1")
    worker = stage.worker(redis, Named(sim, "stuck.test"), env=names.env,
                          **{"llm.providers": "main,other", "llm.strategy": "race", "provider.other.url": Named(sim, "model.test").url, "provider.other.model": "sim",
                             "provider.main.connect_timeout_ms": "60000", "provider.main.attempt_timeout_ms": "60000"})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    reply = topics.reply_of("j")
    assert (reply["status"], reply["provider"]) == ("ok", "other")
    assert worker.metric("llm_call_failures_total") == 0, "nothing ended the look-up: its call was given up for the other's answer"
    wait_until(lambda: names.asked("stuck.test") == 1, "its look-up, which has a thread of its own")


def test_a_look_up_that_hangs_is_cut_by_a_cancel_and_by_the_time_to_connect(stage):
    redis, sim, names = stage.redis(), stage.simulator(), NameService(stage.folder, model_test="hold")
    worker = stage.worker(redis, Named(sim, "model.test"), env=names.env, **{"provider.main.connect_timeout_ms": "60000", "provider.main.attempt_timeout_ms": "60000"})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "unwanted", "message": "hi"}, key="s")
    wait_until(lambda: names.asked("model.test") == 1, "the look-up")
    topics.cancel("unwanted")
    assert topics.reply_of("unwanted")["error"]["code"] == "cancelled"
    assert worker.metric("llm_call_failures_total") == 0, "it wasn't the time that ended the call"
    impatient = stage.worker(redis, Named(sim, "model.test"), env=names.env, name="impatient",
                             **{"llm.providers": "main,other", "provider.main.connect_timeout_ms": "200", "provider.main.attempt_timeout_ms": str(3_600_000),
                                "provider.other.url": sim.url, "provider.other.model": "sim", "redis.key_prefix": "two"})
    topics = Topics(impatient.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    reply = topics.reply_of("j")
    assert (reply["status"], reply["provider"]) == ("ok", "other")


def test_a_failed_look_up_is_shared_costs_no_attempt_and_is_made_again(stage):
    redis, sim, names = stage.redis(), stage.simulator(), NameService(stage.folder, model_test="hold")
    worker = stage.worker(redis, Named(sim, "model.test"), env=names.env,
                          **{"retry.attempts_max": "1", "provider.main.connect_timeout_ms": "60000", "provider.main.attempt_timeout_ms": "60000"})
    topics = Topics(worker.bootstrap)
    for i in range(20):
        topics.send({"id": f"j{i}", "message": "hi"}, key=f"s{i}")
    wait_until(lambda: worker.metric("threads_busy") == 20, "a call of each")
    wait_until(lambda: names.asked("model.test") > 0, "the look-up")
    assert names.asked("model.test") == 1
    names.say(model_test="fail AGAIN")
    wait_until(lambda: worker.metric("llm_call_failures_total") >= 20, "all of them told")
    assert sim.stats()["requests"] == 0
    names.say(model_test="127.0.0.1")
    assert {reply["status"] for reply in topics.replies(20).values()} == {"ok"}


def test_a_server_that_moved_is_found(stage):
    """127.0.0.2 refuses: nobody listens there."""
    redis, sim, names = stage.redis(), stage.simulator(), NameService(stage.folder, model_test="127.0.0.2")
    worker = stage.worker(redis, Named(sim, "model.test"), env=names.env)
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    wait_until(lambda: worker.metric("llm_call_failures_total") > 0, "a call that failed")
    names.say(model_test="127.0.0.1")
    assert topics.reply_of("j")["status"] == "ok" and names.asked("model.test") > 1


def test_of_two_families_the_one_that_answers_is_used(stage):
    redis, sim, names = stage.redis(), stage.simulator(), NameService(stage.folder, model_test="::1,127.0.0.2,127.0.0.1")
    worker = stage.worker(redis, Named(sim, "model.test"), env=names.env)
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    reply = topics.reply_of("j")
    assert reply["status"] == "ok" and reply["attempts"] == 1


@pytest.mark.parametrize("name", ["model.test", "MODEL.Test", "model.test.", "xn--bcher-kva.test", "localhost.", "a.localhost."])
def test_a_name_is_looked_up_by_us_alone_however_it_is_written(stage, name):
    plain = name.lower()
    redis, sim, names = stage.redis(), stage.simulator(), NameService(stage.folder, **{plain.replace(".", "_"): "127.0.0.1"})
    worker = stage.worker(redis, Named(sim, name), env=names.env)
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    assert topics.reply_of("j")["status"] == "ok"
    assert (names.asked(plain), worker.metric("dns_lookups_total")) == (1, 1)


def test_over_tls_the_certificate_must_be_the_names(stage):
    redis, sim, names = stage.redis(), stage.simulator(), NameService(stage.folder, model_test="127.0.0.1", other_test="127.0.0.1")
    front = stage.tls_front(sim, "model.test")
    worker = stage.worker(redis, Named(front, "other.test", "https"), env=names.env,
                          **{"llm.providers": "main,right", "provider.main.ca_file": str(front.ca), "provider.right.ca_file": str(front.ca),
                             "provider.right.url": Named(front, "model.test", "https").url, "provider.right.model": "sim"})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    reply = topics.reply_of("j")
    assert (reply["status"], reply["provider"]) == ("ok", "right")
    assert set(front.named.read_text().split()) == {"other.test", "model.test"}, "each was named in its handshake"
    assert worker.metric("llm_call_failures_total") == 1


# ---- proxies ----


def proxied(stage, redis, sim, env, name="worker", **settings):
    """The topics of a worker with this environment, whose provider isn't on this machine by its name."""
    names = NameService(stage.folder, model_test="127.0.0.1")
    worker = stage.worker(redis, Named(sim, "model.test"), env={**names.env, **env}, name=name, **{"redis.key_prefix": name, **settings})
    return Topics(worker.bootstrap)


def answered(topics, job="j"):
    topics.send({"id": job, "message": "hi"}, key="s")
    reply = topics.reply_of(job)
    assert reply["status"] == "ok", reply
    return reply


@pytest.mark.parametrize("setting", [None, "none", "environment"])
def test_a_proxy_of_the_environment_is_used_only_if_a_setting_says_so(stage, setting):
    sim, proxy = stage.simulator(), stage.proxy()
    answered(proxied(stage, stage.redis(), sim, {"http_proxy": proxy.url, "no_proxy": "", "NO_PROXY": ""}, **({"provider.main.proxy": setting} if setting else {})))
    assert [asked["target"] for asked in proxy.asked()] == ([f"http://model.test:{sim.port}/v1/chat/completions"] if setting == "environment" else [])


@pytest.mark.parametrize("setting", [None, "environment", "url"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_never_asked_through_a_proxy(stage, setting, host):
    """A proxy that can't be reached: whoever went through it would wait for ever."""
    redis, sim, gone = stage.redis(), stage.simulator(), "http://127.0.0.1:9"
    settings = {} if setting is None else {"provider.main.proxy": gone if setting == "url" else setting}
    worker = stage.worker(redis, Named(sim, host), env={"http_proxy": gone, "all_proxy": gone, "ALL_PROXY": gone, "no_proxy": "", "NO_PROXY": ""}, **settings)
    answered(Topics(worker.bootstrap))


def test_no_proxy_counts_with_the_environment_alone(stage):
    redis, sim, proxy = stage.redis(), stage.simulator(), stage.proxy()
    answered(proxied(stage, redis, sim, {"http_proxy": proxy.url, "no_proxy": ".test"}, **{"provider.main.proxy": "environment"}))
    assert proxy.asked() == []
    answered(proxied(stage, redis, sim, {"no_proxy": ".test"}, name="second", **{"provider.main.proxy": proxy.url}))
    assert len(proxy.asked()) == 1


def test_a_proxys_password_is_a_secret_and_its_name_is_looked_up_once(stage):
    secret = stage.folder / "proxy-url"
    redis, sim, proxy = stage.redis(), stage.simulator(), stage.proxy()
    names = NameService(stage.folder, proxy_test="127.0.0.1", model_test="fail NONAME")
    secret.write_text(f"http://me:sesame@proxy.test:{proxy.port}\n")
    settings = {"provider.main.proxy_file": str(secret), "log.level": "debug"}
    worker = stage.worker(redis, Named(sim, "model.test"), env=names.env, **settings)
    answered(Topics(worker.bootstrap))
    (asked,) = proxy.asked()
    assert asked["headers"]["Proxy-Authorization"] == "Basic bWU6c2VzYW1l"
    assert names.asked("proxy.test") == 1 and names.asked("model.test") == 0, "the proxy looks the server up"
    done = subprocess.run([BIN / "chat-worker", "-X", "kafka.bootstrap.servers=embedded", "-X", "provider.main.url=http://model.test/v1", "-X", "provider.main.model=m",
                           "-X", f"provider.main.proxy_file={secret}", "--print-config"], text=True, capture_output=True, timeout=LIMIT_S, env={**os.environ, **names.env})
    assert "proxy = http://me:***@proxy.test" in done.stdout
    assert "sesame" not in worker.text() + done.stdout + done.stderr


@pytest.mark.parametrize("proxy", ["http://proxy.test", "https://proxy.test", "socks5h://proxy.test"])
def test_a_proxy_without_a_port_is_looked_up_by_us_alone(stage, proxy):
    """Nobody listens there: the call fails, and is made again."""
    names = NameService(stage.folder, proxy_test="127.0.0.2")
    worker = stage.worker(stage.redis(), Named(stage.simulator(), "model.test"), env=names.env, **{"provider.main.proxy": proxy})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    wait_until(lambda: worker.metric("llm_call_failures_total") >= 2, "two calls that failed")
    assert 1 <= names.asked("proxy.test") <= worker.metric("dns_lookups_total")


def test_through_a_proxy_https_is_a_tunnel_that_reads_nothing(stage):
    sim, proxy = stage.simulator(), stage.proxy()
    front, names = stage.tls_front(sim, "model.test"), NameService(stage.folder)
    worker = stage.worker(stage.redis(), Named(front, "model.test", "https"), env=names.env,
                          **{"provider.main.proxy": proxy.url, "provider.main.ca_file": str(front.ca), "provider.main.api_key": "sk-sesame"})
    answered(Topics(worker.bootstrap))
    (asked,) = proxy.asked()
    assert (asked["method"], asked["target"]) == ("CONNECT", f"model.test:{front.port}") and "sesame" not in str(asked)
    assert front.named.read_text().split() == ["model.test"]


def test_a_provider_s_headers_go_through_the_tunnel_to_it_alone(stage):
    """Not to the proxy, and not to the provider that is asked before."""
    sim, spare, proxy = stage.simulator(), stage.simulator(), stage.proxy()
    front, names = stage.tls_front(sim, "model.test"), NameService(stage.folder)
    worker = stage.worker(stage.redis(), Named(front, "model.test", "https"), env=names.env,
                          **{"provider.main.proxy": proxy.url, "provider.main.ca_file": str(front.ca), "provider.main.headers": '{"Authorization":"Bearer sesame"}',
                             "llm.providers": "spare,main", "provider.spare.url": spare.url, "provider.spare.model": spare.model})
    spare.faults("500")
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    assert topics.reply_of("j")["provider"] == "main"
    (asked,), (before,) = sim.get("/sim/requests?last=1"), spare.get("/sim/requests?last=1")
    assert asked["headers"]["authorization"] == "Bearer sesame" and "sesame" not in str(before) + str(proxy.asked()) + worker.text()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_or_is_away_costs_no_attempt(stage, scheme):
    redis, sim, proxy = stage.redis(), stage.simulator(), stage.proxy("407")
    front = stage.tls_front(sim, "model.test")
    worker = stage.worker(redis, Named(front if scheme == "https" else sim, "model.test", scheme), env=NameService(stage.folder).env,
                          **{"provider.main.proxy": proxy.url, "provider.main.ca_file": str(front.ca), "retry.attempts_max": "1"})
    topics = Topics(worker.bootstrap)
    topics.send({"id": "j", "message": "hi"}, key="s")
    wait_until(lambda: len(proxy.asked()) >= 2, "asked again")
    assert worker.metric("jobs_dead_total") == 0
    assert sim.stats()["requests"] == 0
