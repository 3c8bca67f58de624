"""charts/chat-worker/VALUES.md: a table of all values, made of values.yaml (defaults, comments) and values.schema.json (what is taken).

What a section takes that values.yaml doesn't name is a setting of the worker's: its default and meaning are those of docs/configuration.md. helm-docs would
have made the table of the comments alone: without what is taken, and without those settings.
"""
import json
import re

import yaml
from release import CHART, ROOT

PAGE = CHART / "VALUES.md"
HEAD = """# Values of the chart

Made from `values.yaml` and `values.schema.json`; a test fails when it is stale. What can't be meant together is refused by the chart, with a message. A value
in *italics* isn't in `values.yaml`: left out, the worker's own default holds, and the meaning is its setting's.

| value | what is taken | default | what it is |
| --- | --- | --- | --- |
"""


def code(text):
    return "`" + text.replace("|", "\\|") + "`"


def prose(lines):
    """Comment lines as a cell; one that is indented is an example."""
    cell = ""
    for line in lines:
        if line.startswith("   "):
            cell += "<br>" + code(line.strip())
        else:
            cell += (" " if cell else "") + line.strip().replace("|", "\\|")
    return cell


def comments(lines, at):
    """Those directly above line at."""
    found = []
    while at > 0 and lines[at - 1].strip().startswith("#"):
        at -= 1
        found.insert(0, lines[at].strip()[1:])
    return [line.removeprefix(" ") if not line.startswith("   ") else line for line in found]


def taken(schema):
    if "enum" in schema:
        return ", ".join(code(str(choice)) for choice in schema["enum"])
    kinds = schema.get("type", "object")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    words = {"integer": "a number", "string": "a text", "boolean": "true or false", "array": "a list", "object": "an object", "null": "null"}
    text = " or ".join(words[kind] for kind in kinds)
    bounds = [schema[key] for key in ("minimum", "maximum") if key in schema]
    if len(bounds) == 2:
        text = text.replace("a number", f"{bounds[0]} to {bounds[1]}")
    elif "minimum" in schema:
        text = text.replace("a number", f"a number from {bounds[0]}")
    if schema.get("pattern") == "^auto$":
        text = text.replace("a text", code("auto"))
    return text


WORKER = object()  # in a default's place: the worker's


def worker_settings():
    """{"section.key": (default, meaning)}, from the page that the worker makes: "| `key` | `default` | valid | meaning |"."""
    found, section = {}, ""
    for line in (ROOT / "docs/configuration.md").read_text().splitlines():
        if named := re.fullmatch(r"## \[(\S+)\].*", line):
            section = named[1]
        elif named := re.fullmatch(r"\| `(\w+)` \| (.*?) \| .*? \| (.*) \|", line):
            found[f"{section}.{named[1]}"] = (named[2], named[3])
    return found


def rows(node, schema, lines, path=()):
    """(path, schema, default, comment) of each value below a mapping, and (path, None, None, comment) of each that has values below it."""
    for key_node, value_node in node.value:
        key = key_node.value
        at = (*path, key)
        own = schema["properties"][key]
        words = comments(lines, key_node.start_mark.line)
        if own.get("properties") and isinstance(value_node, yaml.MappingNode) and "patternProperties" not in own:
            yield at, None, None, words
            yield from rows(value_node, own, lines, at)
            named = {name.value for name, _ in value_node.value}
            yield from (((*at, name), below, WORKER, []) for name, below in own["properties"].items() if name not in named)
        else:
            yield at, own, yaml.safe_load(yaml.serialize(value_node)), words
            for below in own.get("patternProperties", {}).values():
                for name, inner in below.get("properties", {}).items() if isinstance(below, dict) else ():
                    yield (*at, "NAME", name), inner, WORKER, []


def all_rows():
    text = (CHART / "values.yaml").read_text()
    schema = json.loads((CHART / "values.schema.json").read_text())
    return list(rows(yaml.compose(text), schema, text.splitlines()))


def page():
    made, settings = HEAD, worker_settings()
    for path, schema, default, words in all_rows():
        name = ".".join(path)
        if schema is None:
            made += f"| **{code(name)}** | | | {prose(words)} |\n"
        elif default is WORKER:
            said, meaning = settings.get(re.sub(r"^(provider|context)s\.", r"\1.", name), ("", ""))
            made += f"| *{code(name)}* | {taken(schema)} | {said} | {meaning} |\n"
        else:
            made += f"| {code(name)} | {taken(schema)} | {code(json.dumps(default, ensure_ascii=False))} | {prose(words)} |\n"
    return made
