"""Where a project of Sentry takes events: the DSN that Sentry shows of it, read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from analyzer.version import __version__

_KEY = re.compile(r"^[0-9a-zA-Z]{1,64}$")
_PROJECT = re.compile(r"^(/[A-Za-z0-9._~-]+)*/(?P<id>[0-9]{1,20})$")


@dataclass(frozen=True, slots=True)
class Dsn:
    """Where a project takes events. `key` is public by design, yet who has it can send: it is not shown."""

    endpoint: str  # host:port
    secure: bool
    path: str
    key: str = field(repr=False)

    @classmethod
    def read(cls, written: str) -> Dsn:
        """Read "https://KEY@HOST[:PORT][/PATH]/PROJECT".

        Raises
        ------
        ValueError
            It is not one; the message does not hold the key.
        """
        expected = "expected https://KEY@HOST/PROJECT, as the project's client keys in Sentry show it"
        try:
            parts = urlsplit(written)
            port = parts.port
        except ValueError as error:
            raise ValueError(f"the DSN cannot be read; {expected}") from error
        project = _PROJECT.match(parts.path)
        if parts.scheme not in ("http", "https") or not parts.hostname or project is None or parts.query:
            raise ValueError(f"the DSN is not a URL with a key, a host and a project's number; {expected}")
        if not _KEY.match(parts.username or ""):
            raise ValueError(f"the DSN has no key before its host; {expected}")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        secure = parts.scheme == "https"
        before = parts.path[: project.start("id")]
        return cls(
            f"{host}:{port or (443 if secure else 80)}",
            secure,
            f"{before}api/{project['id']}/envelope/",
            parts.username or "",
        )

    @property
    def headers(self) -> dict[str, str]:
        client = f"firstfault/{__version__}"
        return {"x-sentry-auth": f"Sentry sentry_version=7, sentry_client={client}, sentry_key={self.key}"}
