"""What every file of the tree keeps: short, self-contained, free of the machine it was written on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES_MAX = 400


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name]


FILES = [path for path in tracked() if path.is_file()]
PYTHON = [path for path in FILES if path.suffix == ".py"]
CODE = [path for path in PYTHON if path.relative_to(ROOT).parts[0] in ("analyzer", "collector")]


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_source_file_holds_one_idea(path: Path):
    """Under 400 lines, generated code aside."""
    if "pb" not in path.parts:
        assert len(path.read_text().splitlines()) <= LINES_MAX


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_is(path: Path):
    text = path.read_text()
    if text.strip() and "pb" not in path.parts:
        assert text.lstrip().startswith(('"""', 'r"""'))


def test_locks_name_no_index_or_host():
    """Hashes pin what is installed; where it comes from is the installer's business."""
    for path in FILES:
        if path.name.endswith((".lock", "package-lock.json")):
            text = path.read_text()
            assert not re.search(r'--(extra-)?index-url|--find-links|"resolved"', text), path
            assert not re.search(r"https?://(pypi|files\.pythonhosted|registry\.npmjs)", text), path


def test_no_path_of_a_machine_is_committed():
    pattern = re.compile(rb"(^|[^A-Za-z0-9_.])/(work|root|farm)/")
    for path in FILES:
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            assert not pattern.search(line) or path.name == "test_tree.py", f"{path}:{number}"
