"""Files of the repository as pages, and links that hold in the repository as on the site.

On a code host a Markdown link leads to a file. Here it leads to the page that shows the file, where
there is one; what else it names is copied beside the pages, or shown by `references`.
"""

import os
import re
from pathlib import Path
from typing import Final

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

DOCS: Final = Path(__file__).parents[1]
ROOT: Final = DOCS.parent

SHOWN: Final = {
    "guide": ROOT / "README.md",
    "contributing": ROOT / "CONTRIBUTING.md",
    "changelog": ROOT / "CHANGELOG.md",
    "published": ROOT / "results" / "published" / "README.md",
}
"""Pages that show a file from outside of docs/, by name; the file in docs/ only leads there."""

_PAGES: Final = {path: DOCS / f"{name}.md" for name, path in SHOWN.items()}
_LINK: Final = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Reads every page before the Markdown parser does."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _read(app: Sphinx, docname: str, content: list[str]) -> None:
    path = Path(app.env.doc2path(docname))
    if path.suffix != ".md":
        return
    if docname in SHOWN:
        path = SHOWN[docname]
        app.env.note_dependency(str(path))
        content[0] = path.read_text("utf-8")
    content[0] = with_links_from(DOCS, content[0], path.parent)


def with_links_from(folder: Path, text: str, home: Path) -> str:
    """Returns Markdown whose links lead from a file in ``home``, so that they do from a folder."""

    def moved(match: re.Match[str]) -> str:
        target = (home / match[1]).resolve()
        return os.path.relpath(_PAGES.get(target, target), folder)

    return _LINK.sub(moved, text)
