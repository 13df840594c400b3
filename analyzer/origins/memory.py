"""What was learned of how failures travel.

Four things: how often a failed call fails its caller (rho) and how often an operation fails by itself
(lambda), as decayed Beta counts; which service answers a client operation; and at what durations calls
are given up, which are deadlines somebody configured. Everything is keyed by hashes of *names*, so it can
be saved and loaded by a process that numbers its operations anew. Knows no clock: time comes in.
"""

from __future__ import annotations

import json
import struct
from collections import OrderedDict
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from analyzer.analysis import Analysis
from analyzer.error_classes import ErrorClass
from analyzer.kernels import propagation
from analyzer.kernels.failure_rules import LAMBDA_PRIOR, OWN_KEY, RHO_PRIOR, class_compatibility, find_slot, mix_key
from analyzer.spans import SpanKind, Vocabulary

_MAGIC = b"FFPM1\n"
KEYS_MAX = 1 << 16  # counted pairs; 16 bytes each
DEADLINE_KEYS_MAX = 2_048  # client operations with a memory of their error durations; 512 bytes each
DEADLINE_SAMPLES = 64  # last error durations kept per client operation
DEADLINE_COUNT_MIN = 8  # fewer durations say nothing of a deadline
DEADLINE_WIDTH = 0.03  # durations within +-3 % count as one value (algorithms 3.1)
LEARNED_PER_BATCH_MAX = 256  # error durations read from one batch; bounds the work when everything fails
CALLEES_MAX = 20_000
HALF_LIFE_S = 259_200.0
_SEEN_MIN = 0.05
_GAVE_UP = (ErrorClass.TIMEOUT, ErrorClass.CANCELLED, ErrorClass.UNKNOWN, ErrorClass.UNAVAILABLE)


def name_hash(*parts: str) -> int:
    """Stable 64-bit hash of names; never 0."""
    state = blake2b(digest_size=8, person=b"firstfault.op")
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        state.update(len(raw).to_bytes(4, "little") + raw)
    return int.from_bytes(state.digest(), "little") or 1


