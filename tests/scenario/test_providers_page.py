"""What docs/providers.md says can be set as it stands."""
import re

import pytest
from providers_page import BLOCKS, PAGE, block_of
from test_dialects import DIALECTS

pytestmark = pytest.mark.once


def test_each_dialect_has_its_block_and_each_block_its_dialect():
    assert sorted(BLOCKS) == sorted(map(block_of, DIALECTS))


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_the_settings_of_the_page_are_valid(stage, name):
    """As they stand, with no more than what they don't say: brokers and Redis."""
    file = stage.folder / "worker.ini"
    file.write_text(BLOCKS[name] + f"\n[kafka]\nbootstrap.servers = embedded\n[redis]\nurl = unix://{stage.folder}/none.sock\n[admin]\nlisten = 127.0.0.1:0\n")
    done = stage.check_config("--check-config", "-c", str(file), env={"XDG_RUNTIME_DIR": str(stage.folder)})
    assert done.returncode == 0, done.stderr
    shown = stage.check_config("--print-config", "-c", str(file), env={"XDG_RUNTIME_DIR": str(stage.folder)}).stdout
    assert f"[provider.{name}]" in shown


def test_no_block_of_the_page_is_passed_over():
    assert len(re.findall(r"^```ini$", PAGE, re.M)) == len(BLOCKS)
