"""A headless Chromium driven over its DevTools pipe: pages at a given width and scheme, and what they said and asked.

The pipe is the browser's file descriptors 3 and 4, messages JSON ended by NUL: no port, no library, no network.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 60.0
"""Seconds that an answer may take."""


@dataclass
class Page:
    """A tab: ``errors`` it reported and addresses it ``asked`` for since it was opened."""

    call: Callable[..., dict[str, Any]]
    wait: Callable[[str], dict[str, Any]]
    errors: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def open(self, path: Path, width: int = 1280, dark: bool = False, height: int = 900) -> None:
        """Load a file at this width and wait until its scripts have run."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait("Page.loadEventFired")
        # Packed data is unfolded after loading: two tasks and two frames later what was going to be there is there.
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 300))))")

    def run(self, script: str) -> Any:
        """The value of an expression, awaited if it is a promise. Raises RuntimeError with the page's own words."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(json.dumps(found["exceptionDetails"])[:2000])
        return found["result"].get("value")

    def shot(self, path: Path, whole: bool = True) -> None:
        """A PNG of the whole page, or of what is seen first."""
        taken = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(taken["data"]))


@contextmanager
def page(profile: Path) -> Iterator[Page]:
    """A browser of its own with one empty tab, ended at the end; ``profile`` is a folder it may fill."""
    to_browser, ours = os.pipe()
    theirs, from_browser = os.pipe()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}"]
    told = ["--remote-debugging-pipe", "--no-first-run", "--disable-background-networking"]
    # A shell puts the pipes where the browser looks for them.
    script = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
    command = ["bash", "-c", script, str(CHROMIUM), *options, *told]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, pass_fds=(to_browser, from_browser), **quiet)  # type: ignore[call-overload]
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield _tab(_Pipe(ours, theirs))
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


class _Pipe:
    def __init__(self, ours: int, theirs: int) -> None:
        self.ours, self.theirs = ours, theirs
        self.rest, self.number = b"", 0
        self.heard: Callable[[str, dict[str, Any]], None] = lambda name, told: None

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        self.number += 1
        said = {"id": self.number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        message = json.dumps(said).encode() + b"\0"
        while message:
            message = message[os.write(self.ours, message) :]
        while (answer := self.next()).get("id") != self.number:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def next(self) -> dict[str, Any]:
        """The next message; an event is heard on its way."""
        until = time.monotonic() + PATIENCE
        while b"\0" not in self.rest:
            if not select.select([self.theirs], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError(f"the browser said nothing for {PATIENCE:g} seconds")
            got = os.read(self.theirs, 1 << 20)
            if not got:
                raise EOFError("the browser went away")
            self.rest += got
        message, _, self.rest = self.rest.partition(b"\0")
        value = json.loads(message)
        if "method" in value:
            self.heard(value["method"], value["params"])
        return value


def _tab(pipe: _Pipe) -> Page:
    target = pipe.call("Target.createTarget", url="about:blank")["targetId"]
    session = pipe.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    loaded: list[tuple[str, dict[str, Any]]] = []

    def wait(name: str) -> dict[str, Any]:
        while True:
            for i, (heard, told) in enumerate(loaded):
                if heard == name:
                    del loaded[: i + 1]
                    return told
            pipe.next()

    tab = Page(lambda method, **params: pipe.call(method, session, **params), wait)

    def heard(name: str, told: dict[str, Any]) -> None:
        loaded.append((name, told))
        if name == "Network.requestWillBeSent":
            tab.asked.append(told["request"]["url"])
        elif name == "Runtime.exceptionThrown":
            tab.errors.append(json.dumps(told["exceptionDetails"])[:500])
        elif (name == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert")) or (
            name == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning")
        ):
            tab.errors.append(json.dumps(told)[:500])

    pipe.heard = heard
    for domain in ("Page", "Runtime", "Network", "Log"):
        tab.call(f"{domain}.enable")
    return tab
