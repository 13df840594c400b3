"""Bundles back to sources: what Node.js says of a real bundle, the rules of the format, and damaged maps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.errors.stack_traces import parse_stack
from analyzer.errors.stack_traces.source_maps import SourceMap, UnusableSourceMap, parse_source_map, remapped

FILES = Path(__file__).parent / "source_maps"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
Segment = tuple[int, ...]


def vlq(number: int) -> str:
    """One number as the format writes it."""
    left, text = (-number << 1 | 1) if number < 0 else number << 1, ""
    while True:
        left, digit = left >> 5, left & 31
        text += ALPHABET[digit | (32 if left else 0)]
        if not left:
            return text


def written(lines: list[list[Segment]], **more: object) -> str:
    """A map of (column, source, line, column, name), all from 0; the naive way, number for number."""
    last, shown = [0, 0, 0, 0, 0], []
    for line in lines:
        last[0] = 0
        segments = []
        for segment in line:
            segments.append("".join(vlq(value - last[place]) for place, value in enumerate(segment)))
            last[: len(segment)] = segment
        shown.append(",".join(segments))
    told = {"version": 3, "sources": ["a.ts", "b.ts"], "names": ["tea", "milk"], "mappings": ";".join(shown)}
    return json.dumps(told | more)


def naive(lines: list[list[Segment]], line: int, column: int) -> Segment | None:
    """The last segment at or before a column, counted from 1."""
    found = [segment for segment in lines[line - 1] if segment[0] <= column - 1]
    return found[-1][1:] if found and len(found[-1]) > 1 else None


def test_node_says_the_same_of_a_real_bundle():
    """Files, lines and columns of a minified bundle, as `node --enable-source-maps` prints them."""
    known = parse_source_map((FILES / "shop.min.js.map").read_text())
    stack = parse_stack((FILES / "stack.txt").read_text())
    expected = parse_stack((FILES / "mapped.txt").read_text())
    assert stack is not None
    assert expected is not None

    found = remapped(stack, lambda file: known if file.endswith("shop.min.js") else None)

    assert [frame[2:] for frame in found.root.frames] == [frame[2:] for frame in expected.root.frames]
    assert found.root.async_after == expected.root.async_after


def test_the_name_comes_from_the_call():
    """A minified function's name is what its caller calls it by."""
    known = parse_source_map(written([[(0, 0, 6, 2), (10, 1, 3, 4, 1)]]))
    stack = parse_stack("Error: gone\n    at e (/srv/app/b.js:1:3)\n    at t (/srv/app/b.js:1:12)")
    assert stack is not None

    inner, outer = remapped(stack, lambda _: known).root.frames

    assert (inner.function, inner.file, inner.line, inner.column) == ("milk", "/srv/app/a.ts", 7, 3)
    assert (outer.function, outer.file, outer.line, outer.column) == ("t", "/srv/app/b.ts", 4, 5)


def test_sources_of_libraries():
    """node_modules by its path; the bundler's own list by its word."""
    text = "Error: gone\n    at e (/srv/app/dist/b.js:1:1)\n    at t (/srv/app/dist/b.js:1:9)"
    stack = parse_stack(text)
    assert stack is not None
    lines = [[(0, 0, 0, 0), (5, 1, 0, 0)]]

    def owned(**more: object) -> list[bool | None]:
        known = parse_source_map(written(lines, **more))
        return [frame.in_app for frame in remapped(stack, lambda _: known).root.frames]

    assert owned() == [True, True]
    assert owned(ignoreList=[1]) == [True, False]
    assert owned(sources=["../node_modules/till/a.js", "../src/b.ts"]) == [False, True]


def test_frames_without_a_map_stay():
    stack = parse_stack("Error: gone\n    at e (/srv/app/b.js:1:3)\n    at Array.map (<anonymous>)")
    java = parse_stack("a.B\n\tat c.D.e(F.java:1)")
    assert stack is not None
    assert java is not None

    assert remapped(stack, lambda _: None) == stack
    assert remapped(java, lambda _: pytest.fail("Java has no source maps")) is java


segments = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 1), st.integers(0, 90_000), st.integers(0, 5000), st.integers(0, 1)),
    max_size=8,
    unique_by=lambda segment: segment[0],
).map(sorted)


@settings(max_examples=200, deadline=None)
@given(st.lists(segments, min_size=1, max_size=6), st.data())
def test_every_place_is_found_as_in_the_plain_list(lines: list[list[Segment]], data: st.DataObject):
    """Segments of 1, 4 and 5 numbers, empty lines, columns between and before segments."""
    cut = [[segment[: data.draw(st.sampled_from([1, 4, 5]))] for segment in line] for line in lines]
    known = parse_source_map(written(cut))

    for line in range(1, len(lines) + 1):
        for column in (1, 2, 57, 401, 10_000):
            found, expected = known.find(line, column), naive(cut, line, column)

            if expected is None:
                assert found is None
            else:
                assert found is not None
                assert (found.source, found.line, found.column) == (
                    ("a.ts", "b.ts")[expected[0]],
                    expected[1] + 1,
                    expected[2] + 1,
                )
                assert found.name == (("tea", "milk")[expected[3]] if len(expected) > 3 else "")


def test_places_outside_of_the_map_are_unknown():
    known = parse_source_map(written([[(4, 0, 0, 0)]]))

    assert known.find(0, 1) is None
    assert known.find(1, 1) is None
    assert known.find(2, 1) is None
    assert known.find(1, 5) is not None
    assert isinstance(parse_source_map(written([[]])), SourceMap)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "version 3"),
        ('{"version": 2}', "version 3"),
        ('{"version": 3, "sections": []}', "sections"),
        ('{"version": 3}', "mappings"),
        ('{"version": 3, "mappings": "AAAé"}', "ASCII"),
        ('{"version": 3, "mappings": "A!"}', "base64"),
        ('{"version": 3, "mappings": "g"}', "breaks off"),
        ('{"version": 3, "mappings": "Ag,A"}', "breaks off"),
        ('{"version": 3, "mappings": "gggggggggA"}', "32 bits"),
        ('{"version": 3, "mappings": "AA"}', "1, 4 or 5"),
    ],
)
def test_damaged_maps_say_what_is_wrong(text: str, said: str):
    with pytest.raises(UnusableSourceMap, match=said):
        parse_source_map(text)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=ALPHABET + ",;", max_size=60))
def test_any_mappings_are_read_or_refused(mappings: str):
    """Numbers that lead outside of the sources lead nowhere."""
    try:
        known = parse_source_map(json.dumps({"version": 3, "sources": ["a.ts"], "mappings": mappings}))
    except UnusableSourceMap:
        return
    for line in range(4):
        place = known.find(line, 3)
        assert place is None or (place.source == "a.ts" and place.line > 0 and place.column > 0)
