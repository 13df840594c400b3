"""Lines around a frame: the right file, or none, and never one outside of the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from analyzer.errors.model import Frame
from collector.checkout import tree
from collector.checkout.tree import SourceTree

CODE = "".join(f"line {number}\n" for number in range(1, 21))


def checkout(folder: Path, *paths: str) -> SourceTree:
    """A checkout with these files of twenty lines."""
    root = folder / "checkout"
    root.mkdir(exist_ok=True)
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(CODE)
    return SourceTree(root)


def test_a_path_of_another_machine_is_matched_by_its_end(tmp_path: Path):
    """/srv/app is where it ran; the checkout has its own place."""
    found = checkout(tmp_path, "src/shop/cart.py", "src/till/cart.py", "docs/cart.md")

    assert found.find(Frame("f", file="/srv/app/shop/cart.py", line=3)) == "src/shop/cart.py"
    assert found.find(Frame("f", file="C:\\app\\till\\cart.py", line=3)) == "src/till/cart.py"
    assert found.find(Frame("f", file="/srv/app/shop/other.py", line=3)) is None


def test_java_is_found_by_its_package(tmp_path: Path):
    """A Java frame has a bare name; the class says the rest."""
    found = checkout(tmp_path, "a/src/main/java/com/acme/Shop.java", "b/src/main/java/org/other/Shop.java")

    assert found.find(Frame("buy", "com.acme.Shop$Cart", "Shop.java", 3)) == "a/src/main/java/com/acme/Shop.java"


def test_two_that_fit_equally_well_are_none(tmp_path: Path):
    """Wrong lines are worse than no lines."""
    found = checkout(tmp_path, "a/util.py", "b/util.py")

    assert found.find(Frame("f", file="util.py", line=3)) is None
    assert found.find(Frame("f", file="/srv/b/util.py", line=3)) == "b/util.py"


def test_lines_around(tmp_path: Path):
    found = checkout(tmp_path, "shop.py")

    middle = found.around(Frame("f", file="/srv/app/shop.py", line=10), 2)
    start = found.around(Frame("f", file="shop.py", line=1), 2)

    assert middle is not None
    assert (middle.path, middle.line, middle.first_line) == ("shop.py", 10, 8)
    assert middle.lines == ("line 8", "line 9", "line 10", "line 11", "line 12")
    assert start is not None
    assert (start.first_line, start.lines) == (1, ("line 1", "line 2", "line 3"))
    assert found.around(Frame("f", file="shop.py", line=99)) is None
    assert found.around(Frame("f", file="shop.py", line=0)) is None
    assert found.around(Frame("f", line=3)) is None


@pytest.mark.parametrize(
    "file",
    [
        "../secret.py",
        "/../../secret.py",
        "..\\secret.py",
        "a/../../secret.py",
        "/etc/passwd",
        "....//secret.py",
        "..",
        "/",
    ],
)
def test_no_path_leads_out(tmp_path: Path, file: str):
    (tmp_path / "secret.py").write_text("secret\n" * 20)
    found = checkout(tmp_path, "shop.py")

    assert found.around(Frame("f", file=file, line=1)) is None


def test_links_are_not_followed(tmp_path: Path):
    """Neither a file, nor a folder, nor one that became a link after it was indexed."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.py").write_text("secret\n")
    found = checkout(tmp_path, "shop.py", "inner/cart.py")
    (found.root / "link.py").symlink_to(tmp_path / "outside" / "secret.py")
    (found.root / "folder").symlink_to(tmp_path / "outside")
    found.refresh()
    assert found.around(Frame("f", file="link.py", line=1)) is None
    assert found.around(Frame("f", file="folder/secret.py", line=1)) is None
    (tmp_path / "outside" / "cart.py").write_text("secret\n")
    (found.root / "inner" / "cart.py").unlink()
    (found.root / "inner").rmdir()
    (found.root / "inner").symlink_to(tmp_path / "outside")

    assert found.find(Frame("f", file="inner/cart.py", line=1)) == "inner/cart.py"
    assert found.around(Frame("f", file="inner/cart.py", line=1)) is None


def test_what_is_no_text_is_not_shown(tmp_path: Path):
    """Too large, binary, a pipe, gone: no lines, and nothing that waits."""
    found = checkout(tmp_path, "large.py", "binary.py", "gone.py", "pipe.py")
    (found.root / "large.py").write_text("x" * (tree.FILE_BYTES_MAX + 1))
    (found.root / "binary.py").write_bytes(b"a\0b")
    (found.root / "gone.py").unlink()
    (found.root / "pipe.py").unlink()
    os.mkfifo(found.root / "pipe.py")

    assert [found.around(Frame("f", file=f"{name}.py", line=1)) for name in ("large", "binary", "gone", "pipe")] == [
        None
    ] * 4


def test_lines_are_cut_and_letters_replaced(tmp_path: Path):
    found = checkout(tmp_path, "shop.py")
    (found.root / "shop.py").write_bytes(b"\xff" + b"x" * 1000 + b"\r\n")

    lines = found.around(Frame("f", file="shop.py", line=1), 0)

    assert lines is not None
    assert lines.lines == ("\ufffd" + "x" * (tree.LINE_LENGTH_MAX - 1),)


def test_the_index_is_bounded_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tree, "FILES_MAX", 2)

    found = checkout(tmp_path, "a.py", "b.py", "c.py", "node_modules/d.py", ".git/e.py")

    assert found.unread == 1


def test_a_checkout_that_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(NotADirectoryError, match="checkout"):
        SourceTree(tmp_path / "missing")
