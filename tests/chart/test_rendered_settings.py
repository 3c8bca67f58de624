"""The chart's settings are the worker's, whole; a change of them restarts the pods."""
import json
import re

import pytest
import yaml
from release import CHART, render, run


def settings_of_help():
    """{section: {key: bounds or choices}}, of lines "  [section]" and "    key = default  (A to B unit | text | list | one, two)"."""
    found, section = {}, {}
    for line in run("chat-worker", "--help").stdout.splitlines():
        if named := re.fullmatch(r"  \[(\S+)\].*", line):
            section = found.setdefault(named[1], {})
        elif named := re.fullmatch(r"    (\w+) = .*  ?\(([^()]*)\)", line):
            section[named[1]] = named[2]
    return found


def test_the_schema_has_the_workers_settings_and_their_bounds():
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    sections = {name: schema[name]["properties"] for name in ("worker", "redis", "llm", "retry", "log")}
    for kind in ("provider", "context"):
        sections[f"{kind}.NAME"] = next(iter(schema[f"{kind}s"]["patternProperties"].values()))["properties"]
    known = settings_of_help()
    assert {name for name, keys in known.items() if keys} == {"admin", *sections}
    assert {name: sorted(keys) for name, keys in sections.items()} == {name: sorted(known[name]) for name in sections}
    wrong = []
    for section, keys in sections.items():
        for key, entry in keys.items():
            said = known[section][key]
            bounds = re.match(r"(-?\d+) to (-?\d+)", said)
            if bounds and (entry.get("minimum"), entry.get("maximum")) != (int(bounds[1]), int(bounds[2])) or "enum" in entry and entry["enum"] != said.split(", "):
                wrong.append(f"{section}.{key}: {said}")
    assert wrong == []


def test_the_app_version_is_the_workers_release():
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert re.sub(r"-(\d+-)?g[0-9a-f]+$", "", run("chat-worker", "--version").stdout.strip()) == f"chat-worker {version}"


def test_a_long_line_is_read_whole(tmp_path):
    render({"providers": {"main": {"model": "a" * 2000}}}).unpack(tmp_path)
    assert "a" * 2000 + "\n" in run("chat-worker", "--print-config", "-c", tmp_path / "worker.ini").stdout


def sums(values=None):
    notes = render(values).workload["template"]["metadata"]["annotations"]
    return notes["checksum/config"], notes["checksum/secret"]


@pytest.mark.parametrize("values, changed", [
    ({"worker": {"threads": 2}}, "config"), ({"llm": {"system_prompt": "x"}}, "config"), ({"llm": {"context_prompt": "x"}}, "config"),
    ({"providers": {"main": {"api_key": "x"}}}, "secret"), ({"providers": {"main": {"headers": {"X-Title": "x"}}}}, "secret")], ids=str)
def test_a_change_restarts_the_pods(values, changed):
    at = ("config", "secret").index(changed)
    assert sums(values)[at] != sums()[at]


def test_what_the_pods_do_not_read_restarts_none():
    assert sums({"replicaCount": 3, "commonLabels": {"a": "b"}, "workloadAnnotations": {"a": "b"}, "test": {"connect": False}}) == sums()
