"""docs/jobs.md as data: its fenced examples, and the first columns of its tables; and what the sources have to say of the same things."""
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "jobs.md").read_text()
SOURCES = {str(path.relative_to(ROOT)): path.read_text() for folder in ("worker", "producer") for path in (ROOT / folder).rglob("*.[ch]")}


@dataclass
class Example:
    language: str  # python, bash, json
    kind: str      # of JSON: job, reply, delta, control
    section: str
    text: str


def _sections() -> dict[str, str]:
    """Text by heading, fenced lines left out (a # in them is no heading)."""
    sections, name, fenced = {}, "", False
    for line in PAGE.splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("#") and not fenced:
            name = line.lstrip("# ")
        elif not fenced and not line.startswith("```"):
            sections[name] = sections.get(name, "") + line + "\n"
    return sections


SECTIONS = _sections()


def examples() -> list[Example]:
    found, section, at = [], "", 0
    for match in re.finditer(r"^(#+ [^\n]*)$|^```(\w+)(?: (\w+))?\n(.*?)^```$", PAGE, re.M | re.S):
        assert match.start() >= at
        at = match.end()
        if match[1]:
            section = match[1].lstrip("# ")
        else:
            found.append(Example(match[2], match[3] or "", section, match[4]))
    return found


def rows(section: str) -> list[list[str]]:
    """The cells of a section's tables, without their heads."""
    found, head = [], True
    for line in SECTIONS[section].splitlines():
        if not line.startswith("|"):
            head = True
        elif re.fullmatch(r"[| -]+", line):
            head = False
        elif not head:
            found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))])
    return found


def names(section: str) -> list[str]:
    """What stands in backticks in the first column."""
    return [name for row in rows(section) for name in re.findall(r"`([^`]+)`", row[0])]


# ---- the sources ----

def _calls(text: str, function: str):
    """The arguments of each call of a function, split at the commas outside of brackets and texts."""
    for match in re.finditer(rf"\b{function}\(", text):
        arguments, depth, at, begin, quoted = [], 1, match.end(), match.end(), False
        while depth:
            c = text[at]
            if quoted:
                at += c == "\\"
                quoted = c != '"'
            elif c == '"':
                quoted = True
            elif c in "([{":
                depth += 1
            elif c in ")]}":
                depth -= 1
            if not quoted and ((c == "," and depth == 1) or depth == 0):
                arguments.append(text[begin:at].strip())
                begin = at + 1
            at += 1
        yield arguments


DEFINED = {name: value for text in SOURCES.values() for name, value in re.findall(r'#define (\w+_CODE_\w+) "(\w+)"', text)}


def _takers(text: str) -> tuple[dict[str, int], dict[str, int]]:
    """Functions that are given an error's code, as `const char *code`, and macros that make one of their argument `code`: which that is."""
    functions, macros = {}, {}
    for name, arguments in re.findall(r"^[\w *]*?\b(\w+)\(([^(){};]*\bconst char \*code\b[^(){};]*)\)\s*\{", text, re.M):
        functions[name] = [argument.split()[-1] for argument in arguments.split(",")].index("*code")
    for name, arguments in re.findall(r"^#define (\w+)\(([^)]*\bcode\b[^)]*)\) error_set\(", text, re.M):
        macros[name] = [argument.strip() for argument in arguments.split(",")].index("code")
    return functions, macros


def codes() -> tuple[set[str], set[str]]:
    """The codes that the worker's calls with an error's code name, and the arguments that aren't told by themselves: file and text."""
    worker = {path: text for path, text in SOURCES.items() if path.startswith("worker/")}
    functions = {name: place for text in worker.values() for name, place in _takers(text)[0].items()}
    known, other = set(), set()
    for path, text in worker.items():
        for function, place in {**functions, **_takers(text)[1]}.items():
            for arguments in _calls(text, function):
                if len(arguments) <= place:
                    continue  # words about it, or another's function of that name
                found = {DEFINED[name] for name in DEFINED if re.search(rf"\b{name}\b", arguments[place])} | set(re.findall(r'"(\w+)"', arguments[place]))
                known |= found
                if not found:
                    other.add((path, arguments[place]))
    return known, other
