"""docs/brief.md tells the truth: every item is there, and every test it names exists and is run by `make test`."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ITEM = re.compile(r"^\| (S\d+) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
ITEMS = {found[1]: (found[3], re.findall(r"`([^`]+::[^`]+)`", found[4])) for found in
         ITEM.finditer((ROOT / "docs" / "brief.md").read_text())}  # fmt: skip
NOT_RUN = ("skip", "xfail", "deep")


@cache
def named_in(path: str) -> dict[str, list[str]]:
    """Names of the tests of a file, each with what marks it (its own marks and those of the file)."""
    tree = ast.parse((ROOT / "tests" / path).read_text())
    whole = [ast.unparse(node.value) for node in tree.body
             if isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node.targets[0])]  # fmt: skip
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        node.name: whole + [ast.unparse(mark) for mark in node.decorator_list]
        for node in ast.walk(tree)
        if isinstance(node, functions) and node.name.startswith("test_")
    }


def test_every_item_is_there():
    assert list(ITEMS) == [f"S{number}" for number in range(1, 108)]


@pytest.mark.parametrize("item", ITEMS)
def test_the_tests_of_an_item_exist_and_are_run(item: str):
    """An item without a test says that it is not built."""
    what, tests = ITEMS[item]
    assert bool(tests) != what.startswith("**not built**"), f"{item}: {what}"
    for named in tests:
        path, name = named.split("::")
        found = named_in(path)
        assert found, f"{item}: no tests in {path}"
        assert name == "*" or name in found, f"{item}: {path} has no {name}"
        marks = [mark for marks in ([found[name]] if name != "*" else found.values()) for mark in marks]
        # Where CI has the tool, a test that needs it is run there.
        left_out = [mark for mark in marks if any(f"mark.{word}" in mark for word in NOT_RUN) and "CI" not in mark]
        assert name == "*" or left_out == [], f"{item}: {named} is left out by {left_out}"
