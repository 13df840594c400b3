"""Our own logs: one line an event, text or JSON; control characters escaped, so no line can be forged."""

from __future__ import annotations

import logging
import sys
import time

import orjson

from collector.config import Logs


class _Json(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage().encode("unicode_escape").decode("ascii")
        line = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower():7} {record.process_name} {message}"  # type: ignore[attr-defined]
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


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
        handler.setFormatter(_Json(process))
    else:
        handler.setFormatter(_Text())
        handler.addFilter(_Named(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(section.level.upper())
