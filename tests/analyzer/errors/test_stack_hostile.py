"""Whatever the text: no exception, no more than the bounds, and work in proportion to its length.

Work is counted, not timed: letters looked at by the patterns, and calls made by the readers.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.errors import stack_traces
from analyzer.errors.model import StackTrace
from analyzer.errors.stack_traces import PARSERS, InAppRules, parse_stack
from analyzer.errors.stack_traces.bounds import CHAIN_MAX, FRAMES_MAX, TEXT_LENGTH_MAX
from tests.support.regex_steps import Steps

CORPUS = {
    f"{path.parent.name}/{path.stem}": path.read_text()
    for path in sorted((Path(__file__).parent / "corpus").glob("*/*.txt"))
}
LANGUAGES = ["", *PARSERS]
# What the patterns look for, in pieces.
PIECES = [
    *(
        "\n",
        "\n\t",
        "\n  at ",
        "at ",
        "a.b",
        "(a.java:1)",
        "(",
        ")",
        " (",
        ") at ",
        ":1",
        ":1:1",
        ", ",
        "', ",
        '"',
        ".",
    ),
    *(
        '\n  File "',
        ", line ",
        ", in ",
        "Traceback (most recent call last):",
        "\nCaused by: ",
        "\n\tSuppressed: ",
        "... 9 more",
    ),
    *(
        "\n[cause]: ",
        "\n  [errors]: [",
        "async ",
        "@",
        "*",
        "eval at ",
        "node_modules/",
        "\ngoroutine 1 [running]:",
        "panic: ",
    ),
    *(
        "\ncreated by ",
        "\n\t/a.go:1",
        " ---> ",
        "\n--- End of inner exception stack trace ---",
        "<",
        ">d__1.MoveNext",
        "::",
        "{",
    ),
    *(
        ":in `",
        "'",
        ": ",
        "from ",
        "\n#0 ",
        "{main}",
        "\nNext ",
        "\nStack trace:",
        " 0: ",
        "stack backtrace:",
        "0x1",
        "[0x1]",
    ),
    *(
        "** (",
        "{a,b,1,[{file,",
        "error",
        "Error: ",
        "  | ",
        "  +-+------ 1 ------",
        "+ Exception Group Traceback",
        "\x1b[1m",
    ),
    *("\r\n", "\x00", "\ud800", "\u2028", "é", "1", "a", " ", "-", "|", "/", "\\", "$", "_", "[", "]", "=", ";"),
]


def within_bounds(stack: StackTrace | None) -> bool:
    if stack is None:
        return True
    frames = [frame for thrown in stack.chain for frame in thrown.frames]
    seams = [seam for thrown in stack.chain for seam in thrown.async_after if not 0 <= seam < len(thrown.frames)]
    return (
        0 < len(frames) <= FRAMES_MAX
        and 0 < len(stack.chain) <= CHAIN_MAX
        and not seams
        and all(isinstance(frame.line, int) and isinstance(frame.file, str) for frame in frames)
        and stack.chain[0].relation == "thrown"
        and stack.origin is not None
    )


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join), st.sampled_from(LANGUAGES))
def test_pieces_of_every_language_in_any_order(text: str, language: str):
    assert within_bounds(parse_stack(text, language))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300), st.sampled_from(LANGUAGES))
def test_any_text(text: str, language: str):
    assert within_bounds(parse_stack(text, language))


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A real trace with lines doubled, dropped and moved, letters changed, another trace spliced in."""
    lines = draw(st.sampled_from(list(CORPUS.values())))[:4000].split("\n")
    for _ in range(draw(st.integers(1, 6))):
        at, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
        kind = draw(st.sampled_from(["double", "drop", "move", "letter", "splice", "glue"]))
        if kind == "double":
            lines[at:at] = lines[at : at + draw(st.integers(1, 20))]
        elif kind == "drop" and len(lines) > 1:
            del lines[at]
        elif kind == "move":
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == "letter":
            place = draw(st.integers(0, len(lines[at])))
            lines[at] = lines[at][:place] + draw(st.sampled_from(PIECES)) + lines[at][place + 1 :]
        elif kind == "splice":
            lines[at:at] = draw(st.sampled_from(list(CORPUS.values())))[:2000].split("\n")
        elif kind == "glue" and at + 1 < len(lines):
            lines[at : at + 2] = [lines[at] + lines[at + 1]]
    return "\n".join(lines)


