"""Walking chains of rows ahead of time, several side by side.

The rows of a trace stand where their requests stood, so each step along a chain waits for memory. Steps
along different chains do not wait for one another: walked side by side first, they are in the cache when
the real work begins. Changes nothing but its scratch.
"""

from __future__ import annotations

from numba import njit

AHEAD = 16  # chains walked side by side; about as many loads as a core has under way
STEPS_MAX = 256  # a longer chain would push the others out of the cache again


@njit(nogil=True)
def walk_ahead(rows, heads, count):
    """Walk the chains that begin at heads[:count], at most `STEPS_MAX` rows each; `heads` is used up."""
    for _ in range(STEPS_MAX):
        if count == 0:
            return
        k = 0
        while k < count:
            after = rows[heads[k]]["next"]
            if after >= 0:
                heads[k] = after
                k += 1
            else:
                count -= 1
                heads[k] = heads[count]
