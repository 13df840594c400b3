"""What is remembered by line is what the pattern finds in the whole text, for every language and any text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.errors.stack_traces import (
    InAppRules,
    dotnet,
    elixir,
    go,
    java,
    javascript,
    lines,
    native,
    parse_stack,
    php,
    python,
    ruby,
    rust,
)
from analyzer.errors.stack_traces.in_app import Calls, Split, Stack
from analyzer.errors.stack_traces.lines import Lines
from tests.support.naive.stack_traces import PlainRules

CORPUS = {
    f"{path.parent.name}/{path.stem}": path.read_text()
    for path in sorted((Path(__file__).parent / "corpus").glob("*/*.txt"))
}
Reader = tuple[Split, Callable[[str, Calls], Stack], tuple[str, ...]]
# How each language's frames are read, and what they are made of, in pieces that also fit together wrongly.
READERS: dict[str, Reader] = {
    "java": (java.split, java._read, ("\tat ", "at ", "a.B.c", "_COROUTINE._BOUNDARY._(", "(D.java:1)", "x y")),
    "python": (python.split, python._read, ('  File "', "a.py", '", line ', "12", ", in ", "f", "    g()", "   ^^")),
    "javascript": (
        *(javascript.split, javascript._read),
        ("  at ", "at async ", "async ", "f", " (", "/a.js", ":1", ":2", ")", "<anonymous>", "eval at g (b.js:3:4)"),
    ),
    "go": (
        *(go.split, go._read),
        (
            *(
                "main.",
                "f",
                "(0x1",
                "(0x22",
                "({0x1, ",
                ", 0x3",
                ")",
                "(...)",
                "(*T)",
                ".g",
                "created by ",
                " in goroutine 7",
            ),
            *("\n\t/a.go:12", "\n\t/b c", "\n C", ":12", " +0x1", " +0x2f", "\n\t", "\n\n"),
        ),
    ),
    "dotnet": (
        *(dotnet.split, dotnet._read),
        ("   at ", " à ", "A.B.C", "(String s)", " in ", "/a.cs", ":line ", "12", "--- End of stack trace ---", " ---"),
    ),
    "ruby": (ruby.split, ruby._read, ("\tfrom ", " 3: ", "/a.rb", ":12", ":in `", ":in '", "A#b", "'", "<internal:x>")),
    "php": (
        *(php.split, php._read),
        (
            *(
                "#0 ",
                "#12 ",
                " #1 ",
                "/a.php",
                "(12)",
                "(3)",
                ": ",
                "A->b",
                "()",
                "f(",
                "[internal function]",
                "{main}",
            ),
            *("\n#1 {main}", "\n#0 /b.php(4): g()", " : eval()'d code", "\n#2 {main} /c.php(5): h()"),
        ),
    ),
    "rust": (
        *(rust.split, rust._read),
        ("  0: ", " 12: ", "3:  ", "0x1f - ", "a::f", "\n    at ", "/a.rs", ":12", ":3", "C:", "    at /b.rs:4:5"),
    ),
    "c": (
        *(native.split, native._read),
        (
            *(
                "#0 ",
                "#1  ",
                "0x1f",
                " in ",
                "0x1 in ",
                "f",
                "a::g<b (c)>",
                " (",
                "x=1",
                ")",
                ") at ",
                ") from ",
                "/a.cc:12",
            ),
            *("<signal handler called>", "in h /a.cc:3:4", "(/lib/b.so+0x1f)", " (BuildId: 0f)"),
        ),
    ),
    "elixir": (
        *(elixir.split, elixir._read),
        ("    ", "(app 0.1.0) ", "lib/a.ex", ":12", ": ", "A.f/1", ":erlang.g/2", "(stdlib) ", "anonymous fn/1 in "),
    ),
}
ANY = ("\n", "\n", "\n", " ", "\t", "(", ")", ":", "1", "a", ".", "\x00", "\u2028", "\x0b", "0x", "é")


@pytest.fixture(autouse=True, scope="module")
def every_line_is_asked_for() -> Iterator[None]:
    """Also where most are new."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_READ_WHOLE", 0)
        yield