class PropagationMemory:
    """Decayed counts of how failures travel.

    One owner thread: the engine's. Bounded: `KEYS_MAX` pairs (when full, new ones are refused and counted
    in `refused`; rare ones are swept out as they decay), `DEADLINE_KEYS_MAX` client operations (the one
    not seen for longest leaves).
    """

    def __init__(self, keys_max: int = KEYS_MAX, half_life_s: float = HALF_LIFE_S) -> None:
        capacity = 1 << max(4, (keys_max - 1).bit_length())
        self.keys: npt.NDArray[np.uint64] = np.zeros(capacity, np.uint64)
        self.counts: npt.NDArray[np.float32] = np.zeros((capacity, 2), np.float32)
        self.compatibility = class_compatibility()
        self.refused = 0
        self._half_life_ns = half_life_s * 1e9
        self._decayed_ns = 0
        self._hashes: npt.NDArray[np.uint64] = np.zeros(0, np.uint64)
        self._callee: npt.NDArray[np.int32] = np.zeros(0, np.int32)
        self._callee_names: OrderedDict[int, str] = OrderedDict()
        self._deadlines: OrderedDict[int, list[int]] = OrderedDict()

    def operation_hashes(self, vocabulary: Vocabulary) -> npt.NDArray[np.uint64]:
        """Hash of every operation the vocabulary knows now: uint64[n_operations]."""
        known, count = len(self._hashes), len(vocabulary.operations)
        if known < count:
            fresh = np.zeros(count - known, np.uint64)
            for index in range(known, count):
                service, name, kind = vocabulary.operations.key(index)
                fresh[index - known] = name_hash(
                    vocabulary.strings.text(service), vocabulary.strings.text(name), str(kind)
                )
            self._hashes = np.concatenate([self._hashes, fresh])
            self._callee = np.concatenate([self._callee, np.zeros(count - known, np.int32)])
        return self._hashes

    def learn(self, analysis: Analysis, now_ns: int) -> None:
        """Count a batch.

        Parameters
        ----------
        analysis : Analysis
            Healthy traces too: an operation that never fails by itself is worth knowing.
        now_ns : int
            Time of the batch, any clock that does not run backwards; older counts have decayed by then.
        """
        self._decay(now_ns)
        traces, forest = analysis.traces, analysis.forest
        hashes = self.operation_hashes(traces.vocabulary)
        self.refused += int(
            propagation.learn_propagation(
                traces.rows,
                forest.row,
                forest.parent,
                forest.child_ptr,
                forest.child,
                forest.start_ns,
                forest.end_ns,
                forest.flags,
                analysis.failed,
                analysis.error_class,
                hashes,
                self.keys,
                self.counts,
                self._callee,
            )
        )
        self._learn_durations(analysis)

    def rho(self, parent_operation: int, child_operation: int, found: ErrorClass) -> float:
        """P(the parent fails | this child failed as `found`)."""
        key = mix_key(self._hashes[parent_operation], self._hashes[child_operation], np.uint64(found))
        return self._chance(key, RHO_PRIOR)

    def own(self, operation: int) -> float:
        """P(the operation fails | no child of it failed)."""
        return self._chance(mix_key(self._hashes[operation], np.uint64(OWN_KEY), np.uint64(0)), LAMBDA_PRIOR)

    def callee(self, operation: int, vocabulary: Vocabulary) -> str:
        """Service that answers this client operation; empty: never seen, or several do (`POST`)."""
        return self._callee_of(operation, vocabulary) or ""

    def is_answered(self, operation: int, vocabulary: Vocabulary) -> bool:
        """Whether any service was ever seen to answer this client operation."""
        return self._callee_of(operation, vocabulary) is not None

    def _callee_of(self, operation: int, vocabulary: Vocabulary) -> str | None:
        hashes = self.operation_hashes(vocabulary)
        if operation >= len(hashes):
            return None
        if self._callee[operation]:
            return self._callee_name(operation, vocabulary)
        return self._callee_names.get(int(hashes[operation]))

    def _callee_name(self, operation: int, vocabulary: Vocabulary) -> str:
        service = int(self._callee[operation])
        return "" if service == propagation.SEVERAL else vocabulary.strings.text(service)

    def deadline_ns(self, analysis: Analysis, node: int, share_min: float) -> int | None:
        """The duration at which calls like `node` are given up, when their error durations agree on one.

        Parameters
        ----------
        share_min : float
            Share of the remembered error durations that must lie within +-3 % of one value.
        """
        samples = self._deadlines.get(self._client_key(analysis, node))
        if samples is None or len(samples) < DEADLINE_COUNT_MIN:
            return None
        ordered = np.sort(np.array(samples, np.int64))
        reach = np.searchsorted(ordered, ordered * ((1 + DEADLINE_WIDTH) / (1 - DEADLINE_WIDTH)), side="right")
        inside = reach - np.arange(len(ordered))
        best = int(inside.argmax())
        if inside[best] < share_min * len(ordered):
            return None
        return int(np.median(ordered[best : best + inside[best]]))

    def save(self, vocabulary: Vocabulary) -> bytes:
        """Everything learned as bytes: a JSON header, then the arrays. Keys are hashes of names."""
        used = np.flatnonzero(self.keys)
        hashes = self.operation_hashes(vocabulary)
        callees = dict(self._callee_names)
        for operation in np.flatnonzero(self._callee):
            callees[int(hashes[operation])] = self._callee_name(int(operation), vocabulary)
        deadlines = {str(key): samples for key, samples in self._deadlines.items()}
        header = json.dumps(
            {
                "keys": len(used),
                "decayed_ns": self._decayed_ns,
                "callees": {str(key): name for key, name in list(callees.items())[-CALLEES_MAX:]},
                "deadlines": deadlines,
            }
        ).encode()
        return (
            _MAGIC + struct.pack("<I", len(header)) + header + self.keys[used].tobytes() + self.counts[used].tobytes()
        )

    @classmethod
    def load(cls, raw: bytes, keys_max: int = KEYS_MAX, half_life_s: float = HALF_LIFE_S) -> PropagationMemory:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            When the bytes are not a saved memory, or were cut short.
        """
        start = len(_MAGIC) + 4
        if raw[: len(_MAGIC)] != _MAGIC or len(raw) < start:
            raise ValueError(f"a saved propagation memory begins with {_MAGIC!r}; found {raw[: len(_MAGIC)]!r}")
        length = struct.unpack("<I", raw[len(_MAGIC) : start])[0]
        try:
            header = json.loads(raw[start : start + length])
            count = int(header["keys"])
            callees = {int(key): str(name) for key, name in header["callees"].items()}
            deadlines = {int(key): [int(v) for v in samples] for key, samples in header["deadlines"].items()}
            decayed_ns = int(header["decayed_ns"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the header of the saved propagation memory cannot be read: {error}") from error
        body = raw[start + length :]
        if count < 0 or len(body) != count * 16:
            raise ValueError(f"the saved propagation memory has {len(body)} bytes of counts; expected {count * 16}")
        memory = cls(keys_max, half_life_s)
        keys = np.frombuffer(body[: count * 8], np.uint64)
        counts = np.frombuffer(body[count * 8 :], np.float32).reshape(count, 2)
        for key, pair in zip(keys, counts, strict=True):
            slot = int(find_slot(memory.keys, key))
            if slot < -len(memory.keys):
                memory.refused += 1
                continue
            slot = slot if slot >= 0 else -1 - slot
            memory.keys[slot], memory.counts[slot] = key, pair
        memory._callee_names = OrderedDict(list(callees.items())[-CALLEES_MAX:])
        for key, samples in list(deadlines.items())[-DEADLINE_KEYS_MAX:]:
            memory._deadlines[key] = samples[-DEADLINE_SAMPLES:]
        memory._decayed_ns = decayed_ns
        return memory

    def _chance(self, key: np.uint64, prior: tuple[float, float]) -> float:
        slot = int(find_slot(self.keys, key))
        hits, seen = self.counts[slot] if slot >= 0 else (0.0, 0.0)
        return float((prior[0] + hits) / (prior[1] + seen))

    def _decay(self, now_ns: int) -> None:
        """Decay in steps of 1/64 of the half-life: the counts of a step are one multiplication."""
        if self._decayed_ns == 0:
            self._decayed_ns = now_ns
        passed_ns = now_ns - self._decayed_ns
        if passed_ns >= self._half_life_ns / 64:
            self.counts *= np.float32(0.5 ** (passed_ns / self._half_life_ns))
            propagation.sweep(self.keys, self.counts, _SEEN_MIN)
            self._decayed_ns = now_ns

    def _client_key(self, analysis: Analysis, node: int) -> int:
        row = analysis.traces.rows[analysis.forest.row[node]]
        hashes = self.operation_hashes(analysis.traces.vocabulary)
        operation = int(row["operation"])
        base = int(hashes[operation]) if operation < len(hashes) else 0
        return base ^ name_hash(analysis.traces.vocabulary.strings.text(int(row["peer"])))

    def _learn_durations(self, analysis: Analysis) -> None:
        found = np.flatnonzero(analysis.failed)  # few, so the rest is cheap
        found = found[np.isin(analysis.error_class[found], _GAVE_UP)]
        kinds = analysis.traces.rows["kind"][analysis.forest.row[found]]
        for node in found[kinds == SpanKind.CLIENT][:LEARNED_PER_BATCH_MAX]:
            key = self._client_key(analysis, int(node))
            samples = self._deadlines.setdefault(key, [])
            self._deadlines.move_to_end(key)
            samples.append(int(analysis.forest.end_ns[node] - analysis.forest.start_ns[node]))
            del samples[:-DEADLINE_SAMPLES]
            if len(self._deadlines) > DEADLINE_KEYS_MAX:
                self._deadlines.popitem(last=False)
