"""Which nodes failed, and as what: arrays only.

In: span rows and node flags of a batch. Out: failed, weak, and the class of each. Never reads text (type
names come as a table by string id), never raises on data. Where the blame goes: `blame.py`.
Truth: tests/support/naive/errors.py.
"""

from __future__ import annotations

import numpy as np
from numba import from_dtype, njit, types

from analyzer.error_classes import HTTP_CLASS, RPC_CLASS, ErrorClass
from analyzer.forest import NodeFlag
from analyzer.kernels.options import ARRAYS_ONLY
from analyzer.spans import NO_RPC_STATUS, SPAN_DTYPE, SpanFlag, SpanKind, StatusCode

NOT_READ = 255  # no ErrorClass
_FLAG_EXCEPTION = int(SpanFlag.EXCEPTION)
_LOGS = int(NodeFlag.ERROR_LOG | NodeFlag.EXCEPTION_LOG)
_OK, _ERROR = int(StatusCode.OK), int(StatusCode.ERROR)
_SERVER, _CLIENT, _UNSPECIFIED = int(SpanKind.SERVER), int(SpanKind.CLIENT), int(SpanKind.UNSPECIFIED)
_NONE, _UNKNOWN, _INTERNAL = int(ErrorClass.NONE), int(ErrorClass.UNKNOWN), int(ErrorClass.INTERNAL)
_CLIENT_FAULT, _BUSINESS = int(ErrorClass.CLIENT), int(ErrorClass.BUSINESS)


@njit(**ARRAYS_ONLY)
def _class_of(http, rpc, error_type, exception_type, message, http_class, rpc_class):
    """The most telling class first: 500 and gRPC UNKNOWN/INTERNAL say less than a type or a message."""
    code = _NONE
    if 400 <= http < len(http_class):
        code = http_class[http]
    if code == _NONE and rpc != NO_RPC_STATUS:
        code = rpc_class[rpc]
    business = error_type == _BUSINESS or exception_type == _BUSINESS or message == _BUSINESS
    if code != _NONE and code != _INTERNAL and code != _UNKNOWN:
        return _BUSINESS if code == _CLIENT_FAULT and business else code
    if error_type != _NONE and error_type != _INTERNAL and error_type != _UNKNOWN:
        return error_type
    if exception_type != _NONE:
        return exception_type
    if message != _NONE:
        return message
    if error_type != _NONE:
        return error_type
    return code if code != _NONE else _UNKNOWN


_ROWS = types.Array(from_dtype(SPAN_DTYPE), 1, "C", readonly=True)


def _read(scalar, dimensions=1):
    return types.Array(scalar, dimensions, "C", readonly=True)


def _write(scalar, dimensions=1):
    return types.Array(scalar, dimensions, "C")


@njit(
    [
        types.int64(
            _ROWS,
            _read(types.int32),
            _read(types.uint16),
            _read(types.uint8),
            _read(types.uint8),
            _read(types.uint8),
            _write(types.boolean),
            _write(types.boolean),
            _write(types.uint8),
        )
    ],
    **ARRAYS_ONLY,
)
def classify(rows, node_row, node_flags, string_classes, http_class, rpc_class, failed, weak, error_class):
    """Mark the nodes that say they failed, and the ones that only hint at it.

    Failed: status ERROR; or, status not OK: SERVER HTTP >= 500, CLIENT HTTP >= 400, CLIENT gRPC code != 0,
    SERVER gRPC UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS (OpenTelemetry
    semantic conventions; a span without a kind is read as SERVER). Weak: an exception, an exception log or
    error log without that; or HTTP >= 400 on a CLIENT whose status is OK.

    Parameters
    ----------
    rows : SPAN_DTYPE[n]
    node_row : int32[m]
        Row of each node.
    node_flags : uint16[m]
        NodeFlag.
    string_classes : uint8[n_strings]
        ErrorClass of a type name, by string id; `NOT_READ` where nobody has read it yet.
    http_class : uint8[600]
    rpc_class : uint8[256]
    failed, weak : bool[m]
        Out.
    error_class : uint8[m]
        Out: ErrorClass of failed and weak nodes, else NONE.

    Returns
    -------
    int
        Type names met that have not been read; when there are any, read them and classify again.
    """
    strings = len(string_classes)
    unread = 0
    for i in range(len(node_row)):
        r = node_row[i]
        kind, status = rows[r]["kind"], rows[r]["status"]
        http, rpc = rows[r]["http_status"], rows[r]["rpc_status"]
        is_failed = status == _ERROR
        if not is_failed and status != _OK:
            if kind == _CLIENT:
                is_failed = http >= 400 or (rpc != 0 and rpc != NO_RPC_STATUS)
            elif kind in (_SERVER, _UNSPECIFIED):
                is_failed = http >= 500 or rpc == 2 or rpc == 4 or 12 <= rpc <= 15
        is_weak = False
        if not is_failed:
            hints = rows[r]["flags"] & _FLAG_EXCEPTION or node_flags[i] & _LOGS
            is_weak = bool(hints) or (kind == _CLIENT and http >= 400)
        failed[i], weak[i] = is_failed, is_weak
        found = _NONE
        if is_failed or is_weak:
            first, second = rows[r]["error_type"], rows[r]["exception_type"]
            first_class = string_classes[first] if first < strings else _NONE
            second_class = string_classes[second] if second < strings else _NONE
            unread += (first_class == NOT_READ) + (second_class == NOT_READ)
            found = _class_of(http, rpc, first_class, second_class, rows[r]["message_class"], http_class, rpc_class)
        error_class[i] = found
    return unread


def warm() -> None:
    """Load the kernel from the cache, or compile it."""
    rows, one = np.zeros(1, SPAN_DTYPE), np.zeros(1, np.int32)
    marks = np.zeros(1, np.bool_), np.zeros(1, np.bool_), np.zeros(1, np.uint8)
    classify(rows, one, np.zeros(1, np.uint16), np.zeros(2, np.uint8), HTTP_CLASS, RPC_CLASS, *marks)
