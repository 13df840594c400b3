"""What a trace is called: its id, and behind an `@` the tenant whose credential sent it.

A trace id that two tenants send is two traces, and neither can add to the other's (reliability.md, shape 40). Inside, a
name is the 16 bytes of the id as on the wire, and `@tenant` behind them when there is one; for people the id is 32 hex
digits. Who sends without a tenant has plain ids, so nothing is new for them.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np
import numpy.typing as npt

from analyzer.finding_ids import trace_name
from analyzer.spans import RESOURCE_KEYS, TENANT_PATTERN, ResourceTable, Rows, TraceBatch, hex_id
from collector.errors import BadRequestError

ID_BYTES = 16
NAMESAKES_MAX = 8  # tenants whose traces of one id are named to who does not say which
TEXT_PATTERN = rf"^[0-9a-fA-F]{{32}}(@{TENANT_PATTERN})?$"
_OWNER_KEY = RESOURCE_KEYS["owner"][0].encode()
_TEXT = re.compile(TEXT_PATTERN, re.ASCII)


def name_of(trace_id: bytes, tenant: str) -> bytes:
    """Call a trace of a tenant; of none when the text is empty."""
    return trace_id + b"@" + tenant.encode() if tenant else trace_id


def split_name(name: bytes) -> tuple[bytes, str]:
    """Return (trace id, tenant) of a name."""
    return name[:ID_BYTES], name[ID_BYTES + 1 :].decode("ascii", "replace")


def text_of(name: bytes) -> str:
    """Write a name as people see it, and as `read_name` takes it."""
    trace_id, tenant = split_name(name)
    return trace_name(trace_id.hex(), tenant)


def read_name(text: str) -> bytes:
    """Read a name as everybody shows it.

    Raises
    ------
    BadRequestError
        Not 32 hex digits (and @tenant), or all zero (the trace id that OTLP calls invalid).
    """
    if not _TEXT.fullmatch(text):
        raise BadRequestError(
            f"trace id {text[:80]!r} has {len(text)} characters; expected 32 hex digits, "
            "and @tenant behind them when a tenant sent it",
            "trace_id",
        )
    trace_id = bytes.fromhex(text[: 2 * ID_BYTES])
    if not any(trace_id):
        raise BadRequestError("trace id is all zeros; expected the id of a trace, that one is invalid", "trace_id")
    return name_of(trace_id, text[2 * ID_BYTES + 1 :])


def digest_of(name: bytes) -> bytes:
    """16 bytes that stand for a name where ids are packed: a plain id is its own.

    Nobody can find an id whose digest is a given one: BLAKE2b, 128 bits.
    """
    return name if len(name) <= ID_BYTES else hashlib.blake2b(name, digest_size=ID_BYTES).digest()


def name_in(traces: TraceBatch, index: int) -> bytes:
    """Call one trace of a batch."""
    row = traces.rows[int(traces.trace_ptr[index])]
    trace_id = bytes.fromhex(hex_id(row["trace_id_0"], row["trace_id_1"]))
    return name_of(trace_id, owner_of(traces.vocabulary.resources, int(row["resource"])))


def owner_of(resources: ResourceTable, resource: int) -> str:
    """Whose credential a resource was sent with; empty: nobody's that has a tenant."""
    return resources.resource(resource).owner


class Owners:
    """Which resources were sent with a tenant's credential. Owner: the engine's thread.

    Bounded by the table of resources, which gives no more ids than it has room for; what comes beyond it is `<other>`,
    which nobody owns.
    """

    def __init__(self, resources: ResourceTable) -> None:
        self._resources = resources
        self._read = 0
        self._which: npt.NDArray[np.int32] = np.zeros(64, np.int32)
        self._places: dict[str, int] = {}
        self.tenants = [""]

    def which(self) -> npt.NDArray[np.int32] | None:
        """int32[resource ids or more]: place in `tenants` by resource id; None while no tenant has sent anything."""
        count = len(self._resources)
        if count > self._read:
            self._read_on(count)
        return self._which if len(self.tenants) > 1 else None

    def names(self, first: Rows) -> list[bytes]:
        """Call traces, given the first row of each; without a Python step for each column of each trace."""
        raw = np.stack([first["trace_id_0"], first["trace_id_1"]], axis=1).tobytes()
        ids = [raw[at : at + ID_BYTES] for at in range(0, len(raw), ID_BYTES)]
        which = self.which()
        if which is None:
            return ids
        tenants = which[first["resource"]].tolist()
        return [name_of(trace_id, self.tenants[tenant]) for trace_id, tenant in zip(ids, tenants, strict=True)]

    def _read_on(self, count: int) -> None:
        if count > len(self._which):
            grown = np.zeros(1 << (count - 1).bit_length(), np.int32)
            grown[: self._read] = self._which[: self._read]
            self._which = grown
        for index in range(self._read, count):
            if _OWNER_KEY not in self._resources.raw(index):  # reading one takes fifty times as long
                continue
            tenant = owner_of(self._resources, index)
            if tenant:
                place = self._places.setdefault(tenant, len(self.tenants))
                if place == len(self.tenants):
                    self.tenants.append(tenant)
                self._which[index] = place
        self._read = count
