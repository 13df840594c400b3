"""Request bytes -> rows.

In: an ExportTraceServiceRequest or ExportLogsServiceRequest, as it was sent. Out: rows of
`SPAN_DTYPE` that point into the same bytes. No Python object is made per span, protobuf is not
asked. Never repairs: what is odd in a span is kept as it was sent, with a flag.
"""

from __future__ import annotations

import numpy as np

from analyzer.kernels.hashing import SLACK_BYTES
from analyzer.spans import SPAN_DTYPE, Bytes, Rows, SpanBatch, Vocabulary
from analyzer.strings import block_of, new_vocabulary
from collector.contracts import Signal
from collector.errors import BadRequestError
from collector.wire.limits import prescan
from collector.wire.request_limits import RequestLimits
from collector.wire.scan.requests import UNDECODABLE, read_request
from collector.wire.scan.tables import new_work

_LOGS, _METRICS = Signal.LOGS, Signal.METRICS  # looked up once: an enum's members are slow to find


class Decoder:
    """The scanner with its tables. Owner: the engine thread, as of the vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Take the vocabulary ids are given by.

        Raises
        ------
        TypeError
            When it was not made by `analyzer.strings.new_vocabulary`.
        """
        self.vocabulary = vocabulary
        self._block = block_of(vocabulary)
        self._work = new_work()

    def decode_into(self, signal: Signal, raw: Bytes, offset: int, length: int, rows: Rows, first_row: int) -> int:
        """Decode the request at raw[offset : offset + length] into rows[first_row:].

        Parameters
        ----------
        raw : uint8[...]
            16 readable bytes must stand behind the request; what they hold does not matter.
        rows : SPAN_DTYPE[...]

        Returns
        -------
        int
            Rows written; -1 when `rows` has no room for all of them (nothing may be used then). Spans
            with a bad id, log records without a trace id, and metrics give no row.

        Raises
        ------
        BadRequestError
            The bytes cannot be read.
        ValueError
            The place of the request, or `first_row`, is outside of the arrays.
        """
        if offset < 0 or length < 0 or offset + length + SLACK_BYTES > len(raw):
            raise ValueError(
                f"request at {offset}, {length} bytes long, in a buffer of {len(raw)}; "
                f"expected it inside, with {SLACK_BYTES} bytes behind it"
            )
        if not 0 <= first_row <= len(rows):
            raise ValueError(f"first_row is {first_row}; expected 0 to {len(rows)}")
        if signal == _METRICS:
            return 0
        block = self._block
        count = read_request(
            raw,
            offset,
            length,
            signal == _LOGS,
            rows,
            first_row,
            block.words,
            block.text,
            self._work,
        )
        if count == UNDECODABLE:
            raise BadRequestError(
                f"a request of {length} bytes cannot be read as protobuf; "
                "expected what the guard (collector.wire.limits) lets through; look at the quarantined sample"
            )
        return int(count)

    def decode(self, payload: bytes, signal: Signal, limits: RequestLimits | None = None) -> SpanBatch:
        """Check and decode one request that came as bytes (files, tests, replay).

        Raises
        ------
        BadRequestError
            It cannot be read, or is over one of the limits.
        """
        counted = prescan(payload, signal, limits or RequestLimits())
        raw = np.empty(len(payload) + SLACK_BYTES, np.uint8)
        raw[: len(payload)] = np.frombuffer(payload, np.uint8)
        raw[len(payload) :] = 0
        rows = np.zeros(counted.count, SPAN_DTYPE)
        count = self.decode_into(signal, raw, 0, len(payload), rows, 0)
        return SpanBatch(rows[:count], raw, self.vocabulary)


def warm() -> None:
    """Compile or load every kernel a decoder uses; done before the first request."""
    decoder = Decoder(new_vocabulary(strings_max=4, operations_max=4, resources_max=4, scopes_max=4, seed=0))
    for signal in Signal:
        decoder.decode(b"", signal)
