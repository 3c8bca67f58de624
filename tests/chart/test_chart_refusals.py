"""What can't be meant isn't rendered, and the message names it. What belongs to one option is beside that option's tests."""
import re

import pytest
from release import CHART, Refused, helm, render


def kafka(**properties):
    return {"kafka": {"properties": {name.replace("_", "."): value for name, value in properties.items()}}}


def variable(name, value="1"):
    return {"extraEnv": [{"name": name, "value": value}]}


def existing(*keys):
    return {"redis": {"url": ""}, "existingSecret": {"name": "a", "keys": list(keys)}}


REFUSED = {
    "no image.repository": ({"image": {"repository": ""}}, "image.repository|/image/repository"),
    "no bootstrap.servers": (kafka(bootstrap_servers=None), "bootstrap.servers"),
    "embedded Kafka": (kafka(bootstrap_servers="embedded"), "bootstrap.servers"),
    "embedded Kafka in a list": (kafka(bootstrap_servers="a:9092,embedded"), "bootstrap.servers"),
    "embedded Kafka by its other name": (kafka(metadata_broker_list="embedded"), "/kafka/properties/metadata.broker.list"),
    "embedded Kafka by a variable": (variable("CHATW__KAFKA__BOOTSTRAP_SERVERS", "embedded"), "extraEnv"),
    "the drain time by a variable": (variable("CHATW__WORKER__DRAIN_TIMEOUT_MS"), "extraEnv"),
    "a variable's name in lower case": (variable("CHATW__kafka__bootstrap_servers", "embedded"), "extraEnv"),
    "a variable's name with a dot": (variable("CHATW__KAFKA__BOOTSTRAP.SERVERS", "embedded"), "extraEnv"),
    "a password among the properties": (kafka(sasl_password="x"), "/kafka/properties/sasl.password"),
    "one static member for all pods": (kafka(group_instance_id="x"), "/kafka/properties/group.instance.id"),
    "one static member by a variable": (variable("CHATW__KAFKA__GROUP_INSTANCE_ID", "x"), "extraEnv"),
    "an unknown value": ({"replicas": 2}, "replicas"),
    "an unknown setting": ({"worker": {"thread": 2}}, "worker"),
    "a text for a number": ({"worker": {"threads": "many"}}, "worker.threads|/worker/threads"),
    "a number out of bounds": ({"worker": {"threads": 5001}}, "worker.threads|/worker/threads"),
    "a fraction": ({"worker": {"threads": 1.5}}, "worker.threads|/worker/threads"),
    "a text for a list": ({"llm": {"models_allowed": "a"}}, "models_allowed"),
    "a wrong choice": ({"log": {"level": "loud"}}, "log.level|/log/level"),
    "an unknown kind": ({"kind": "DaemonSet"}, "/kind"),
    "an unknown strategy": ({"strategy": {"type": "Rolling"}}, "strategy.type|/strategy/type"),
    "a roll-out without a step": ({"strategy": {"rollingUpdate": {"maxSurge": "0%", "maxUnavailable": 0}}}, "maxSurge and maxUnavailable are both 0"),
    "a budget that is no number": ({"podDisruptionBudget": {"maxUnavailable": "some"}}, "maxUnavailable"),
    "root": ({"podSecurityContext": {"runAsUser": 0}}, "runAsUser"),
    "no provider": ({"providers": {"main": None}}, "providers"),
    "a provider without a model": ({"providers": {"main": {"model": None}}}, "providers.main|/providers/main"),
    "a provider's name that no section can have": ({"providers": {"Main": {"url": "http://a"}}}, "additional properties .Main"),
    "an unknown provider to ask": ({"llm": {"providers": ["other"]}}, "llm.providers: other is not among"),
    "an unknown context to fetch": ({"llm": {"contexts": ["other"]}}, "llm.contexts: other is not among"),
    "a context without a url": ({"contexts": {"main": {"kind": "text"}}}, "contexts.main|/contexts/main"),
    "a key of an unknown context": (existing("redis-url", "context-key-other"), "context-key-other"),
    "headers of an unknown provider": (existing("redis-url", "headers-other"), "headers-other"),
    "a header that is no text": ({"providers": {"main": {"headers": {"X-A": 1}}}}, "X-A"),
    "messages among the params": ({"providers": {"main": {"params": {"messages": "x"}}}}, "/providers/main/params/messages"),
    "no redis.url": ({"redis": {"url": ""}}, "redis.url is needed"),
    "a URL that isn't Redis's": ({"redis": {"url": "http://a"}}, "redis.url|/redis/url"),
    "secrets in two places": ({"existingSecret": {"name": "a", "keys": ["redis-url"]}}, "redis-url are both given"),
    "an existing secret without keys": (existing(), "existingSecret.keys is empty"),
    "an existing secret without redis-url": (existing("api-key-main"), "redis.url is needed"),
    "a key of an unknown provider": (existing("redis-url", "api-key-other"), "api-key-other"),
    "a line break": (kafka(client_id="a\nb"), "line break"),
    "what the settings file takes for a comment": ({"providers": {"main": {"model": "a ;b"}}}, "; after a space"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(name):
    values, pattern = REFUSED[name]
    with pytest.raises(Refused) as refused:
        render(values)
    assert re.search(pattern, str(refused.value)), str(refused.value)


def test_no_values_at_all_are_refused():
    with pytest.raises(Refused, match="repository"):
        helm("template", "t", CHART)


@pytest.mark.parametrize("where", ["autoscaling", "autoscaling.hpa", "autoscaling.keda", "podMonitor", "networkPolicy", "networkPolicy.kafka", "networkPolicy.ingress", "replay", "test",
                                   "resources", "strategy.rollingUpdate", "image", "existingSecret"])
def test_an_unknown_key_is_refused_wherever_it_stands(where):
    values = {"unknwon": 1}
    for key in reversed(where.split(".")):
        values = {key: values}
    with pytest.raises(Refused, match="unknwon"):
        render(values)
