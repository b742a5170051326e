"""A real browser without a window: Chromium, driven over a pipe by its own DevTools protocol.

`python tests/get_browser.py` brings one; any other that is installed serves as well.
"""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

OWN = Path(sys.prefix) / "browser"
"""Where `get_browser.py` puts its Chromium, with the libraries that it needs beside it."""
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",  # pages of our own alone are opened, by root where CI is root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)
TIMEOUT_S = 120.0
"""For one answer; a busy machine may take its time."""


def find_browser() -> str | None:
    """The path of a Chromium, or None."""
    own = OWN / "chromium"
    return str(own) if own.exists() else next(filter(None, map(shutil.which, NAMES)), None)


@final
class Page:
    """A tab, and what it said and asked for since it was opened."""

    def __init__(self, browser: "Browser", session: str) -> None:
        self._browser, self._session = browser, session
        self.errors: list[str] = []
        """What the console shows as an error or a warning, and what was thrown."""
        self.requests: list[str] = []
        """Addresses that were asked for, those within the page aside."""

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol."""
        return self._browser.call(method, params, self._session)

    def run(self, script: str) -> Any:
        """The value of an expression in the page; what it throws is an error."""
        seen = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in seen:
            raise AssertionError(json.dumps(seen["exceptionDetails"]))
        return seen["result"].get("value")

    def hover(self, selector: str, across: float, down: float = 0.5) -> None:
        """Moves the mouse to a place within an element, in shares of its size."""
        x, y = self._place(selector, across, down)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def touch(self, selector: str, across: float, down: float = 0.5) -> None:
        """Taps there with a finger."""
        x, y = self._place(selector, across, down)
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def press(self, key: str) -> None:
        """Presses a key and lets it go."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Writes what is seen, or the whole page, as a PNG."""
        seen = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(seen["data"]))

    def _place(self, selector: str, across: float, down: float) -> tuple[float, float]:
        left, top, width, height = self.run(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)});"
            "one.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const box = one.getBoundingClientRect();"
            "return [box.left, box.top, box.width, box.height]; })()"
        )
        return left + across * width, top + down * height

    def note(self, method: str, params: dict[str, Any]) -> None:
        """Keeps what the browser tells of itself."""
        match method:
            case "Runtime.exceptionThrown":
                self.errors.append(json.dumps(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.errors.append(json.dumps(params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.errors.append(params["entry"]["text"])
            case "Network.requestWillBeSent":
                address = params["request"]["url"]
                if not address.startswith(("data:", "blob:")):
                    self.requests.append(address)


@final
class Browser:
    """A running Chromium."""

    def __init__(self, process: "subprocess.Popen[bytes]", reads: int, writes: int) -> None:
        self.process, self._reads, self._writes = process, reads, writes
        self._buffer, self._number = b"", 0
        self._pages: dict[str, Page] = {}

    def open(
        self, path: Path, width: int = 1280, height: int = 900, *, dark: bool = False,
        script: bool = True,
    ) -> Page:  # fmt: skip
        """A file in a tab of its own, once it is loaded."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})
        page = self._pages[session["sessionId"]] = Page(self, session["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        page.call("Emulation.setTouchEmulationEnabled", enabled=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        page.call("Emulation.setScriptExecutionDisabled", value=not script)
        page.call("Page.navigate", url=path.resolve().as_uri())
        end = time.monotonic() + TIMEOUT_S
        while page.run("document.readyState + location.protocol") != "completefile:":
            assert time.monotonic() < end, "the page does not load"
            time.sleep(0.05)
        return page

    def call(self, method: str, params: dict[str, Any], session: str | None = None) -> Any:
        """Says something and waits for the answer to it; what is told meanwhile is noted."""
        self._number += 1
        said: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session is not None:
            said["sessionId"] = session
        os.write(self._writes, json.dumps(said).encode() + b"\0")
        end = time.monotonic() + TIMEOUT_S
        while True:
            told = self._next(end)
            if told.get("id") == self._number:
                assert "error" not in told, f"{method}: {told['error']}"
                return told["result"]
            if page := self._pages.get(told.get("sessionId", "")):
                page.note(told.get("method", ""), told.get("params", {}))

    def _next(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._reads], [], [], max(0.0, end - time.monotonic()))
            more = os.read(self._reads, 2**16) if ready else b""
            assert more, "the browser is silent, or has ended"
            self._buffer += more
        one, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(one)


@contextlib.contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """A browser that keeps what it must in a folder, as long as it is needed."""
    binary = find_browser()
    assert binary, "there is no browser"
    from_us, writes = os.pipe()
    reads, to_us = os.pipe()
    # The protocol is spoken at the descriptors 3 and 4.
    plumb = f'exec "$@" 3</dev/fd/{from_us} 4>/dev/fd/{to_us} 2>/dev/null'
    environment = dict(os.environ)
    if binary == str(OWN / "chromium"):
        libraries = [str(OWN / "lib"), environment.get("LD_LIBRARY_PATH", "")]
        environment["LD_LIBRARY_PATH"] = ":".join(filter(None, libraries))
        environment.setdefault("FONTCONFIG_FILE", str(OWN / "fonts.conf"))
    process = subprocess.Popen(
        ["/bin/sh", "-c", plumb, "sh", binary, *FLAGS, f"--user-data-dir={folder}"],
        pass_fds=(from_us, to_us),
        env=environment,
    )
    os.close(from_us)
    os.close(to_us)
    try:
        yield Browser(process, reads, writes)
    finally:
        process.terminate()
        process.wait()
        os.close(reads)
        os.close(writes)
