"""The three traces that the requirements give, letter for letter, and the frame each must lead to."""

from __future__ import annotations

import pytest

from analyzer.errors.stack_traces import parse_stack

NULL = """\
NullPointerException
  at java.util.HashMap.hash(HashMap.java:339)
  at java.util.HashMap.get(HashMap.java:556)
  at com.myapp.service.UserService.findUser(UserService.java:45)
"""
TIMEOUT = """\
TimeoutException: Operation timed out after 30000ms
  at okhttp3.internal.http2.Http2Stream.waitForIo
  at com.myapp.api.PaymentClient.processPayment(PaymentClient.java:89)
"""
CONCURRENT = """\
ConcurrentModificationException
  at java.util.ArrayList$Itr.checkForComodification
  at com.myapp.processor.BatchProcessor.process(BatchProcessor.java:112)
"""


@pytest.mark.parametrize("hint", ["", "java"])
@pytest.mark.parametrize(
    ("text", "type_", "message", "origin", "in_app"),
    [
        (NULL, "NullPointerException", "", "UserService.java:45", [False, False, True]),
        (
            TIMEOUT,
            "TimeoutException",
            "Operation timed out after 30000ms",
            "PaymentClient.java:89",
            [False, True],
        ),
        (CONCURRENT, "ConcurrentModificationException", "", "BatchProcessor.java:112", [False, True]),
    ],
)
def test_the_application_frame_is_the_origin(
    text: str, type_: str, message: str, origin: str, in_app: list[bool], hint: str
):
    """Library frames above it are passed over; frames without a file count."""
    stack = parse_stack(text, hint)

    assert stack is not None
    (thrown,) = stack.chain
    assert (thrown.type, thrown.message) == (type_, message)
    assert [frame.in_app for frame in thrown.frames] == in_app
    assert stack.origin is not None
    assert f"{stack.origin.file}:{stack.origin.line}" == origin
