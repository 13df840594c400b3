"""Both doors, open for a whole file, with a size limit that a test can reach."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from collector.receivers import otlp_grpc, otlp_http
from tests.collector.receivers.conformance.bodies import LIMIT
from tests.support.doors import Doors, open_doors


@pytest.fixture(scope="module")
def shared_doors() -> Iterator[Doors]:
    with open_doors(
        grpc_settings=otlp_grpc.GrpcSettings(message_bytes_max=LIMIT),
        http_settings=otlp_http.HttpSettings(message_bytes_max=LIMIT),
    ) as doors:
        yield doors


@pytest.fixture
def doors(shared_doors: Doors) -> Doors:
    shared_doors.handover.taken.clear()
    shared_doors.handover.has_room = True
    shared_doors.handover.faults.clear()
    return shared_doors
