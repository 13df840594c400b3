"""Which new traces are left out under stress: by a hash of the trace id, so that all their rows fall together.

What was left out is remembered in Bloom filters of two generations, because rows of such a trace go on coming when
stress is over: taken then, they would be a trace without its beginning. The owner lets the generations age
(`collector.assembly.shedding`). A filter forgets nothing before its time; a new trace that it takes for one that was
left out is left out whole as well.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from collector.assembly.kernels import layout as a

_WORD_SHIFT = 6
_BIT_MASK = 63
_HALF = np.uint64(32)
_TO_31_BITS = np.uint64(33)
_ONE = np.uint64(1)


@njit(nogil=True)
def sheds(shed, state, seeds, word_0, word_1, h):
    """Whether a row is dropped whose trace is not known here.

    Parameters
    ----------
    shed : uint64[2, words]
        Traces that were left out: this generation, the one before; `words` is a power of two.
    h : int64
        Hash of the trace id, `table.hash_words`: 31 bits under secret multipliers.

    Notes
    -----
    Two probes: `h` itself, and a multiply-shift hash (Dietzfelbinger et al. 1997) under multipliers of its own, twice,
    because sequential ids leave runs in one. Below `KEEP_BELOW` a trace is kept: the high bits of `h` choose, and the
    low ones stay even. Truth: tests/support/naive/assembler.py.
    """
    if h < state[a.KEEP_BELOW]:
        return False
    mask = (shed.shape[1] << _WORD_SHIFT) - 1
    at_0 = h & mask
    g = seeds[5] * word_0 + seeds[6] * word_1
    g = (g ^ (g >> _HALF)) * seeds[7]
    at_1 = np.int64(g >> _TO_31_BITS) & mask
    bit_0 = _ONE << np.uint64(at_0 & _BIT_MASK)
    bit_1 = _ONE << np.uint64(at_1 & _BIT_MASK)
    cell_0 = at_0 >> _WORD_SHIFT
    cell_1 = at_1 >> _WORD_SHIFT
    known = False
    for generation in range(2):
        if shed[generation, cell_0] & bit_0 != 0 and shed[generation, cell_1] & bit_1 != 0:
            known = True
    if state[a.SHEDDING] != a.SHED_NEW:
        return known
    if not known:
        state[a.SHED_TRACES] += 1
    shed[0, cell_0] |= bit_0
    shed[0, cell_1] |= bit_1
    return True
