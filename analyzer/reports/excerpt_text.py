"""Lines of source code as a report prints them: numbered, the frame's marked. Plain text; renderers escape it."""

from __future__ import annotations

from analyzer.reports.model import SourceExcerpt

ID_LENGTH = 12  # of a commit, as people write it


def numbered(excerpt: SourceExcerpt) -> str:
    """The lines with their numbers; `>` stands before the frame's."""
    last = excerpt.first_line + len(excerpt.lines) - 1
    width = len(str(last))
    return "\n".join(
        f"{'>' if number == excerpt.line else ' '} {number:>{width}}  {line}".rstrip()
        for number, line in enumerate(excerpt.lines, excerpt.first_line)
    )


def changed_by(excerpt: SourceExcerpt) -> list[str]:
    """A line for each commit to these lines, or why there is none."""
    if excerpt.commits_missing:
        return [f"commits: {excerpt.commits_missing}"]
    if excerpt.lines and not excerpt.commits:
        return ["commits: none touched these lines before the failure"]
    return [f"{one.commit_id[:ID_LENGTH]} {one.at}, {one.author}: {one.subject}" for one in excerpt.commits]
