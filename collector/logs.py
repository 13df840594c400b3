"""Our own logs: one line an event, text or JSON; control characters escaped, so no line can be forged, by errors' own
words neither.

JSON lines keep the log schema of docs/logs.md and carry the correlation id of the request they are about.
"""

from __future__ import annotations

import logging
import socket
import sys
import time
from hashlib import blake2b

import orjson

from analyzer.version import __version__
from collector import correlation
from collector.config import Logs
from collector.json_text import steady_json

_LEVELS = {"CRITICAL": "ERROR", "WARNING": "WARN", "NOTSET": "TRACE"}


class _Json(logging.Formatter):
    """Lines that keep `analyzer.errors.log_schema`; written by hand here, so that no process loads the analyzer."""

    converter = staticmethod(time.gmtime)

    def __init__(self, process: str, environment: str) -> None:
        super().__init__()
        self._process, self._environment, self._host = process, environment, socket.gethostname()

    def format(self, record: logging.LogRecord) -> str:
        level = _LEVELS.get(record.levelname, record.levelname)
        message = record.getMessage()
        line: dict[str, object] = {
            "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": level,
            "message": message,
            "correlation_id": correlation.current.get(),
            "trace_id": "",  # we do not trace ourselves
            "span_id": "",
            "service": "firstfault",
            "environment": self._environment,
            "host": self._host,
            "version": __version__,
        }
        if level == "ERROR" or record.exc_info:
            line["error"] = self._error(record, message)
        line["context"] = {"process": self._process, "logger": record.name}
        # A name of a file may hold bytes that are no text; a line must not be lost for it.
        return steady_json(orjson.dumps(_whole(line), default=str).decode())

    def _error(self, record: logging.LogRecord, message: str) -> dict[str, str]:
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else "Error"
        # The template, not the message: what is filled in differs from line to line.
        seed = f"{record.name}\0{record.msg}\0{kind}".encode("utf-8", "surrogatepass")
        found = {"type": kind, "message": message, "fingerprint": blake2b(seed, digest_size=8).hexdigest()}
        if record.exc_info:
            found["stack_trace"] = self.formatException(record.exc_info)
        return found


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = _on_one_line(record.getMessage())
        line = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower():7} {record.process_name} {message}"  # type: ignore[attr-defined]
        if not record.exc_info:
            return line
        # Lines of an error's own text stand to the right of where our lines begin: none can be taken for one.
        return "\n".join(
            [line, *("  " + _on_one_line(one) for one in self.formatException(record.exc_info).split("\n"))]
        )


def _on_one_line(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")


def _whole(value: object) -> object:
    """Text that UTF-8 can hold, also inside of dictionaries."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: _whole(one) for key, one in value.items()}
    return value


class _Named(logging.Filter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def filter(self, record: logging.LogRecord) -> bool:
        record.process_name = self._process
        return True


def set_up_logging(section: Logs, process: str) -> None:
    """Send our logs to standard error, marked with the name of the process."""
    handler = logging.StreamHandler(sys.stderr)
    if section.format == "json":
        handler.setFormatter(_Json(process, section.environment))
    else:
        handler.setFormatter(_Text())
        handler.addFilter(_Named(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(section.level.upper())
