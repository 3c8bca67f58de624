"""What --version says: worker/version.cmake, on trees of its own."""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURSELVES = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}


def run(*command, cwd):
    done = subprocess.run([*map(str, command)], cwd=cwd, text=True, capture_output=True, timeout=60, env={**os.environ, **OURSELVES})
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def version_of(source):
    return run("cmake", f"-DSOURCE={source}", "-P", source / "ask.cmake", cwd="/").strip()


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="an unpacked release needs no git, nor does its machine")


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "ask.cmake").write_text(f'include({ROOT}/worker/version.cmake)\nchat_version(version ${{SOURCE}} 0.9.0)\nmessage("${{version}}")\n')
    return folder


def commit(folder):
    run("git", "-c", "init.defaultBranch=main", "init", "-q", cwd=folder)  # again: nothing happens
    run("git", "commit", "-q", "--allow-empty", "-m", "one more", cwd=folder)


def test_a_tree_without_git_has_the_release(source):
    assert version_of(source) == "0.9.0"


def test_asked_on_its_own_it_says_the_same(source):
    """As charts/image/build asks, and who follows the Dockerfile's first lines."""
    (source / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.25)\nproject(some VERSION 0.9.7 LANGUAGES C)\n")
    assert run("cmake", f"-DSOURCE={source}", "-P", ROOT / "worker/version.cmake", cwd="/") == "0.9.7\n"


@needs_git
def test_a_tag_is_a_version_and_commits_after_it_are_counted(source):
    commit(source)
    assert re.fullmatch(r"0\.9\.0-g[0-9a-f]{7,}", version_of(source))
    run("git", "tag", "some-mark", cwd=source)
    run("git", "tag", "v1.2.3", cwd=source)
    assert version_of(source) == "1.2.3"
    commit(source)
    assert re.fullmatch(r"1\.2\.3-1-g[0-9a-f]{7,}", version_of(source))


@needs_git
def test_within_another_projects_tree_it_is_the_release(source):
    commit(source.parent)
    run("git", "tag", "v7.0.0", cwd=source.parent)
    assert version_of(source) == "0.9.0"


@needs_git
def test_the_program_says_it(tmp_path):
    """In a tree that is given no git, and in one at a tag: configured anew, what was built with the other version is built again."""
    build, source = tmp_path / "build", tmp_path / "source"
    (source / "worker").mkdir(parents=True)
    shutil.copy(ROOT / "worker/version.cmake", source / "worker")
    (source / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.25)\nproject(p VERSION 0.9.0 LANGUAGES C)\ninclude(worker/version.cmake)\n"
                                           "chat_version_header(${CMAKE_BINARY_DIR}/version.h)\nadd_executable(say say.c)\ntarget_include_directories(say PRIVATE ${CMAKE_BINARY_DIR})\n")
    (source / "say.c").write_text('#include "version.h"\n#include <stdio.h>\nint main(void) { puts(CHAT_VERSION); }\n')

    def said():
        run("cmake", "--build", build, cwd=source)
        return run(build / "say", cwd=source).strip()

    run("cmake", "-G", "Ninja", "-S", source, "-B", build, cwd=source)
    assert said() == "0.9.0"
    commit(source)
    run("git", "tag", "v2.0.0", cwd=source)
    run("cmake", "-S", source, "-B", build, cwd=source)
    assert said() == "2.0.0"
    commit(source)  # CMake configures again by itself
    assert re.fullmatch(r"2\.0\.0-1-g[0-9a-f]{7,}", said())
