"""Maps beside bundles: found by the file of a frame, read once, a few kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.errors.stack_traces import parse_stack
from analyzer.errors.stack_traces.source_maps import remapped
from collector.checkout import maps
from collector.checkout.maps import SourceMaps
from collector.checkout.tree import SourceTree

# Column 0 of line 1 is line 1 of the source.
MAP = '{"version": 3, "sources": ["../src/%s.ts"], "names": [], "mappings": "AAAA"}'


def bundles(root: Path, *paths: str) -> SourceMaps:
    """A directory with a map beside each of these bundles."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{path}.map").write_text(MAP % Path(path).stem)
    return SourceMaps(SourceTree(root))


def test_a_frame_of_a_browser_is_led_to_its_source(tmp_path: Path):
    """By the end of its address; a query only names the version."""
    found = bundles(tmp_path, "static/app.js", "static/vendor.js")
    stack = parse_stack("Error: gone\n    at e (https://shop.example/static/app.js?v=3:1:9)\n    at t (other.js:1:1)")
    assert stack is not None

    frames = remapped(stack, found.find).root.frames

    assert [(frame.file, frame.line) for frame in frames] == [("https://shop.example/src/app.ts", 1), ("other.js", 1)]


def test_a_map_is_read_once(tmp_path: Path):
    found = bundles(tmp_path, "app.js")
    first = found.find("/srv/app.js")
    (tmp_path / "app.js.map").unlink()

    assert first is not None
    assert found.find("/srv/app.js") is first
    assert found.find("") is None


def test_maps_that_cannot_be_read_are_told_once(tmp_path: Path):
    found = bundles(tmp_path, "app.js", "gone.js")
    (tmp_path / "app.js.map").write_text("{")
    (tmp_path / "gone.js.map").unlink()

    assert [found.find(name) for name in ("app.js", "app.js", "gone.js")] == [None, None, None]
    assert set(found.unusable) == {"app.js.map", "gone.js.map"}
    assert "no JSON" in found.unusable["app.js.map"]


def test_the_map_used_least_lately_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(maps, "MAPS_MAX", 2)
    found = bundles(tmp_path, "a.js", "b.js", "c.js")
    first = found.find("a.js")
    second = found.find("b.js")

    assert found.find("a.js") is first
    assert found.find("c.js") is not None
    assert found.forgotten == 1
    assert found.find("a.js") is first
    assert found.find("b.js") is not second
