"""Whatever becomes of a question, its client gets an answer that says so."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from collector.query.middleware import QueryCounters, QueryMiddleware


def test_a_question_that_a_stop_cuts_off_is_told_to_come_again(caplog: pytest.LogCaptureFixture):
    """503 with a delay and not a word in the log: a stop is no defect."""
    sent: list[Any] = []
    counters = QueryCounters()

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    async def cut_off() -> None:
        app = QueryMiddleware(waits, counters, 10)
        scope = {"type": "http", "path": "/api/v1/traces", "headers": []}
        asked = asyncio.ensure_future(app(scope, send, send))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        asked.cancel()
        await asked

    with caplog.at_level(logging.INFO):
        asyncio.run(cut_off())

    start, body = sent
    assert (start["status"], dict(start["headers"])[b"retry-after"]) == (503, b"1")
    assert json.loads(body["body"])["title"] == "Stopping"
    assert (counters.running, counters.outcomes["refused"], caplog.records) == (0, 1, [])