@settings(max_examples=400, deadline=None)
@given(mutated(), st.sampled_from(LANGUAGES))
def test_damaged_traces(text: str, language: str):
    assert within_bounds(parse_stack(text, language))


@pytest.mark.parametrize("language", PARSERS)
@pytest.mark.parametrize(
    "piece", ["a", " ", "(", "\n", "\n\t", "1", ":", "at ", "\x00", "\ud800", "🙂", "\n  at a.b(c.d:1)"]
)
def test_huge_texts_are_cut_and_say_so(piece: str, language: str):
    """A megabyte of one thing, alone and behind the beginning of a real trace."""
    for start in ("", next(text for name, text in CORPUS.items() if name.startswith(language))):
        stack = parse_stack(start + piece * (1_000_000 // len(piece)), language)

        assert within_bounds(stack)
        assert stack is None or stack.truncated


def test_both_ends_of_a_text_are_read():
    """Java says first what failed, Python last: the middle goes."""
    middle = '  File "/srv/app/a.py", line 1, in f\n' * 4000
    text = f'Traceback (most recent call last):\n  File "/srv/app/main.py", line 7, in main\n{middle}'
    text += '  File "/srv/app/shop.py", line 12, in buy\nValueError: gone'

    stack = parse_stack(text)

    assert len(text) > TEXT_LENGTH_MAX
    assert stack is not None
    assert stack.truncated
    assert (stack.root.type, stack.root.message, len(stack.root.frames)) == ("ValueError", "gone", FRAMES_MAX)
    assert (stack.root.frames[0].function, stack.root.frames[-1].function) == ("buy", "main")


def test_a_chain_too_long_keeps_both_ends():
    """Wrapping in a loop: the outermost and the innermost stay, each with frames."""
    text = "a.Outer: 0\n\tat a.B.c(D.java:1)\n" + "".join(
        f"Caused by: a.E: {number}\n\tat a.B.c(D.java:{number})\n\t... 1 more\n" for number in range(1, 900)
    )

    stack = parse_stack(text)

    assert stack is not None
    assert stack.truncated
    assert len(stack.chain) == CHAIN_MAX
    assert (stack.chain[0].type, stack.root.message) == ("a.Outer", "899")
    assert all(thrown.frames for thrown in stack.chain)


def test_frames_left_out_are_given_back_only_so_often():
    """Each cause says it left a thousand frames out: a million are not made."""
    frames = "\n".join("\tat a.B.c(D.java:1)" for _ in range(1000))
    text = f"a.Outer\n{frames}\n" + "Caused by: a.E\n\t... 1000 more\n" * 1000

    stack = parse_stack(text)

    assert stack is not None
    assert sum(len(thrown.frames) for thrown in stack.chain) == FRAMES_MAX


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    for module in pkgutil.iter_modules(stack_traces.__path__):
        held = vars(importlib.import_module(f"{stack_traces.__name__}.{module.name}"))
        for name, value in held.items():
            values = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else [value]
            for index, one in enumerate(values):
                for pattern in one if isinstance(one, tuple) else [one]:
                    if isinstance(pattern, re.Pattern):
                        yield f"{module.name}.{name}{index or ''}", pattern


PATTERNS = dict(patterns())
# These are asked once, at a place that is given; the others are searched for in the whole text.
MATCHED_ONLY = {
    *(
        "dotnet._STATE_MACHINE",
        "headers._PLAIN",
        "java._LOADER",
        "native._GDB_PLACE",
        "native._PLACE",
        "native._OBJECT",
    ),
    *("php._PLACE", "python._MARGIN", "rust._NEW_PLACE", "rust._OLD_PLACE", "javascript._PACKAGE"),
    *("go._RUNTIME_PANIC", "native._NUMBERED_PLACE"),
}


def steps(name: str, text: str) -> int:
    counter = Steps(PATTERNS[name])
    if name in MATCHED_ONLY:
        counter.match(text, 0)
        return counter.count
    return counter.scan(text)


@pytest.mark.parametrize("name", PATTERNS)
def test_the_counted_engine_finds_what_re_finds(name: str):
    """What counts steps below is the same matching."""
    pattern = PATTERNS[name]
    for text in [
        text for path, text in CORPUS.items() if path.endswith(("chain", "group", "thread", "waited", "clause"))
    ]:
        text = "\n" + text[:600]
        for line in re.finditer("\n[ \t]*|[({:]", text):
            found = pattern.match(text, line.start())

            assert Steps(pattern).match(text, line.start()) == (found and found.end())


def in_proportion(name: str, start: str, unit: str) -> None:
    """Twice the text, at most twice the steps; bounded repeats may cost their bound once more."""
    count = 120 // len(unit) + 1

    once, twice = steps(name, start + unit * count), steps(name, start + unit * 2 * count)

    assert twice <= 2.3 * once + 6000, f"{name}: {start!r} + {unit!r}: {once} steps, then {twice}"


@pytest.mark.parametrize(("name", "unit"), [("elixir._ERROR", "** (")])
def test_what_once_cost_too_much(name: str, unit: str):
    in_proportion(name, "", unit)


def beginnings(name: str, cuts_max: int) -> set[str]:
    """What the pattern looks for, cut where one kind of letter ends and another begins, from its start to its end."""
    found = (found[0] for text in CORPUS.values() if (found := PATTERNS[name].search("\n" + text)) and found[0].strip())
    real = next(found, "")[:160]
    cuts = [at for at in range(1, len(real)) if not (real[at - 1].isalpha() and real[at].isalpha())][:24]
    cuts = cuts[:: -(-len(cuts) // cuts_max) or 1]
    return {"", "\n", real, *(real[:cut] for cut in cuts)}


@pytest.mark.parametrize("cuts_max", [8, pytest.param(24, marks=pytest.mark.deep)])
@pytest.mark.parametrize("name", PATTERNS)
def test_one_letter_again_and_again_costs_steps_in_proportion(name: str, cuts_max: int):
    """Behind nothing, and behind beginnings of what the pattern looks for (deep: every one)."""
    for start in beginnings(name, cuts_max):
        for unit in ("a", "1", " ", "\t", "\n", ".", ":", "(", ")", "<", "/", "'", "a ", "a.", "\n "):
            in_proportion(name, start, unit)


@pytest.mark.parametrize("name", PATTERNS)
@settings(max_examples=10, deadline=None)
@given(st.data())
def test_any_two_pieces_again_and_again_cost_steps_in_proportion(name: str, data: st.DataObject):
    text = "\n" + data.draw(st.sampled_from(list(CORPUS.values())))[:3000]
    found = [match[0] for match in PATTERNS[name].finditer(text)]
    start = data.draw(st.sampled_from(["", *found[:20]]))
    start = start[: data.draw(st.integers(0, len(start)))][-300:]
    unit = "".join(data.draw(st.lists(st.sampled_from(PIECES), min_size=1, max_size=2)))

    in_proportion(name, start, unit)


def calls_made(text: str, language: str) -> int:
    """Calls of Python and C functions while a text is read by rules that know nothing."""
    count = 0

    def counted(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    rules = InAppRules()
    sys.setprofile(counted)
    try:
        parse_stack(text, language, rules)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("name", [name for name, text in CORPUS.items() if 200 < len(text) < 3000])
def test_readers_make_calls_in_proportion(name: str):
    """The same trace again and again in one text, twice as often: twice the calls."""
    text = CORPUS[name] + "\n"
    times = TEXT_LENGTH_MAX // 2 // len(text)

    once, twice = (
        calls_made(text * (times // 2), name.partition("/")[0]),
        calls_made(text * times, name.partition("/")[0]),
    )

    assert twice <= 2.3 * once + 500
