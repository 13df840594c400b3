"""`make test` runs every test: no stage leaves out what another does not run."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
STARTED = re.search(r"^E2E_TESTS := (.+)$", MAKEFILE, re.MULTILINE)[1].split()  # type: ignore[index]
MARK = "pytest.mark.e2e"
FILES = {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "tests").rglob("test_*.py")
         if "node_modules" not in path.parts}  # fmt: skip


def is_read(name: str) -> bool:
    """Whether the stage that starts the real program reads this file."""
    return any(name == one or name.startswith(f"{one}/") for one in STARTED)


def test_every_file_that_starts_the_program_is_read_by_its_stage():
    marked = [name for name, text in FILES.items() if MARK in text and name != "tests/house/test_stages.py"]

    assert len(marked) > 20
    assert [name for name in marked if not is_read(name)] == []


def test_what_the_first_stage_does_not_read_is_all_marked():
    """It leaves tests/e2e out: a file without the mark there would be run by nobody."""
    unmarked = [
        name
        for name, text in FILES.items()
        if name.startswith("tests/e2e/") and not re.search(rf"^pytestmark = (\[\s*)?{MARK}", text, re.MULTILINE)
    ]

    assert "--ignore=tests/e2e\n" in MAKEFILE
    assert unmarked == []
