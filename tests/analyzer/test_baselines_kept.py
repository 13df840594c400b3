"""Baselines outlive a restart; a blob that is not theirs is refused."""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pytest

from analyzer.baselines import Baselines
from analyzer.config import AnalysisConfig
from tests.support.columns import MS, numbered
from tests.support.fed_baselines import SECOND, Service, equal, log_normal


def test_what_is_kept_comes_back_the_same():
    """Names are kept, not ids: the new process met its operations in another order."""
    before = Service()
    for operation in (1, 2, 3):
        before.learn(log_normal(600, operation, median_ms=10 * operation), operation)
        before.now_ns += 3600 * SECOND
    blob = before.baselines.save()
    after = Service(words=numbered(0))
    names = before.words.strings
    for operation in (3, 1, 2):
        service, name, kind = before.words.operations.key(operation)
        new = after.words.strings
        after.words.operations.intern(
            new.intern(names.text(service).encode()), new.intern(names.text(name).encode()), kind
        )
    after.baselines.load(blob)
    asked = log_normal(200, 7, median_ms=20, sigma=1.0)

    for old, new in ((3, 1), (1, 2), (2, 3)):
        assert equal(before.score(asked, old), after.score(asked, new))


def test_rows_that_wait_for_their_names_are_kept_too():
    """Two restarts, the operation is met only after the second."""
    first = Service()
    first.learn(log_normal(600, 1))
    second = Baselines(AnalysisConfig())
    second.load(first.baselines.save())
    third = Service()
    third.baselines.load(second.save())
    asked = log_normal(50, 7)

    assert equal(first.score(asked), third.score(asked))


def test_loaded_rows_fade_while_they_wait():
    """Ninety days and more pass before the operation is met again."""
    first = Service(AnalysisConfig(baseline_count_min=10))
    first.learn(log_normal(1000, 1))
    second = Service(AnalysisConfig(baseline_count_min=10))
    second.baselines.load(first.baselines.save())
    second.now_ns += 100 * 86_400 * SECOND
    second.learn(log_normal(10, 1), operation=2)

    assert float(second.score(np.array([50 * MS])).count[0]) < 1.0


def corrupt_blobs(blob: bytes) -> dict[str, bytes]:
    packed = zlib.compress(b"\xff" * 64)
    huge = struct.pack("<4sIQ", b"FFSN", zlib.crc32(packed), 1 << 60) + packed
    nonsense = struct.pack("<4sIQ", b"FFSN", zlib.crc32(packed), 64) + packed
    head = json.dumps({"kind": "baselines", "version": 99, "words": {}, "arrays": []}).encode()
    newer_body = zlib.compress(struct.pack("<Q", len(head)) + head)
    newer = struct.pack("<4sIQ", b"FFSN", zlib.crc32(newer_body), 8 + len(head)) + newer_body
    return {
        "empty": b"",
        "not a snapshot": b"PK\x03\x04 something else altogether",
        "cut": blob[:-7],
        "one bit": blob[:100] + bytes([blob[100] ^ 1]) + blob[101:],
        "says it is huge": huge,
        "nonsense inside": nonsense,
        "from a newer version": newer,
    }


@pytest.mark.parametrize("case", corrupt_blobs(b"x" * 200))
def test_a_corrupt_blob_is_refused_and_changes_nothing(case: str):
    service = Service()
    service.learn(log_normal(600, 1))
    asked = log_normal(50, 7)
    before = service.score(asked)
    blob = corrupt_blobs(service.baselines.save())[case]

    with pytest.raises(ValueError, match=r"baselines snapshot: .+"):
        service.baselines.load(blob)

    assert equal(service.score(asked), before)
