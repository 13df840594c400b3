"""Chromium without a window, told what to do over its own protocol: what a page did, and what it became.

with chromium(folder) as browser:
    seen = browser.open("http://127.0.0.1:8080/report", wall=False)
    assert seen.dialogs == [] and seen.requests == []

The DevTools protocol through two pipes is some lines; a library for it brings a hundred megabytes and a browser of
its own. Debian's Chromium is installed by `tests/tools/debian.sh`.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

# No services of its own, no network but loopback.
_WORDS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--remote-debugging-pipe",
]
_NO_NAMES = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
ANSWER_S = 60.0
# Everything there is in the document, in its order; and what a reader would open is opened.
_LOOK = """
(async () => {
  for (const one of document.querySelectorAll('details')) one.open = true;
  await new Promise(done => setTimeout(done, SETTLE));
  const shown = [...document.querySelectorAll('*')].map(one =>
    [one.localName, Object.fromEntries([...one.attributes].map(each => [each.name, each.value]))]);
  const text = document.body ? document.body.textContent : '';
  return JSON.stringify({elements: shown, text: text, title: document.title, url: location.href});
})()
"""
SETTLE_MS = 30


@dataclass
class Seen:
    """What came of one page.

    elements : name and attributes of each, in the order of the document
    dialogs : what alert, confirm and prompt said
    requests : addresses asked for, or to be gone to; but for the page itself and the icon that a browser looks for
    complaints : errors of the console, violations of a content security policy among them
    shown : False: the browser offered it as a file to be saved
    """

    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    text: str = ""
    title: str = ""
    url: str = ""
    dialogs: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    shown: bool = True


class Browser:
    """One Chromium; a page at a time."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, back: int) -> None:
        self._process, self._to, self._back = process, to, back
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._seen = Seen()

    def open(
        self, url: str, *, wall: bool = True, headers: Mapping[str, str] | None = None, picture: Path | None = None
    ) -> Seen:
        """Load a page, open what can be opened, wait a moment, look.

        Parameters
        ----------
        wall : False: no content security policy holds, so that only escaping is left
        picture : where to draw all of it, as PNG
        """
        self._seen = seen = Seen()
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self._call(f"{domain}.enable", session)
        self._call("Page.setBypassCSP", session, enabled=not wall)
        if headers:
            self._call("Network.setExtraHTTPHeaders", session, headers=dict(headers))
        self._loaded = False
        went = self._call("Page.navigate", session, url=url)
        seen.shown = went.get("errorText") in (None, "")
        deadline = time.monotonic() + ANSWER_S
        while seen.shown and not self._loaded and time.monotonic() < deadline:
            self._read(deadline)
        if seen.shown:
            found = self._call(
                "Runtime.evaluate",
                session,
                expression=_LOOK.replace("SETTLE", str(SETTLE_MS)),
                awaitPromise=True,
                returnByValue=True,
            )
            looked = json.loads(found["result"]["value"])
            seen.elements = [(name, attributes) for name, attributes in looked["elements"]]
            seen.text, seen.title, seen.url = looked["text"], looked["title"], looked["url"]
        if picture is not None:
            drawn = self._call("Page.captureScreenshot", session, captureBeyondViewport=True)
            picture.write_bytes(base64.b64decode(drawn["data"]))
        self._call("Target.closeTarget", targetId=target)
        seen.requests = [one for one in seen.requests if one != url and not one.endswith("/favicon.ico")]
        return seen

    def _call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._say(number, method, session, parameters)
        deadline = time.monotonic() + ANSWER_S
        while True:
            message = self._read(deadline)
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                found: dict[str, Any] = message["result"]
                return found

    def _say(self, number: int, method: str, session: str | None, parameters: Mapping[str, Any]) -> None:
        words = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        rest = json.dumps(words).encode() + b"\0"
        while rest:
            rest = rest[os.write(self._to, rest) :]

    def _read(self, deadline: float) -> dict[str, Any]:
        """The next message; what it tells of the page is noted."""
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._back], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "Chromium did not answer in time"
            piece = os.read(self._back, 2**20)
            assert piece, f"Chromium ended with {self._process.poll()}"
            self._buffer += piece
        raw, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(raw)
        self._note(message)
        return message

    def _note(self, message: Mapping[str, Any]) -> None:
        said, seen = message.get("params", {}), self._seen
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Page.javascriptDialogOpening":
                seen.dialogs.append(said["message"])
                session = message["sessionId"]
                self._say(next(self._numbers), "Page.handleJavaScriptDialog", session, {"accept": True})
            case "Network.requestWillBeSent":
                if not said["request"]["url"].startswith(("data:", "about:")):
                    seen.requests.append(said["request"]["url"])
            case "Page.frameScheduledNavigation":  # it would go there after our look
                seen.requests.append(said["url"])
            case "Log.entryAdded":
                seen.complaints.append(said["entry"]["text"])
            case "Runtime.exceptionThrown":
                seen.complaints.append(said["exceptionDetails"]["text"])


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """Start Chromium with a profile below `folder`; it is ended with the block."""
    words = [_program(), *_WORDS, _NO_NAMES, f"--user-data-dir={folder / 'profile'}", "--window-size=1100,1600"]
    theirs_in, to = os.pipe()
    back, theirs_out = os.pipe()

    def place() -> None:  # the browser reads descriptor 3 and writes descriptor 4
        high = [os.dup(theirs_in), os.dup(theirs_out)]
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    log = (folder / "chromium.log").open("wb")
    process = subprocess.Popen(
        words,
        stdout=log,
        stderr=log,
        stdin=subprocess.DEVNULL,
        close_fds=False,  # 3 and 4 stay; Python's own descriptors are not inherited
        preexec_fn=place,
        start_new_session=True,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(process, to, back)
    finally:
        os.close(to)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)  # it ends when its pipe does
        if process.poll() is None:
            process.kill()
            process.wait(10)
        os.close(back)
        log.close()


def _program() -> str:
    """In CI it must be there; elsewhere the reason is told and the test is skipped."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    reason = "no Chromium on this machine; sh tests/tools/debian.sh installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
