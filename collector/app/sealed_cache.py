"""Where numba finds compiled kernels when the program's own folder is read-only: beside the sources, as ever.

numba's own locator wants to write there before it reads; on a read-only root it would turn away, and every start would
compile for minutes. The image names this one in NUMBA_CACHE_LOCATOR_CLASSES. A kernel that is not there (another
processor was asked for, or the image was built without the warm-up) ends the start with the error of the write.
"""

from __future__ import annotations

import os

from numba.core.caching import InTreeCacheLocator


class SealedCacheLocator(InTreeCacheLocator):
    """`__pycache__` beside the source file; nothing is tried out."""

    def ensure_cache_path(self) -> None:
        path = self.get_cache_path()  # type: ignore[no-untyped-call]
        if not os.path.isdir(path):
            os.makedirs(path, exist_ok=True)