@st.composite
def blocks(draw: st.DrawFn, pieces: tuple[str, ...]) -> list[str]:
    """Texts with lines in common: pieces in any order, real ones and real lines among them."""
    line = st.lists(st.sampled_from((*pieces, *ANY)), max_size=8).map("".join)
    known = draw(st.lists(line, min_size=1, max_size=6))
    return draw(st.lists(st.lists(st.sampled_from(known), max_size=12).map("\n".join), min_size=1, max_size=3))


@pytest.mark.parametrize("language", READERS)
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_lines_say_what_the_text_says(language: str, data: st.DataObject):
    split, read, pieces = READERS[language]
    rules, plain = InAppRules(), PlainRules()
    texts = data.draw(blocks(pieces))

    for text in [*texts, *texts]:
        assert read("\n" + text, rules.calls(language, split)) == read("\n" + text, plain.calls(language, split))


@pytest.mark.parametrize("language", READERS)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_damaged_traces_read_alike(language: str, data: st.DataObject):
    """Lines of real traces, doubled, mixed and with pieces glued to them, with what stands around frames."""
    real = [line for name, text in CORPUS.items() if name.startswith(f"{language}/") for line in text.split("\n")]
    piece = st.sampled_from((*READERS[language][2], *ANY))
    line = st.one_of(st.sampled_from(real), st.tuples(st.sampled_from(real), piece).map("".join))
    known = data.draw(st.lists(line, min_size=1, max_size=30))
    start = data.draw(st.sampled_from([text for name, text in CORPUS.items() if name.startswith(f"{language}/")]))
    rules = InAppRules()

    for text in ("\n".join(known), start + "\n".join(known), "\n".join(known[::-1]) + start):
        assert parse_stack(text, language, rules) == parse_stack(text, language, PlainRules())


@pytest.mark.parametrize("name", CORPUS)
def test_real_traces_read_alike(name: str):
    """Before their lines are known, and then with other exceptions around them."""
    rules = InAppRules()
    for text in (CORPUS[name], CORPUS[name] + "\n", "a line of a log\n" + CORPUS[name]):
        assert parse_stack(text, rules=rules) == parse_stack(text, rules=PlainRules())


@pytest.mark.parametrize(
    ("language", "text"),
    [
        # Frames are indented less than the header, and a line of source repeats it.
        ("python", '    {0}\n  File "a.py", line 7, in f\n    raise E("{0}\nno")\nE: no\n'),
        # A call whose file begins with the word for the outermost frame, and more calls below it.
        ("php", "E: no in /a.php:3\nStack trace:\n#0 /b.php(1): f()\n#1 {main} /c.php(5): g()\n#2 /d.php(6): h()"),
        ("php", "E: no in /a.php:3\nStack trace:\n#0 /b.php(1): f()\n#1 \nc.php:5\n#2 /d.php(6): h()\n#3 {main}"),
    ],
)
def test_what_a_memory_is_easily_wrong_about(language: str, text: str):
    """Found by mutation, in memories that were tried and given up."""
    text = text.replace("{0}", "Traceback (most recent call last):")
    rules = InAppRules()

    answers = [parse_stack(text, language, rules) for _ in range(3)]

    assert answers == [parse_stack(text, language, PlainRules())] * 3
    assert answers[0] is not None


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        (
            "go",
            "\nmain.(*A).f(0x1, {0x2, 0x3})\n\t/a.go:1 +0x1d\nmain.g(...)\n\t/a.go:2\nmain.main()\n\t/a.go:3 +0x2",
            "\nmain.g(...)\n\t/a.go:2\nmain.main()\n\t/a.go:3 +0xff\nmain.(*A).f(0x7?, 0x8)\n\t/a.go:1 +0x3",
        ),
        ("rust", "\n   0: a::f\n      at /a.rs:1:2\n   1: b::g", "\n  11: b::g\n  12: a::f\n      at /a.rs:1:2"),
        ("php", "/a.php:1\n#0 /b.php(2): f()\n#1 {main}", "/a.php:1\n#10 /b.php(2): f()\n#11 {main}"),
        (
            "c",
            "\n#0  0x1f in a::f (x=1, y=2) at a.cc:1\n#1  main () at a.cc:2",
            "\n#6  main () at a.cc:2\n#10 0xff in a::f (x=4) at a.cc:1",
        ),
        ("c", "\n#0 0x1f in f /a.cc:1\n#1 0x2f in g /a.cc:2", "\n#2 0x3f in g /a.cc:2\n#3 0x4f in f /a.cc:1"),
    ],
)
def test_what_a_run_decides_makes_no_new_line(language: str, one: str, other: str):
    """Numbers, addresses, arguments and offsets are others in every stack; the call site is the same."""
    split, read, _ = READERS[language]
    calls = InAppRules().calls(language, split)
    read(one, calls)
    known = [dict(each.known) for each in calls._lines.values()]

    frames, _ = read(other, calls)

    assert len(frames) >= 2
    assert [dict(each.known) for each in calls._lines.values()] == known


