"""What each Redis and Valkey says when it can't, or won't, serve the worker: nothing that ends a job."""
import json
import re
import signal
import threading

import pytest
import redis as client
from parts import ROOT, Topics, redis_servers, wait_until

SETTINGS = {"worker.threads": "8", "retry.attempts_max": "2", "retry.backoff_ms": "20", "retry.backoff_max_ms": "200", "provider.main.attempt_timeout_ms": "60000"}
RULE = re.search(r"ACL SETUSER chat on >PASSWORD (.*)", (ROOT / "docs/redis.md").read_text()).group(1)
RIGHTS = re.findall(r"\+(\S+)", RULE)


SERVERS = redis_servers()


@pytest.fixture(params=list(SERVERS))
def server(request):
    return SERVERS[request.param]


@pytest.fixture(params=[*((name, "batched") for name in SERVERS), (next(iter(SERVERS)), "per-thread")], ids="-".join)
def server_and_io(request):
    """Each server, and both forms of Redis I/O on one."""
    name, redis_io = request.param
    return SERVERS[name], redis_io


# ---- outages of a worker that runs: how each begins and ends ----


def cannot_save(redis):
    """It wants to save, and where the file should be there is a folder."""
    (redis.socket.parent / "dump.rdb" / "in the way").mkdir(parents=True)
    redis.client.config_set("save", "3600 1")
    redis.client.bgsave()
    wait_until(lambda: redis.client.info("persistence")["rdb_last_bgsave_status"] == "err", "a save that failed")


def busy(redis):
    """A script that doesn't end; SCRIPT KILL ends it."""
    redis.client.config_set("lua-time-limit", "20")
    other = client.Redis(unix_socket_path=str(redis.socket))

    def run():
        with pytest.raises(client.RedisError):
            other.eval("while true do end", 0)

    def says_so():
        try:
            return redis.client.ping() and False
        except client.ResponseError as refusal:
            return "BUSY" in str(refusal)

    redis.script = threading.Thread(target=run)
    redis.script.start()
    wait_until(says_so, "a Redis that is busy")


def not_busy(redis):
    redis.client.execute_command("SCRIPT", "KILL")
    redis.script.join()


def new_password(redis):
    redis.client.config_set("requirepass", "changed")
    redis.client.auth("changed")
    redis.client.client_kill_filter(_type="normal", skipme=True)


def old_password(redis):
    redis.client.config_set("requirepass", "")


def config(name, away, there):
    return lambda redis: redis.client.config_set(name, away), lambda redis: redis.client.config_set(name, there)


def acl(away, there):
    return lambda redis: redis.client.execute_command("ACL", "SETUSER", "app", away), lambda redis: redis.client.execute_command("ACL", "SETUSER", "app", there)


OUTAGES = {
    "a replica": (lambda redis: redis.client.replicaof("127.0.0.1", "1"), lambda redis: redis.client.replicaof("NO", "ONE")),
    "full": config("maxmemory", "1", "0"),
    "can't save": (cannot_save, lambda redis: redis.client.config_set("save", "")),
    "lacks replicas": config("min-replicas-to-write", "1", "0"),
    "busy": (busy, not_busy),
    "a right is taken": acl("-hset", "+hset"),
    "the script's call is taken": acl("-evalsha", "+evalsha"),
    "its keys are taken": acl("resetkeys", "~chat:*"),
    "another password": (new_password, old_password),
}


def as_user(redis, *rules, name="app"):
    assert redis.client.execute_command("ACL", "SETUSER", name, "on", ">pw", *rules) == "OK"
    return redis.url.replace("unix://", f"unix://{name}:pw@")


def send(topics, count, prefix, message="hi", **fields):
    for n in range(count):
        topics.producer.produce(topics.jobs, value=json.dumps({"id": f"{prefix}{n}", "message": f"{message} {prefix}{n}", **fields}), key=f"{prefix}{n}")
    topics.flush()


def states(redis):
    return [redis.client.hget(key, "state") for key in redis.client.scan_iter("chat:{*}:job:*")]


