"""What the HTTP door does with clients that mean no good, or are slow."""

from __future__ import annotations

import gzip
import json
import resource
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from collector.guarded_protocol import ServerLimits
from collector.receivers.inflate import ByteBudget, inflate, zstd
from collector.receivers.otlp_http import HttpSettings
from collector.wire.request_limits import RequestLimits
from tests.support.bombs import packed_zeros
from tests.support.doors import JSON, PROTOBUF, Doors, open_doors, request

MIB = 1024 * 1024
LIMIT = 8 * MIB


@pytest.fixture(scope="module")
def doors() -> Iterator[Doors]:
    with open_doors(http_settings=HttpSettings(message_bytes_max=LIMIT, inflight_bytes_max=32 * MIB)) as found:
        yield found


@pytest.fixture(scope="module")
def hasty() -> Iterator[Doors]:
    """A door that waits for nobody."""
    server = ServerLimits(head_timeout_s=0.3, head_bytes_max=8192)
    with open_doors(http_settings=HttpSettings(body_timeout_s=0.3, server=server)) as found:
        yield found


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_a_bomb_of_one_gib_is_413_and_takes_no_memory(doors: Doors, coding: str):
    """R10: eight at once, refused or asked to come again; the peak grows by the budget, not by 8 GiB."""
    body = packed_zeros(coding, 1024)
    headers = PROTOBUF | {"content-encoding": coding}
    before = _peak_mib()

    with ThreadPoolExecutor(8) as clients:
        answers = list(
            clients.map(lambda _: doors.http.post("/v1/traces", content=body, headers=headers).status_code, range(8))
        )

    assert set(answers) <= {413, 503}
    assert 413 in answers
    assert _peak_mib() - before < 128
    assert doors.http_door.snapshot()["receiver_inflight_bytes|otlp|http"] == 0


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_what_makes_the_bombs_bombs(coding: str):
    """A small one is a right body: three MiB of zeros."""
    assert inflate(packed_zeros(coding, 3), coding, 4 * MIB, lambda _: None) == bytes(3 * MIB)


def test_json_bomb_is_400_before_an_object_is_made():
    """R11: a text of `{},` would be twenty times its size in objects."""
    body = b'{"resourceSpans":[' + b"{}," * 200_000 + b"{}]}"
    with open_doors(limits=RequestLimits(messages_max=100_000)) as doors:
        answer = doors.http.post("/v1/traces", content=body, headers=JSON)

        assert answer.status_code == 400
        assert "expected at most 100000" in answer.json()["message"]
        assert doors.counts() == {
            "receiver_refused_requests|otlp|http|too_many_messages": 1,
            "receiver_requests|otlp|http|traces": 1,
            "receiver_request_bytes|otlp|http|traces": len(body),
        }


@pytest.mark.parametrize("depth", [100, 1000, 20_000])
def test_deep_json_is_400(doors: Doors, depth: int):
    value = '{"arrayValue":{"values":[' * depth + "{}" + "]}}" * depth
    body = '{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":' + value + "}]}}]}"

    assert doors.http.post("/v1/traces", content=body, headers=JSON).status_code == 400


def test_many_gzip_members_are_refused(doors: Doors):
    """Ten thousand empty members would cost quadratic time."""
    body = gzip.compress(b"") * 10_000

    answer = doors.http.post("/v1/traces", content=body, headers=PROTOBUF | {"content-encoding": "gzip"})

    assert answer.status_code == 400


def test_a_few_gzip_members_are_one_body(doors: Doors):
    whole = request("a").SerializeToString()
    body = gzip.compress(whole[:7]) + gzip.compress(whole[7:])

    answer = doors.http.post("/v1/traces", content=body, headers=PROTOBUF | {"content-encoding": "gzip"})

    assert answer.status_code == 200


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB])
def test_inflate_gives_back_what_was_packed(coding: str, size: int):
    """Also when the output ends exactly at a step."""
    data = bytes(size)
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstd.compress}[coding]
    held: list[int] = []

    assert inflate(pack(data), coding, 4 * MIB, held.append) == data
    assert sum(held) == size


def test_the_budget_of_all_bodies_asks_to_come_again():
    """Two bodies share it: the second does not fit beside the first, and does after it."""
    from collector.errors import OverloadedError

    budget = ByteBudget(10)
    budget.reserve(8)
    with pytest.raises(OverloadedError):
        budget.reserve(3)
    budget.release(8)
    budget.reserve(10)

    assert budget.held_bytes == 10


def test_bodies_over_the_shared_budget_are_503():
    """A small budget, held by a client that does not send its last byte."""
    settings = HttpSettings(message_bytes_max=MIB, inflight_bytes_max=MIB, body_timeout_s=10)
    with open_doors(http_settings=settings) as small:
        with _connect(small) as slow:
            slow.sendall(_head(PROTOBUF | {"content-length": str(MIB)}) + bytes(MIB - 1))
            _until(lambda: small.http_door.snapshot()["receiver_inflight_bytes|otlp|http"] == MIB - 1)

            answer = small.http.post("/v1/traces", content=bytes(1000), headers=PROTOBUF)

        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_a_body_that_does_not_come_is_cut_off(hasty: Doors):
    """R13: 408, and the connection is closed."""
    with _connect(hasty) as slow:
        slow.sendall(_head(PROTOBUF | {"content-length": "100"}) + b"only this")

        assert _read_all(slow).startswith(b"HTTP/1.1 408")


def test_a_head_that_does_not_come_is_cut_off(hasty: Doors):
    with _connect(hasty) as slow:
        slow.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: a\r\n")

        assert _read_all(slow).startswith(b"HTTP/1.1 408")


