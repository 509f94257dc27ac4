"""A headless Chromium for tests, spoken to over a pipe by the DevTools protocol.

No package is needed for that: messages are JSON, each ended by a zero byte, on the file
descriptors 3 and 4 of the browser.
"""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

PROGRAM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
PATIENCE_S = 60

needs_browser = pytest.mark.skipif(not PROGRAM, reason="there is no Chromium on this machine")


class Browser:
    """One page in a browser of its own, and what it complained about and asked for."""

    def __init__(self, profile: Path) -> None:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        command = [
            *(PROGRAM, "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"),
            *("--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"),
            *(f"--user-data-dir={profile}", "about:blank"),
        ]
        joined = 'exec "$@" 3<&"$READ" 4>&"$WRITE"'
        self._process = subprocess.Popen(
            ["bash", "-c", joined, "bash", *command],
            env=os.environ | {"READ": str(to_browser), "WRITE": str(from_browser)},
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._number = 0
        self._session = ""
        self.errors: list[str] = []
        """Messages of the console that are errors or warnings, and exceptions."""
        self.requests: list[str] = []
        """Addresses that were asked for."""

        self._target = ""
        self.new_tab()

    def new_tab(self) -> None:
        """Goes on in an empty tab; what the tab before complains about or asks for is forgotten."""
        before, self._session = self._target, ""
        self._target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=self._target, flatten=True)
        if before:
            self.call("Target.closeTarget", targetId=before)
        self._session = attached["sessionId"]
        self.errors.clear()
        self.requests.clear()
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """Ends the browser with all its processes."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """What a command of the protocol answers."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._note(answer)

    def _next(self) -> dict[str, Any]:
        ends_at = time.monotonic() + PATIENCE_S
        while b"\0" not in self._buffer:
            left = ends_at - time.monotonic()
            ready, _, _ = select.select([self._read], [], [], max(left, 0))
            assert ready, "the browser does not answer"
            self._buffer += os.read(self._read, 1 << 20)
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("sessionId") != self._session:
            return  # of a tab that was closed
        params = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(json.dumps(params["exceptionDetails"])[:500])
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.errors.append(json.dumps(params["args"])[:500])
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.errors.append(params["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])

    def screen(self, width: int, dark: bool = False, height: int = 900) -> None:
        """A screen of so many pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, address: str) -> None:
        """Opens a page and waits until it says that it is ready."""
        self.call("Page.navigate", url=address)
        self.until("document.documentElement?.dataset.ready === 'yes'")

    def run(self, code: str) -> Any:
        """The value of an expression on the page."""
        answer = self.call(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, code: str) -> None:
        """Waits until an expression is true."""
        ends_at = time.monotonic() + PATIENCE_S
        while not self.run(code):
            assert time.monotonic() < ends_at, f"{code} never came; {self.errors}"
            time.sleep(0.05)

    def choose(self, selector: str, label: str) -> None:
        """Chooses the option with this text, as a person does."""
        where = json.dumps(selector)
        found = self.run(
            f"""(() => {{
                const select = document.querySelector({where});
                const option = [...select.options].find((one) => one.text === {json.dumps(label)});
                if (!option) return [...select.options].map((one) => one.text).join(" | ");
                select.value = option.value;
                select.dispatchEvent(new Event("input", {{ bubbles: true }}));
                select.dispatchEvent(new Event("change", {{ bubbles: true }}));
                return "";
            }})()"""
        )
        assert found == "", f"{selector} has no {label!r}, only {found}"

    def text(self, selector: str) -> str:
        """What stands in an element."""
        return self.run(f"document.querySelector({json.dumps(selector)}).innerText")

    def press(self, key: str, code: str = "", text: str = "") -> None:
        """Presses a key where the focus is."""
        common = {"key": key, "code": code or key}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def mouse(self, kind: str, x: float, y: float, pressed: bool = False) -> None:
        """An event of the mouse, such as mouseMoved, at a place of the screen."""
        button = {"button": "left" if pressed else "none", "buttons": int(pressed)}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, clickCount=1, **button)

    def picture(self, path: Path, whole: bool = False) -> None:
        """A screenshot, of what is seen or of the whole page."""
        answer = self.call(
            "Page.captureScreenshot", captureBeyondViewport=whole, **self._clip(whole)
        )
        path.write_bytes(base64.b64decode(answer["data"]))

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "scale": 1} | {k: size[k] for k in ("width", "height")}}


def started() -> tuple[Browser, tempfile.TemporaryDirectory]:
    """A browser with its profile, both to be closed."""
    profile = tempfile.TemporaryDirectory()
    return Browser(Path(profile.name)), profile
