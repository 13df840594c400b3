"""What a monitor watches: one failure of one service, with its bounds; and text that is safe in other languages.

In: names from telemetry, thresholds, addresses. Out: `Watched`, and quoting for PromQL, LogQL, TraceQL, Datadog and
Go templates. Names are hostile everywhere: a service called `{{ $labels }}` or `@pagerduty` must page nobody.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from analyzer.words import shown

Severity = Literal["critical", "high", "medium", "low"]
_NAME = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Watched:
    """A failure to be watched.

    operation : empty: all of the service
    error_share_max : 0 to 1, exclusive
    latency_p95_max_ms : exclusive
    requests_min : in the window; below it a share means nothing and no monitor fires
    window_min, latency_window_min, no_data_min, escalate_after_min : minutes
    known_days : a kind of error that was seen within as many days is not new
    causes : what to look at first, one line each
    notify : handles as the destination writes them ("@slack-payments-oncall"); ours, never from telemetry
    """

    service: str
    operation: str = ""
    environment: str = ""
    error_share_max: float = 0.05
    latency_p95_max_ms: float = 2_000.0
    requests_min: int = 20
    window_min: int = 5
    latency_window_min: int = 10
    no_data_min: int = 10
    escalate_after_min: int = 10
    known_days: int = 14
    severity: Severity = "high"
    causes: tuple[str, ...] = ()
    runbook_url: str = ""
    dashboard_url: str = ""
    notify: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be watched.

        Raises
        ------
        ValueError
            Names the field, what was found and what was expected.
        """
        if not self.service:
            raise ValueError("service is empty; expected the name of the service to watch")
        if not 0.0 < self.error_share_max < 1.0:
            raise ValueError(f"error_share_max is {self.error_share_max}; expected a share above 0 and below 1")
        if not (self.latency_p95_max_ms > 0.0 and math.isfinite(self.latency_p95_max_ms)):
            raise ValueError(f"latency_p95_max_ms is {self.latency_p95_max_ms}; expected above 0")
        for name in ("requests_min", "window_min", "latency_window_min", "no_data_min", "known_days"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 1 or more")
        for name in ("runbook_url", "dashboard_url"):
            url = getattr(self, name)
            if url and not re.fullmatch(r"https?://[!-~]+", url):
                raise ValueError(f"{name} is {url[:80]!r}; expected an http or https address without blanks")

    @property
    def title(self) -> str:
        """The service, and the operation when only one is watched; safe to show."""
        return f"{shown(self.service)} {shown(self.operation)}".strip()

    @property
    def slug(self) -> str:
        """A name for files, groups and ids: lower case, with a tail that keeps like names apart."""
        words = _NAME.sub("-", f"{self.service} {self.operation}".lower()).strip("-")[:40].strip("-")
        seed = f"{self.service}\0{self.operation}\0{self.environment}".encode("utf-8", "surrogatepass")
        return f"{words or 'service'}-{blake2b(seed, digest_size=4).hexdigest()}"


def quoted(text: str) -> str:
    """A string literal of Go, as PromQL, LogQL and TraceQL read it."""
    return json.dumps(text.encode("utf-8", "replace").decode(), ensure_ascii=False).replace("\x7f", "\\u007f")


def in_template(text: str) -> str:
    """Text in a Go template (annotations of Prometheus and Grafana): two braces open nothing."""
    return shown(text).replace("{{", '{{ "{{" }}')


def in_datadog(text: str) -> str:
    """Text in a Datadog message: no template, no handle that somebody is paged by."""
    return re.sub(r"\{(?=\{)", "{ ", shown(text)).replace("@", "(at)")


def datadog_tag(text: str) -> str:
    """A value of a Datadog tag, as Datadog itself normalises it: nothing of it can end the query's braces."""
    clean = re.sub(r"[^a-z0-9_\-./]+", "_", text.lower()).strip("_")
    return clean[:200] or "unknown"
