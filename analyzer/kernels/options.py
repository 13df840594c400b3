"""How kernels that only read and write given arrays are compiled.

They make no arrays of their own, so numba's reference counts (an atomic increment and decrement for
most array arguments of most calls) buy nothing: the wire decoder does 5.4 M spans/s without them and 2.1 M
with them (docs/adr/0010). `_nrt` is numba's own switch. A kernel compiled so cannot allocate: numba
refuses it at compile time.
"""

from __future__ import annotations

from typing import Any

# Any: numba's type stubs do not know every switch.
ARRAYS_ONLY: dict[str, Any] = {"cache": True, "nogil": True, "_nrt": False}
INLINED: dict[str, Any] = {**ARRAYS_ONLY, "forceinline": True}
