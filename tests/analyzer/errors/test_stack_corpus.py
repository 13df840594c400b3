"""Real traces, printed by real runtimes (corpus/make.sh), and what must be read from them (corpus/*/expected.json).

An expected exception is [relation, type, first line of the message, frames, seams].
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analyzer.errors.model import StackTrace
from analyzer.errors.stack_traces import parse_stack

CORPUS = Path(__file__).parent / "corpus"
# Nothing to read in it: Promise.any's error has no frames, and Node prints no members with .stack.
WITHOUT_FRAMES = {"javascript/aggregate_stack"}
# Nothing marks where their message begins.
UNMARKED = {"go/wrapped", "go/trimpath", "ruby/backtrace"}
EXPECTED = {
    f"{path.parent.name}/{name}": told
    for path in sorted(CORPUS.glob("*/expected.json"))
    for name, told in json.loads(path.read_text()).items()
}


def text_of(name: str) -> str:
    return (CORPUS / f"{name}.txt").read_text()


def told(stack: StackTrace | None) -> object:
    """A stack in the words of expected.json."""
    if stack is None:
        return None
    origin = stack.origin
    assert origin is not None
    chain = [
        [thrown.relation, thrown.type, thrown.message.partition("\n")[0], len(thrown.frames), list(thrown.async_after)]
        for thrown in stack.chain
    ]
    found = {
        "origin": f"{origin.file}:{origin.line}",
        "function": f"{origin.module} {origin.function}".strip(),
        "chain": chain,
    }
    return found | {"truncated": True} if stack.truncated else found


def test_every_trace_has_its_expected_result():
    """Ten languages, and no file without a judgement."""
    files = {f"{path.parent.name}/{path.stem}" for path in CORPUS.glob("*/*.txt")}

    assert files == set(EXPECTED)
    assert len({name.partition("/")[0] for name in files}) == 10
    assert {name for name, told in EXPECTED.items() if told is None} == WITHOUT_FRAMES


@pytest.mark.parametrize("name", EXPECTED)
def test_the_shape_alone_tells_the_language(name: str):
    """No hint: the text is recognised, and read."""
    stack = parse_stack(text_of(name))

    assert told(stack) == EXPECTED[name]
    assert stack is None or stack.language == name.partition("/")[0]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_hint_changes_nothing_that_is_right_already(name: str):
    assert told(parse_stack(text_of(name), name.partition("/")[0])) == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_of_windows_reads_the_same(name: str):
    """Carriage returns come with logs of Windows services."""
    assert told(parse_stack(text_of(name).replace("\n", "\r\n"))) == EXPECTED[name]


@pytest.mark.parametrize("name", sorted(set(EXPECTED) - UNMARKED))
def test_a_line_of_a_log_before_it_does_not_hide_the_error(name: str):
    """Stacks are logged more often than sent alone."""
    stack = parse_stack("2026-03-01 12:00:00,123 WARN [worker-3] shop.till - request failed\n" + text_of(name))

    assert told(stack) == EXPECTED[name]
