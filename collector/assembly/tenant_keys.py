"""Keeps traces of different tenants apart while they are put together.

In: decoded rows. Out: the same rows, the trace id of each turned by what its tenant's name makes with a secret of this
process (exclusive or); turned again it is the id as it was sent. In between, a trace id that two tenants send is two
ids, and whoever does not know the secret cannot choose one that meets another tenant's. Rows of no tenant stay as they
are, and while no tenant sends nothing is done at all.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from analyzer.spans import ResourceTable, Rows
from collector.trace_names import Owners, split_name


class TenantKeys:
    """Owner: the engine's thread.

    Parameters
    ----------
    resources : ResourceTable
    secret : bytes
        1 to 64 bytes that nobody outside knows; no open trace outlives the process, so neither has it to.
    """

    def __init__(self, resources: ResourceTable, secret: bytes) -> None:
        self._owners = Owners(resources)
        self._secret = secret
        self._turns: npt.NDArray[np.uint64] = np.zeros((1, 2), np.uint64)  # by place of the tenant; the first is nobody

    def turn(self, rows: Rows) -> None:
        """Turn the trace ids of decoded rows, or turn them back."""
        which = self._owners.which()
        if which is None:
            return
        for tenant in self._owners.tenants[len(self._turns) :]:
            self._turns = np.vstack([self._turns, self._turn_of(tenant)])
        turns = self._turns[which[rows["resource"]]]
        rows["trace_id_0"] ^= turns[:, 0]
        rows["trace_id_1"] ^= turns[:, 1]

    def words(self, name: bytes) -> tuple[np.uint64, np.uint64]:
        """The two words by which a trace is found among the open ones."""
        trace_id, tenant = split_name(name)
        words = np.frombuffer(trace_id, "<u8") ^ (self._turn_of(tenant) if tenant else self._turns[0])
        return words[0], words[1]

    def _turn_of(self, tenant: str) -> npt.NDArray[np.uint64]:
        return np.frombuffer(hashlib.blake2b(tenant.encode(), digest_size=16, key=self._secret).digest(), "<u8")
