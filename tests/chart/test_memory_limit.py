"""The memory limit is what the settings may come to need (docs/architecture.md, Memory), computed by tests/lib/memory_bound.py and by the chart."""
import pytest
from memory_bound import MIB, bound
from release import Refused, render

NEEDED = -(-bound({}) // MIB)


def limit(values):
    return render(values).worker["resources"]["limits"]["memory"]


def variable(name, value):
    return {"extraEnv": [{"name": name, "value": value}]}


@pytest.mark.parametrize("values, settings, beside", [
    ({}, {}, {}),
    ({"worker": {"threads": 5000}}, {"worker.threads": 5000}, {}),
    ({"worker": {"threads": 5000}, **variable("CHATW__WORKER__THREADS", "7")}, {"worker.threads": 7}, {}),
    ({"worker": {"engine": "loop", "in_flight": 3000, "threads": 7}}, {"worker.engine": "loop", "worker.in_flight": 3000}, {}),
    ({"worker": {"engine": "loop"}, **variable("CHATW__WORKER__IN_FLIGHT", "9")}, {"worker.engine": "loop", "worker.in_flight": 9}, {}),
    ({"worker": {"buffered_bytes_max": 1000000, "job_bytes_max": 2000000}, "llm": {"response_bytes_max": 3000000, "history_bytes_max": 4000000}},
     {"worker.buffered_bytes_max": 1000000, "worker.job_bytes_max": 2000000, "llm.response_bytes_max": 3000000, "llm.history_bytes_max": 4000000}, {}),
    ({"providers": {"b": {"url": "http://b", "model": "b"}}}, {}, {"providers": 2}),
    ({"contexts": {"a": {"url": "http://a"}, "b": {"url": "http://b", "bytes_max": 1000000}}, "llm": {"contexts": ["a", "b"]}}, {}, {"contexts": 1016384}),
    ({"kafka": {"properties": {"queued.max.messages.kbytes": 65536}}}, {}, {"prefetch_kib": 65536}),
    (variable("CHATW__KAFKA__QUEUED_MAX_MESSAGES_KBYTES", "65536"), {}, {"prefetch_kib": 65536})], ids=str)
def test_it_is_computed(values, settings, beside):
    assert limit(values) == f"{-(-bound(settings, **beside) // MIB)}Mi"


@pytest.mark.parametrize("enough", [f"{NEEDED}Mi", "2.5G", 3 * 1024 ** 3])
def test_one_that_is_enough_is_taken(enough):
    assert limit({"resources": {"limits": {"memory": enough}}}) == enough


def test_none_is_taken():
    assert "limits" not in render({"resources": {"limits": None}}).worker["resources"]


@pytest.mark.parametrize("values, why", [
    ({"resources": {"limits": {"memory": f"{NEEDED - 1}Mi"}}}, f"resources.limits.memory: {NEEDED - 1}Mi is less than the worker may come to need: raise it to {NEEDED}Mi, or lower worker.threads"),
    ({"resources": {"limits": {"memory": "2Gi"}}, "worker": {"threads": 128}}, f"raise it to {-(-bound({'worker.threads': 128}) // MIB)}Mi"),
    ({"resources": {"limits": {"memory": "much"}}}, "resources.limits.memory: much is no amount of memory"),
    ({"resources": {"requests": {"memory": "3Gi"}}}, f"resources.requests.memory: 3Gi is more than resources.limits.memory, {NEEDED}Mi"),
    ({"extraEnv": [{"name": "CHATW__WORKER__THREADS", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]}, "CHATW__WORKER__THREADS: the memory limit is computed from it"),
    (variable("CHATW__WORKER__ENGINE", "loop"), "CHATW__WORKER__ENGINE: the memory limit is computed from it"),
    (variable("CHATW__LLM__CONTEXTS", "a"), "CHATW__LLM__CONTEXTS: the memory limit is computed from it"),
    (variable("CHATW__CONTEXT__A__BYTES_MAX", "9"), "CHATW__CONTEXT__A__BYTES_MAX: the memory limit is computed from it")], ids=str)
def test_what_does_not_fit_is_refused(values, why):
    with pytest.raises(Refused) as refused:
        render(values)
    assert why in str(refused.value)