def test_a_connection_that_says_nothing_is_cut_off(hasty: Doors):
    with _connect(hasty) as silent:
        assert _read_all(silent).startswith(b"HTTP/1.1 408")


def test_a_second_head_that_does_not_come_is_cut_off(hasty: Doors):
    """The deadline holds for every request of a connection."""
    with _connect(hasty) as slow:
        slow.sendall(_head(PROTOBUF | {"content-length": "0"}))
        first = slow.recv(65_536)
        slow.sendall(b"POST /v1/traces HTTP/1.1\r\n")

        assert first.startswith(b"HTTP/1.1 200")
        assert b"408 Request Timeout" in _read_all(slow)


def test_a_head_without_end_is_431(hasty: Doors):
    with _connect(hasty) as endless:
        endless.sendall(b"POST /v1/traces HTTP/1.1\r\nx-long: " + b"x" * 10_000)

        assert _read_all(endless).startswith(b"HTTP/1.1 431")


def test_connections_over_the_cap_are_closed():
    """Refused by closing; the ones before live on, and there is room again when they leave."""
    settings = HttpSettings(server=ServerLimits(connections_max=3, young_s=60))
    with open_doors(http_settings=settings) as small:
        held = [_connect(small) for _ in range(3)]
        for connection in held:
            connection.sendall(_head(PROTOBUF | {"content-length": "0"}))
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")

        with _connect(small) as fourth:
            assert _read_all(fourth) == b""
        for connection in held:
            connection.close()
        _until(lambda: _answers(small))


def _answers(doors: Doors) -> bool:
    with _connect(doors) as connection:
        try:
            connection.sendall(_head(PROTOBUF | {"content-length": "0"}))
            return connection.recv(65_536).startswith(b"HTTP/1.1 200")
        except ConnectionError:
            return False


@pytest.mark.parametrize(
    "head",
    [
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
        b"content-length: 5\r\ncontent-length: 6\r\n",
        b"content-length: -1\r\n",
        b"content-length: 5\r\n bad fold: 1\r\n\0: x\r\n",
    ],
)
def test_ambiguous_lengths_are_one_bad_request(doors: Doors, head: bytes):
    """Request smuggling: one request in, one response out."""
    with _connect(doors) as connection:
        connection.sendall(
            b"POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\n"
            + head
            + b"\r\n0\r\n\r\nPOST /v1/logs HTTP/1.1\r\n\r\n"
        )

        answer = _read_all(connection)

    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_body_over_the_limit_is_answered_413_to_a_client_that_sends_all_of_it_first(doors: Doors):
    """Not with a broken pipe: the client would try again and again."""
    with _connect(doors) as plain:
        plain.sendall(_head(PROTOBUF | {"content-length": str(LIMIT + MIB)}) + bytes(LIMIT + MIB))

        assert _read_all(plain).startswith(b"HTTP/1.1 413")


def test_a_client_that_asks_first_gets_413_at_once(doors: Doors):
    with _connect(doors) as polite:
        polite.sendall(_head(PROTOBUF | {"content-length": str(LIMIT + 1), "expect": "100-continue"}))

        assert _read_all(polite).startswith(b"HTTP/1.1 413")


def test_a_client_that_goes_away_leaves_nothing_held(doors: Doors):
    with _connect(doors) as gone:
        gone.sendall(_head(PROTOBUF | {"content-length": "100000"}) + bytes(50_000))
        _until(lambda: doors.http_door.snapshot()["receiver_inflight_bytes|otlp|http"] == 50_000)

    _until(lambda: doors.http_door.snapshot()["receiver_inflight_bytes|otlp|http"] == 0)


def test_nothing_of_the_request_is_repeated(doors: Doors):
    """Neither headers nor values of the telemetry."""
    secret = "hunter2-" + "x" * 20
    span = {"name": {"stringValue": secret}}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})

    answers = [
        doors.http.post("/v1/traces", content=body, headers=JSON | {"x-secret": secret}),
        doors.http.post("/v1/traces", content=secret, headers=JSON),
        doors.http.post(f"/{secret}", content=secret, headers={"content-type": secret}),
        doors.http.post("/v1/traces", content=b"x", headers=PROTOBUF | {"content-encoding": secret}),
    ]

    assert [answer.status_code for answer in answers] == [400, 400, 404, 415]
    assert [secret in answer.text or secret in str(answer.headers) for answer in answers] == [False] * 4


def test_stop_ends_though_a_client_stalls():
    """It is told to come again, to another replica or after the restart; 500 would make it drop the data."""
    with open_doors(http_settings=HttpSettings(body_timeout_s=60)) as doors, _connect(doors) as stalled:
        stalled.sendall(_head(PROTOBUF | {"content-length": "10"}) + b"half ")
        _until(lambda: doors.http_door.snapshot()["receiver_inflight_bytes|otlp|http"] == 5)

        doors.http_door.stop(0.2)

        assert _read_all(stalled).startswith(b"HTTP/1.1 503")


def _head(headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\n{lines}\r\n".encode()


def _connect(doors: Doors) -> socket.socket:
    host, port = doors.http_address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), 10)


def _read_all(connection: socket.socket) -> bytes:
    found = b""
    try:
        while data := connection.recv(65_536):
            found += data
    except ConnectionResetError:
        pass
    return found


def _until(holds: Callable[[], bool], deadline_s: float = 10.0) -> None:
    """Ask again until it holds; the tests' own deadline ends it otherwise."""
    tick = threading.Event()
    for _ in range(int(deadline_s / 0.005)):
        if holds():
            return
        tick.wait(0.005)
    raise AssertionError("did not come to hold in time")
