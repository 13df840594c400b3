"""`firstfault report TRACE_ID|INCIDENT_ID|GROUP_ID|FILE`: a report, from a running server or from files.

In: what to report on. Out: text on standard output or in files; everything else goes to standard error. Exit status: 0
written, 1 nothing to report on, 2 wrong use or a file that cannot be opened.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from collector.ask import fetch_report
from collector.verdict_text import plain

if TYPE_CHECKING:
    from collector.reporting import Format

_ID = re.compile(r"[0-9a-fA-F]{16}|[0-9a-fA-F]{32}", re.ASCII)
_ENDINGS = {"json": "json", "markdown": "md", "html": "html", "monitors": "monitors.json"}


def write_report(
    target: str,
    format: str,
    output: Path | None,
    baseline: list[str],
    limit: int,
    server: str,
    sources: tuple[str, str] = ("", ""),
) -> int:
    """Write what was asked for; the exit status.

    Parameters
    ----------
    sources : directories of a checkout and of source maps, for files; empty: none
    """
    if target == "-" or Path(target).exists():
        return _of_file(target, format, output, baseline, limit, sources)
    if any(sources):
        _say("--checkout and --maps are for files; a server has its own (sources.checkout, sources.maps)")
        return 2
    if not _ID.fullmatch(target):
        _say(
            f"{target[:80]!r} is neither a file nor an id; expected 32 hex digits, 16 of a group, or the name of a file"
        )
        return 2
    found = fetch_report(server, target, format)
    if isinstance(found, int):
        return found
    return _put([(target, found[0].decode("utf-8", "replace"))], format, output)


def _of_file(
    target: str, format: str, output: Path | None, baseline: list[str], limit: int, sources: tuple[str, str]
) -> int:
    """Reports of the traces in a file that have something to say."""
    from collector.analyze_files import judge_files

    judged = judge_files([target], baseline)
    if isinstance(judged, int):
        return judged
    analyzer, verdicts = judged.analyzer, judged.verdicts
    said = [(int(index), analyzer.explain(verdicts, int(index))) for index in np.flatnonzero(verdicts.suspicious)]
    said = [(index, answer) for index, answer in said if answer.status not in ("clean", "partial")]
    if not said:
        _say("no trace of the file has something to say, so there is nothing to report on")
        return 1
    wanted = said[:limit]
    if len(wanted) > 1 and format == "html" and output is None:
        _say(f"{len(wanted)} traces have something to say; a page holds one: give --output FOLDER, or --limit 1")
        return 2

    def pages() -> Iterator[tuple[str, str]]:
        from collector.checkout.context import SourceContext
        from collector.clock import SystemClock
        from collector.reporting import page_of_analysis

        context = SourceContext(SystemClock(), *sources) if any(sources) else None
        written = cast("Format", format)  # the command line takes no other
        for index, answer in wanted:
            yield answer.trace_id, page_of_analysis(answer, verdicts.analysis, index, sources=context).write(written)

    status = _put(list(pages()), format, output)
    if len(said) > len(wanted):
        _say(f"{len(said) - len(wanted)} more traces have something to say; raise --limit to report on them")
    return status


def _put(pages: list[tuple[str, str]], format: str, output: Path | None) -> int:
    """To standard output, to a file, or, several of them, into a folder under their ids."""
    pages = [(name, _steady(text)) for name, text in pages]
    if output is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")  # reports are UTF-8, whatever the locale
        between = "\n" if format in ("json", "monitors") else "\n---\n\n"
        sys.stdout.write(between.join(text.rstrip("\n") for _, text in pages) + "\n")
        return 0
    try:
        if len(pages) == 1 and not output.is_dir():
            output.write_text(pages[0][1], "utf-8")
            return 0
        output.mkdir(parents=True, exist_ok=True)
        for name, text in pages:
            (output / f"{name}.{_ENDINGS[format]}").write_text(text, "utf-8")
    except OSError as error:
        _say(f"cannot write {error.filename or output}: {error.strerror or error}")
        return 2
    _say(f"{len(pages)} reports are in {output}")
    return 0


def _steady(text: str) -> str:
    """Without characters that steer a terminal; what a server sent is not trusted either."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else " " for letter in text)


def _say(text: str) -> None:
    sys.stderr.write(plain(text) + "\n")
