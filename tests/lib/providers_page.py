"""The blocks of settings of docs/providers.md, as they stand there."""
import configparser
import re

from parts import ROOT

PAGE = (ROOT / "docs/providers.md").read_text()
BLOCKS = {name: block for block, name in re.findall(r"^```ini\n(\[llm\]\nproviders = (\w+)\n.*?)^```", PAGE, re.M | re.S)}


def block_of(dialect: str) -> str:
    return dialect.replace(".", "")  # a section's name has none


def settings_of(dialect: str) -> dict[str, str]:
    """The pairs of a dialect's block."""
    read = configparser.ConfigParser(interpolation=None)
    read.read_string(BLOCKS[block_of(dialect)])
    return {f"{section}.{key}": value for section in read.sections() for key, value in read[section].items()}
