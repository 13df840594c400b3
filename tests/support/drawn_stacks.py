"""Stacks drawn as text, and the smallest parser that reads them.

    OrderError: could not place
      app.Orders.place(Orders.java:7)
      lib.Dispatcher.run(Dispatcher.java:90)
    Caused by: NullPointerException: user is null
      app.Users.find(Users.java:45)

Innermost frame first. Frames of `app.` are application code, those of `lib.` are not, of others nothing is known.
"""

from __future__ import annotations

import re

from analyzer.errors.model import Frame, StackTrace, Thrown

_FRAME = re.compile(r"^\s+(?:(?P<module>[\w./$-]+)[.:])?(?P<function>[^.(]+)\((?P<file>[^:)]*):?(?P<line>\d*)\)$")
_IN_APP = {"app": True, "lib": False}


def parse_drawn(text: str, language: str = "") -> StackTrace | None:
    """Read a drawn stack; None when there is no frame in it."""
    chain: list[Thrown] = []
    head, frames = "", []

    def close() -> None:
        if not head:
            return
        words = head.removeprefix("Caused by: ")
        kind, _, message = words.partition(": ")
        relation = "cause" if head.startswith("Caused by: ") else "thrown"
        chain.append(Thrown(kind, message, tuple(frames), relation))

    for line in text.splitlines():
        found = _FRAME.match(line)
        if found:
            module = found["module"] or ""
            frames.append(
                Frame(
                    found["function"],
                    module,
                    found["file"],
                    int(found["line"] or 0),
                    in_app=_IN_APP.get(module.split(".")[0]),
                )
            )
        elif line.strip():
            close()
            head, frames = line.strip(), []
    close()
    return StackTrace(language or "java", tuple(chain)) if any(one.frames for one in chain) else None
