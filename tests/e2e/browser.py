"""Finds a Chromium that Playwright can start: no root, no download beyond npm's packages.

``CHROME_BIN`` wins. On Linux x86-64 it is the one in the npm package ``@sparticuz/chromium``, unpacked once into
``.local``; elsewhere one that is installed.
"""

import json
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from playwright.async_api import Browser as PlaywrightBrowser
    from playwright.async_api import Playwright

ROOT: Final = Path(__file__).resolve().parents[2]
_PACKAGE: Final = ROOT / "node_modules" / "@sparticuz" / "chromium"
_INSTALLED: Final = (
    "google-chrome",
    "google-chrome-stable",
    "chromium",
    "chromium-browser",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
# The package unpacks into TMPDIR, and the shared libraries only where it believes to run in Lambda.
_UNPACK: Final = "import('@sparticuz/chromium').then((module) => module.default.executablePath())"
_UNPACK_AS: Final = {"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs20.x"}


class NoBrowserError(Exception):
    """There is none."""


@dataclass(frozen=True, slots=True)
class Browser:
    """What Playwright's ``launch`` needs to know."""

    executable: Path
    environment: dict[str, str] = field(default_factory=dict)


async def launch(playwright: "Playwright", **options: Any) -> "PlaywrightBrowser":
    """Start it, without a window."""
    found = find_browser()
    # /dev/shm is small in containers; without a GPU there is nothing to draw with but the processor.
    arguments = ["--disable-dev-shm-usage", "--disable-gpu", *options.pop("args", [])]
    environment: dict[str, str | float | bool] = {**os.environ, **found.environment}
    return await playwright.chromium.launch(
        executable_path=found.executable, env=environment, args=arguments, chromium_sandbox=False, **options
    )


def find_browser() -> Browser:
    """Return a browser.

    Raises:
        NoBrowserError: With what to do about it.
    """
    if chosen := os.environ.get("CHROME_BIN"):
        return Browser(Path(chosen))
    if platform.system() == "Linux" and platform.machine() == "x86_64" and _PACKAGE.is_dir():
        return _from_package()
    for name in _INSTALLED:
        if found := shutil.which(name):
            return Browser(Path(found))
    raise NoBrowserError("no Chrome or Chromium was found: install one, or name one with CHROME_BIN=/path/to/chrome")


def _from_package() -> Browser:
    version = json.loads((_PACKAGE / "package.json").read_text())["version"]
    folder = ROOT / ".local" / "chromium" / version
    if not folder.is_dir():
        _unpack(folder)
    fonts = folder / "fonts"
    environment = {"FONTCONFIG_FILE": str(_font_configuration(fonts))}
    executable = folder / "chromium"
    linked = subprocess.run(["ldd", str(executable)], capture_output=True, text=True, check=True).stdout
    if "not found" in linked:
        # Built for Amazon Linux 2023: only where the system has none, since an older glibc could not load them.
        environment["LD_LIBRARY_PATH"] = str(folder / "al2023" / "lib")
    return Browser(executable, environment)


def _unpack(folder: Path) -> None:
    """Unpack beside, then rename: whoever is interrupted leaves nothing that looks whole."""
    scratch = folder.with_name(f"{folder.name}.{os.getpid()}")
    scratch.mkdir(parents=True)
    environment = {**os.environ, **_UNPACK_AS, "TMPDIR": str(scratch)}
    try:
        subprocess.run(["node", "-e", _UNPACK], cwd=ROOT, env=environment, check=True)
        scratch.rename(folder)
    except OSError:
        if not folder.is_dir():  # else somebody else was faster
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _font_configuration(fonts: Path) -> Path:
    """Write which fonts there are: the package's own first, so that pictures look alike everywhere."""
    configuration = fonts / "tidewire.conf"
    families = "".join(
        f"<alias><family>{name}</family><prefer><family>Open Sans</family></prefer></alias>"
        for name in ("system-ui", "sans-serif")
    )
    configuration.write_text(
        f"<fontconfig><dir>{fonts}</dir><dir>/usr/share/fonts</dir><cachedir>{fonts}/cache</cachedir>{families}"
        "</fontconfig>\n"
    )
    return configuration
