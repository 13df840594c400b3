"""Commits behind a line, asked of a real repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from collector.checkout import history
from collector.checkout.history import HistoryUnknown, suspects

pytestmark = pytest.mark.skipif(shutil.which("git") is None and "CI" not in os.environ, reason="git is not installed")


def git(root: Path, *arguments: str, time_s: int = 0) -> None:
    """Run git as Ada, at a given time."""
    when = f"@{time_s} +0000"
    env = {"PATH": "/usr/bin:/bin", "HOME": str(root), "GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=root, env=env, check=True, capture_output=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty lines; line 10 changed twice, line 25 once."""
    root = tmp_path_factory.mktemp("repository")
    git(root, "init", "-q")
    lines = [f"line {number}\n" for number in range(1, 31)]

    def commit(subject: str, time_s: int) -> None:
        (root / "shop.py").write_text("".join(lines))
        git(root, "add", ".")
        git(root, "commit", "-q", "-m", subject, time_s=time_s)

    commit("till: is there", 1_000_000)
    lines[9] = "line 10, cheaper\n"
    commit("till: count the tea", 2_000_000)
    lines[24] = "line 25, dearer\n"
    commit("till: count the milk", 3_000_000)
    lines[9] = "line 10, free\n"
    commit("till: <b>tea</b> is free", 4_000_000)
    return root


def test_commits_to_the_line_newest_first(repository: Path):
    found = suspects(repository, "shop.py", 10)

    assert [commit.subject for commit in found] == ["till: <b>tea</b> is free", "till: count the tea", "till: is there"]
    assert (found[0].time_s, found[0].author, len(found[0].id)) == (4_000_000, "Ada", 40)


def test_only_what_was_there_before_the_error(repository: Path):
    assert [commit.time_s for commit in suspects(repository, "shop.py", 10, before_s=3_500_000)] == [
        2_000_000,
        1_000_000,
    ]
    assert [commit.time_s for commit in suspects(repository, "shop.py", 25, most=1)] == [3_000_000]


def test_the_last_line_has_commits_too(repository: Path):
    """Three lines behind it there is nothing."""
    assert [commit.time_s for commit in suspects(repository, "shop.py", 30)] == [1_000_000]


@pytest.mark.parametrize(
    ("path", "line"), [("missing.py", 1), ("shop.py", 99), ("shop.py", 0), ("../x", 1), ("a\nb", 1), ("--output=x", 1)]
)
def test_places_it_does_not_know(repository: Path, path: str, line: int):
    with pytest.raises(HistoryUnknown):
        suspects(repository, path, line)
    assert not (repository / "x").exists()


def test_no_repository(tmp_path: Path):
    with pytest.raises(HistoryUnknown, match="git knows nothing"):
        suspects(tmp_path, "shop.py", 1)


def test_what_the_repository_configures_is_not_run(repository: Path, tmp_path: Path):
    """A monitor, an external diff and a pager that would leave a trace."""
    root = tmp_path / "hostile"
    shutil.copytree(repository, root)
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    for key in ("core.fsmonitor", "diff.external", "core.pager", "pager.log", "diff.tea.textconv", "diff.tea.command"):
        git(root, "config", key, str(trap))
    (root / ".gitattributes").write_text("*.py diff=tea\n")

    assert suspects(root, "shop.py", 10)
    assert not (tmp_path / "sprung").exists()


def test_it_does_not_wait_for_ever(repository: Path, monkeypatch: pytest.MonkeyPatch):
    def slow(command: list[str], **rest: float) -> None:
        raise subprocess.TimeoutExpired(command, rest["timeout"])

    monkeypatch.setattr(history.subprocess, "run", slow)

    with pytest.raises(HistoryUnknown, match="longer than 10 s"):
        suspects(repository, "shop.py", 10)
