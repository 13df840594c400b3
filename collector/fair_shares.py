"""Who may use the time for words that is held back: kinds of requests that are known and have not had their part.

One kind is one entry operation. A flood of failing traces of one kind uses up all time but a reserve, which is for
the others: a kind of which whole traces were seen before, with time left of its own. Traces with holes, and names
nobody has seen before (damage makes new ones at will), have what is left by the rest.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import numpy.typing as npt

from collector.allowance import Allowance

KNOWN_MIN = 8  # whole traces of a kind, failing or not; damage seldom makes the same name so often
KIND_SHARE = 0.01  # of the time that passes, for each kind
KIND_SAVED_NS = 50_000_000  # some ten explanations, some hundred briefs
KINDS_MAX = 256  # with an account; the one not used for longest leaves, and is fresh when it comes again
SLOTS = 1 << 16  # counts of whole traces by operation, 2 bytes each; operations beyond share them

Kinds = npt.NDArray[np.uint32]


class FairShares:
    """What each kind has had lately. Owner: the engine's thread."""

    def __init__(self) -> None:
        self._seen: npt.NDArray[np.uint16] = np.zeros(SLOTS, np.uint16)
        self._accounts: OrderedDict[int, Allowance] = OrderedDict()
        self.evicted = 0  # accounts that left for others

    def see(self, kinds: Kinds) -> None:
        """Count the whole traces of a batch by kind; 0 is no kind."""
        found, counts = np.unique(kinds[kinds > 0] % SLOTS, return_counts=True)
        self._seen[found] = np.minimum(self._seen[found] + counts, KNOWN_MIN)

    def is_due(self, kind: int, now_ns: int) -> bool:
        """Whether a kind is known and has time of its own left."""
        if not kind or self._seen[kind % SLOTS] < KNOWN_MIN:
            return False
        account = self._accounts.get(kind)
        return account is None or account.is_left(now_ns)

    def spend(self, kind: int, spent_ns: int, now_ns: int) -> None:
        """Book what was spent on a whole trace."""
        account = self._accounts.setdefault(kind, Allowance(KIND_SHARE, now_ns, KIND_SAVED_NS))
        self._accounts.move_to_end(kind)
        account.spend(spent_ns)
        if len(self._accounts) > KINDS_MAX:
            self._accounts.popitem(last=False)
            self.evicted += 1

    def __len__(self) -> int:
        return len(self._accounts)


def ranks(kinds: Kinds) -> npt.NDArray[np.int64]:
    """Return the place of each among its kind, so that the first of every kind come before the second of any."""
    order = np.argsort(kinds, kind="stable")
    starts = np.searchsorted(kinds[order], kinds[order])
    found = np.empty(len(kinds), np.int64)
    found[order] = np.arange(len(kinds)) - starts
    return found