@pytest.mark.parametrize("outage", OUTAGES)
def test_no_job_dies_of_a_redis_that_refuses(stage, server_and_io, outage):
    """Some are under way when it begins, and their answers come in the middle of it; others come while it lasts."""
    (server, redis_io), (begin, end) = server_and_io, OUTAGES[outage]
    redis, sim = stage.redis(server=server), stage.simulator()
    redis.url = redis.url if outage == "another password" else as_user(redis, *RULE.split())
    worker = stage.worker(redis, sim, **SETTINGS, **{"worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)

    sim.signal(signal.SIGSTOP)  # nobody is answered until it goes on
    send(topics, 8, "early")
    wait_until(lambda: states(redis) == ["run"] * 8, "eight claims")
    begin(redis)
    refused = len(worker.events("redis_unavailable"))
    sim.signal(signal.SIGCONT)
    wait_until(lambda: sim.stats()["answered"] == 8, "eight answers")
    worker.wait_event("redis_unavailable", refused + 2)  # they were to be finished
    send(topics, 8, "late")
    worker.wait_event("breaker_opened", dependency="redis")
    assert sim.stats()["requests"] == 8, "nobody is asked without a claim"
    end(redis)

    replies = topics.replies(16)
    assert {(r["status"], r["attempts"]) for r in replies.values()} == {("ok", 1)}
    assert sim.stats()["requests"] == 16, "each was paid once: the answers were kept"
    assert states(redis) == ["ok"] * 16
    assert topics.all(topics.dead) == []


@pytest.mark.parametrize("setting", ["provider.main.requests_per_minute", "llm.tenant_tokens_per_day"])
def test_nobody_is_asked_without_the_permit_that_redis_refuses(stage, server, setting):
    """The claims are had, the keys of permits and budgets may not be touched."""
    redis, sim = stage.redis(server=server), stage.simulator()
    redis.url = as_user(redis, *RULE.split())
    worker = stage.worker(redis, sim, **SETTINGS, **{setting: "100000000"})
    topics = Topics(worker.bootstrap)
    redis.client.execute_command("ACL", "SETUSER", "app", "resetkeys", "~chat:{*", "~chat:alive:*")
    send(topics, 8, "j", metadata={"tenant": "t"})
    worker.wait_event("redis_unavailable", 9)
    assert sim.stats()["requests"] == 0
    redis.client.execute_command("ACL", "SETUSER", "app", "~chat:*")
    assert {(r["status"], r["attempts"]) for r in topics.replies(8).values()} == {("ok", 1)}
    assert sim.stats()["requests"] == 8


def test_what_was_used_is_told_again_after_an_outage(stage, server):
    """A settle that was refused has changed nothing: it is repeated, or the estimates would count until midnight."""
    redis, sim = stage.redis(server=server), stage.simulator()
    worker = stage.worker(redis, sim, **SETTINGS, **{"llm.tenant_tokens_per_day": "100000000"})
    topics = Topics(worker.bootstrap)

    def budget():
        (key,) = redis.client.keys("chat:budget:*")
        return redis.client.hgetall(key)

    sim.signal(signal.SIGSTOP)
    topics.send({"id": "j", "message": "hi", "metadata": {"tenant": "t"}, "params": {"max_tokens": 100}})
    wait_until(lambda: redis.client.keys("chat:budget:*"), "a reservation")
    redis.client.replicaof("127.0.0.1", "1")
    sim.signal(signal.SIGCONT)
    worker.wait_event("redis_unavailable", 2)
    redis.client.replicaof("NO", "ONE")
    topics.replies(1)
    wait_until(lambda: budget().get("reserved") == "0" and 0 < int(budget()["spent"]) < 100, "what was used instead of what was reserved")
    assert worker.metric("reservations_lost_total") == 0


def test_a_redis_that_loads_is_waited_for(stage, server_and_io):
    """It answers, but only that it is loading: a second for each of its keys."""
    server, redis_io = server_and_io
    options = ("--rdbcompression", "no", "--rdbchecksum", "no")
    redis, sim = stage.redis(*options, server=server), stage.simulator()
    for n in range(24):
        redis.client.set(f"big{n}", "x" * 2_500_000)
    redis.client.save()
    worker = stage.worker(redis, sim, **SETTINGS, **{"worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    redis.end()
    redis = stage.redis(*options, "--key-load-delay", "1000000", server=server)
    # Its own word: each answer takes it a second or two now, and the tests' client asks some questions before the one that is put.
    wait_until(lambda: "Loading RDB" in redis.text(), "a Redis that loads")
    send(topics, 8, "j")
    wait_until(lambda: any("LOADING" in e["error"] for e in worker.events("redis_unavailable")), "LOADING met by a job")
    try:
        redis.client.config_set("key-load-delay", "0")
    except client.ResponseError as refusal:
        assert "during loading" in str(refusal), "only 6.2 has to be waited for"
    assert {(r["status"], r["attempts"]) for r in topics.replies(8).values()} == {("ok", 1)}


def test_a_worker_whose_right_is_taken_says_how_to_learn_which(stage, server):
    redis = stage.redis(server=server)
    redis.url = as_user(redis, *RULE.split())
    worker = stage.worker(redis, stage.simulator(), **SETTINGS)
    redis.client.execute_command("ACL", "SETUSER", "app", "-time")
    Topics(worker.bootstrap).send({"id": "j", "message": "hi"})
    (event, *_) = worker.wait_event("redis_unavailable")
    assert "--check-config --connect" in event["error"]


def test_a_server_that_comes_back_without_evalsha_is_waited_out(stage, server_and_io):
    server, redis_io = server_and_io
    redis, sim = stage.redis(server=server), stage.simulator()
    worker = stage.worker(redis, sim, **SETTINGS, **{"worker.redis_io": redis_io})
    topics = Topics(worker.bootstrap)
    redis.end()
    without = stage.redis("--rename-command", "EVALSHA", "", server=server)
    send(topics, 8, "j")
    wait_until(lambda: any("EVALSHA" in e["error"] for e in worker.events("redis_unavailable")), "its refusal")
    without.end()
    stage.redis(server=server)
    assert {(r["status"], r["attempts"]) for r in topics.replies(8).values()} == {("ok", 1)}


# ---- at start ----


def check(stage, url, *options):
    return stage.check_config("--check-config", "--connect", "-X", "kafka.bootstrap.servers=embedded", "-X", f"redis.url={url}", "-X", "provider.main.url=http://h/v1",
                              "-X", "provider.main.model=m", *options)


def test_the_rights_that_the_docs_name_are_enough_and_each_is_needed(stage, server):
    redis = stage.redis(server=server)
    url = as_user(redis, *RULE.split())
    done = check(stage, url)
    assert done.returncode == 0, done.stderr
    for right in RIGHTS:
        if right == "select":  # for a database other than 0: below
            continue
        as_user(redis, "-" + right.split("|")[0], *(["-script"] if "|" in right else []))
        done = check(stage, url)
        assert (done.returncode, re.findall(r"\+(\S+)", done.stderr)) == (78, [right]), done.stderr
        grant = re.search(r"ACL (SETUSER app [^()]*)", done.stderr).group(1)
        redis.client.execute_command("ACL", *grant.split())  # as it says
        done = check(stage, url)
        assert done.returncode == 0, done.stderr
    as_user(redis, "-select")
    done = check(stage, url + "?db=1")
    assert done.returncode == 78 and "ACL SETUSER app +select" in done.stderr, done.stderr
    assert all(0 < redis.client.ttl(key) <= 2 * 86400 for key in redis.client.keys()), "what couldn't be removed ends by itself"  # noqa: SIM118  a client is no dict
    redis.client.flushall()
    assert check(stage, url).returncode == 0 and redis.client.keys() == [], "nothing is left behind"


def test_a_common_rule_lacks_what_the_check_names(stage, server):
    redis = stage.redis(server=server)
    url = as_user(redis, "~chat:*", "+@read", "+@write", "+@scripting", "+@connection")
    worker = stage.worker(redis, stage.simulator(), ready=False, **{"redis.url": url})
    assert worker.wait() == 78
    assert "ACL SETUSER app +time" in worker.text()


def test_a_user_without_rights_learns_of_all_at_once(stage, server):
    redis = stage.redis(server=server)
    url = as_user(redis)
    done = check(stage, url)
    grant = re.search(r"ACL (SETUSER app [^()]*)", done.stderr).group(1)
    redis.client.execute_command("ACL", *grant.split(), "~chat:*")
    done = check(stage, url)
    assert done.returncode == 0, done.stderr


def test_keys_that_a_user_may_not_touch_are_named(stage, server):
    redis = stage.redis(server=server)
    url = as_user(redis, "~other:*", "+@all")
    done = check(stage, url)
    assert done.returncode == 78 and "ACL SETUSER app ~chat:*" in done.stderr, done.stderr
    done = check(stage, url, "-X", "redis.key_prefix=other")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["EVALSHA", "TIME", "HSET"])
def test_a_command_that_the_server_lacks_is_named(stage, server, command):
    redis = stage.redis("--rename-command", command, "", server=server)
    done = check(stage, redis.url)
    assert done.returncode == 78 and f"doesn't know {command.lower()}" in done.stderr, done.stderr


@pytest.mark.parametrize("outage", ["a replica", "full", "can't save", "lacks replicas"])
def test_an_outage_at_start_is_waited_for_and_no_fault_of_the_settings(stage, server, outage):
    begin, end = OUTAGES[outage]
    redis = stage.redis(server=server)
    begin(redis)
    assert check(stage, redis.url).returncode == 69
    worker = stage.worker(redis, stage.simulator(), ready=False, **{"worker.startup_wait_ms": "60000"})
    worker.wait_event("startup_waits")
    end(redis)
    worker.wait_event("worker_started")