def words(asked: list[str]) -> Lines[str, str, str]:
    """Lines that are words: those of capitals are found; every text that is read is told."""

    def read(text: str) -> list[str]:
        asked.append(text)
        return [word for word in text.split("\n") if word.isupper()]

    return Lines(read, lines.split_lines, lines.after_break, len)


def test_a_line_is_read_once():
    asked: list[str] = []
    known = words(asked)

    assert known.read("\nA\nno\nB") == ("A", "B")
    assert known.read("\nB\nA\nA\nno") == ("B", "A", "A")
    assert asked == ["\nA", "\nno", "\nB"]


def test_the_memory_of_lines_is_bounded(monkeypatch: pytest.MonkeyPatch):
    """By letters: full, it starts afresh and counts that; a line too long is never kept; answers stay right."""
    monkeypatch.setattr(lines, "LINES_LENGTH_MAX", 30)
    monkeypatch.setattr(lines, "LINE_LENGTH_MAX", 10)
    known = words([])

    assert known.read("\n" + "\n".join("ABCDEFGHIJ"[:size] for size in range(1, 11))) == tuple(
        "ABCDEFGHIJ"[:size] for size in range(1, 11)
    )
    assert known.read("\nABCDEFGHIJK") == ("ABCDEFGHIJK",)

    assert known.known.forgotten == 1  # 1 to 7 letters are 28, 8 to 10 are 27
    assert list(known.known) == ["ABCDEFGHIJ"[:size] for size in (8, 9, 10)]


def test_lines_of_few_letters_are_no_more_than_so_many(monkeypatch: pytest.MonkeyPatch):
    """What is remembered of a line is longer than a short line."""
    monkeypatch.setattr(lines, "KNOWN_MAX", 3)
    known = words([])

    assert known.read("\nA\nB\nC\nD\nA") == ("A", "B", "C", "D", "A")

    assert (list(known.known), known.known.forgotten) == (["D", "A"], 1)


def test_where_most_lines_are_new_texts_are_read_whole(monkeypatch: pytest.MonkeyPatch):
    """A flood of lines that never come again costs little more than no memory; what is known again is asked for again."""
    monkeypatch.setattr(lines, "_READ_WHOLE", 2)
    asked: list[str] = []
    known = words(asked)

    for number in range(6):
        assert known.read(f"\nA{number}\nB{number}") == (f"A{number}", f"B{number}")

    by_line, whole = ["\nA0", "\nB0"], ["\nA1\nB1", "\nA2\nB2"]
    assert asked == [*by_line, *whole, "\nA3", "\nB3", "\nA4\nB4", "\nA5\nB5"]
    asked.clear()
    for _ in range(3):
        assert known.read("\nA0\nA3\nB3\nB0") == ("A0", "A3", "B3", "B0")
    assert asked == []
