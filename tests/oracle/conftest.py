"""One world for all that is read: starting a worker takes longer than reading hundreds of answers."""
import pytest
from stage import Stage


@pytest.fixture(scope="session")
def stage():
    world = Stage()
    try:
        yield world
    finally:
        world.end()
