"""That tests/lint/run can fail: for each tool a file with one defect, and one without."""
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run")
FILES = {
    "shell.sh": ("#!/bin/bash\nrm -r $1\n", '#!/bin/bash\nrm -r "$1"\n', "SC2086"),
    "python.py": ("import os\n\nprint(1)\n", "print(1)\n", "F401"),
    "pairs.py": ("print(list(zip([1], [2])))\n", "print(list(zip([1], [2], strict=True)))\n", "B905"),
    "checked.c": ("#include <string.h>\nint f(const char *a, const char *b);\nint f(const char *a, const char *b) { return strcmp(a, b) == -1; }\n",
                  "#include <string.h>\nint f(const char *a, const char *b);\nint f(const char *a, const char *b) { return strcmp(a, b) < 0; }\n", "bugprone-suspicious-string-compare"),
    "walked.c": ("#include <stdlib.h>\nint f(int n);\nint f(int n)\n{\n    char *p = malloc(8);\n    return p == NULL ? n : 0;\n}\n",
                 "#include <stdlib.h>\nint f(int n);\nint f(int n)\n{\n    char *p = malloc(8);\n    int r = p == NULL ? n : 0;\n    free(p);\n    return r;\n}\n", "clang-analyzer-unix.Malloc"),
}


def lint(file):
    done = subprocess.run([RUN, file], text=True, capture_output=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", FILES)
def test_a_defect_is_found_and_its_absence_is_not(tmp_path, name):
    bad, good, finding = FILES[name]
    file = tmp_path / name
    file.write_text(bad)
    status, said = lint(file)
    assert status == 1 and finding in said and said.endswith("0 passed, 1 failed\n"), said
    file.write_text(good)
    status, said = lint(file)
    assert status == 0 and said.endswith("1 passed, 0 failed\n"), said


def test_a_program_is_known_by_its_first_line(tmp_path):
    file = tmp_path / "program"
    file.write_text("#!/usr/bin/env bash\necho $1\n")
    assert "SC2086" in lint(file)[1]
    file.write_text("#!/usr/bin/python3\nimport os\n")
    assert "F401" in lint(file)[1]
