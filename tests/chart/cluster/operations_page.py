"""docs/operations.md, by its sections, and the folder that it is done in. Its image is made before the tests leave this machine's network (conftest.py)."""
import subprocess
from pathlib import Path

from page_blocks import sections
from parts import LIMIT_S, ROOT

SECTIONS = sections(ROOT / "docs/operations.md")
IMAGE = SECTIONS["The image"][0]


def made_image(folder: Path) -> subprocess.CompletedProcess:
    """How making it in the folder went."""
    (folder / "chat-worker").symlink_to(ROOT)
    return subprocess.run(["bash", "-euo", "pipefail", "-c", IMAGE.text], text=True, capture_output=True, timeout=10 * LIMIT_S, cwd=folder)
