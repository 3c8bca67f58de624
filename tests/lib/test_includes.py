"""The arrows between the worker's folders run one way: docs/architecture.md lists the folders, and none includes one above it."""
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = re.findall(r"^\| `(\w+)/` \|", (ROOT / "docs/architecture.md").read_text(), re.M)


def includes():
    for path in sorted((ROOT / "worker").rglob("*.[ch]")):
        for target in re.findall(r'^#include "([^"]+)"', path.read_text(), re.M):
            if "/" in target:
                yield path.relative_to(ROOT / "worker"), target


def test_every_folder_is_in_the_table():
    assert sorted(FOLDERS) == sorted(path.name for path in (ROOT / "worker").iterdir() if path.is_dir())


def test_no_include_runs_upwards():
    place = {folder: i for i, folder in enumerate(FOLDERS)}
    pairs = list(includes())
    assert len(pairs) > 500, "includes were found"
    assert [f"{path} includes {target}" for path, target in pairs if place[target.split("/")[0]] < place[path.parts[0]]] == []
