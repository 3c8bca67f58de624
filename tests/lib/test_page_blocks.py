"""That a page's blocks are found, and what it shows is compared with what there was."""
import re
from pathlib import Path

import pytest
from page_blocks import alike, missing, sections

ROOT = Path(__file__).resolve().parents[2]

PAGE = """Before.

## One

```sh
true
```

```text
done
```

### A part of it

```yaml
# values.yaml
a: 1
```

## Two
"""


def written(folder, text):
    page = folder / "page.md"
    page.write_text(text)
    return page


def test_blocks_are_found_by_their_sections(tmp_path):
    found = sections(written(tmp_path, PAGE))
    assert {heading: [(block.kind, block.text) for block in blocks] for heading, blocks in found.items()} == {
        "": [], "One": [("sh", "true\n"), ("text", "done\n"), ("yaml", "# values.yaml\na: 1\n")], "Two": []}
    assert found["One"][2].file == "values.yaml" and found["One"][0].line == 5


@pytest.mark.parametrize("block", ["```\nx\n```\n", "```python\nx\n```\n", "```sh\nx\n", "  ```sh\n  x\n  ```\n", "    x\n"], ids=["of no kind", "of another kind", "not closed", "set in", "by its margin"])
def test_a_block_that_nobody_would_run_is_seen(block, tmp_path):
    with pytest.raises(AssertionError):
        sections(written(tmp_path, PAGE + "\n" + block))


@pytest.mark.parametrize(("shown", "said"), [
    ("NAME  READY\na-7f-x2  1/1\n", "NAME       READY\na-99cc-b1  2/2\n"), ("event=x threads=64 level=info\n", "event=x threads=8 level=info"), ("image …/image:latest\n", "image   /tmp/a b/image:latest\n"),
    ("a\n…\nz\n", "a\nz\n"), ("a\n…\nz\n", "a\nb\nc\nz\n"), ("deployment \"…\" done", "deployment \"x y\" done\n")])
def test_what_is_of_a_kind_is_alike(shown, said):
    assert alike(shown, said)


@pytest.mark.parametrize(("shown", "said"), [
    ("a 1\n", "a x\n"), ("event=x threads=64\n", "event=x thread=64\n"), ("level=info\n", "level=warn\n"), ("a\n", "a\nb\n"), ("a\nb\n", "a\n"),
    ("a\n…\nz\n", "a\nb\n"), ("a\n", ""), ("level=info at=3\n", "level=warn at=3\n")])
def test_what_is_of_another_kind_is_not(shown, said):
    assert not alike(shown, said)


def test_lines_of_a_log_are_looked_for_in_their_order():
    log = "ts=1 event=a n=1\nts=2 event=b n=2\nts=3 event=c n=3\n"
    assert missing("ts=9 event=a n=7\nts=9 event=c n=7\n", log) == []
    assert missing("ts=9 event=c n=7\nts=9 event=a n=7\n", log) == ["ts=9 event=a n=7"]
    assert missing("ts=9 event=d n=7\n", log) == ["ts=9 event=d n=7"]


def has_in_order(line, words):
    rest = iter(line.split())
    return all(word in rest for word in words)


def test_the_readme_deploys_by_commands_that_are_run():
    """tests/chart/cluster/test_operations.py runs those of the page; each of the README's is one of them with fewer options."""
    (block,) = re.findall(r"^```\n(charts/image/build .*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    commands = [command.split() for line in block.splitlines() for command in line.split("  #")[0].split("&&")]
    run = [line for blocks in sections(ROOT / "docs/operations.md").values() for each in blocks if each.kind == "sh" for line in each.text.replace("chat-worker/charts/", "charts/").splitlines()]
    assert len(commands) == 4 and [words for words in commands if not any(has_in_order(line, words) for line in run)] == []
