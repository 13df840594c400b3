"""Browsers that send telemetry from another origin.

In: the Origin of a request and the allowed patterns. Out: the headers of the answer. Off unless configured.
Never repeats a header of the client, except an origin that is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

Headers = tuple[tuple[bytes, bytes], ...]

_ALWAYS_ALLOWED = ("content-type", "content-encoding")


@dataclass(frozen=True, slots=True)
class CorsSettings:
    """Names follow the Collector's confighttp.

    allowed_origins : exact origins, or patterns with `*`; empty turns CORS off
    allowed_headers : what a browser may send besides content-type and content-encoding
    max_age_s : how long a browser may remember the answer
    """

    allowed_origins: Sequence[str] = ()
    allowed_headers: Sequence[str] = ()
    max_age_s: int = 600


class Cors:
    """The answers of one door. Immutable."""

    def __init__(self, settings: CorsSettings) -> None:
        self._any = "*" in settings.allowed_origins
        patterns = "|".join(_pattern(origin) for origin in settings.allowed_origins)
        self._allowed = re.compile(patterns, re.IGNORECASE) if patterns else None
        names = [*_ALWAYS_ALLOWED, *(name.lower() for name in settings.allowed_headers)]
        self._preflight: Headers = (
            (b"access-control-allow-methods", b"POST"),
            (b"access-control-allow-headers", ", ".join(dict.fromkeys(names)).encode()),
            (b"access-control-max-age", str(settings.max_age_s).encode()),
        )

    @property
    def enabled(self) -> bool:
        return self._allowed is not None

    def response_headers(self, origin: str | None) -> Headers:
        """Return what every answer carries. `Vary` always, or a shared cache would mix origins up."""
        if self._allowed is None:
            return ()
        vary = (b"vary", b"Origin")
        if origin is None or not self._allowed.fullmatch(origin):
            return (vary,)
        return (vary, (b"access-control-allow-origin", b"*" if self._any else origin.encode("latin-1")))

    def preflight_headers(self, origin: str | None) -> Headers:
        """Return the answer to OPTIONS; without the allow headers when the origin is not allowed."""
        found = self.response_headers(origin)
        return (*found, *self._preflight) if len(found) > 1 else found


def _pattern(origin: str) -> str:
    """`*` stands for anything but a slash or white space; everything else for itself."""
    return r"[^/\s]*".join(re.escape(part) for part in origin.split("*")) if origin != "*" else r"\S*"
