"""Names in backticks as links: to what the API pages say of them, else to their source.

`model.fit.fit_model`, from the package on, and `model/test_fit.py::test_it`, from tests/ on, are
how the documents name functions and tests. Sources that a page leads to become pages, too.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from docstrings import home_of
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.osutil import relative_uri
from sphinx.util.typing import ExtensionMetadata

import duopoly

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "src" / "duopoly"

STRICT: Final = {"equations"}
"""Pages on which every name of a function or a test must lead somewhere."""

PUBLIC: Final = {f"{home_of(name)}.{name}": f"duopoly.{name}" for name in duopoly.__all__}
"""By where they are defined, the public names."""

_LINKED: Final[set[Path]] = set()
"""Sources that the pages written so far lead to."""

_LOG = logging.getLogger(__name__)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Links while pages are written, then writes the sources that were linked to."""
    app.add_post_transform(LinkNames)
    app.connect("builder-inited", lambda _app: _LINKED.clear())
    app.connect("html-collect-pages", _source_pages)
    app.connect("missing-reference", _public_name)
    return {"parallel_read_safe": True, "parallel_write_safe": False}


class LinkNames(SphinxPostTransform):
    """Makes links of names in backticks, and of links to Python files."""

    default_priority = 5  # before Sphinx resolves its own references
    formats = ("html",)

    def run(self, **_: Any) -> None:
        """Changes one page."""
        if self.env.docname.startswith("api/"):
            return
        for literal in list(self.document.findall(nodes.literal)):
            if isinstance(literal.parent, nodes.TextElement) and not _is_linked(literal):
                self._link(literal)
        for download in list(self.document.findall(addnodes.download_reference)):
            path = (Path(self.env.srcdir) / download["reftarget"]).resolve()
            if path.suffix == ".py":
                link = nodes.reference("", "", *download.children, refuri=self._uri_in(path, ""))
                download.replace_self(link)

    def _link(self, literal: nodes.literal) -> None:
        name = literal.astext().removesuffix("()")
        uri = self._uri_of_object(name) or self._uri_of_source(name)
        if uri is not None:
            link = nodes.reference("", "", refuri=uri)
            literal.replace_self(link)
            link += _breakable(literal) if _is_in_table(link) else literal
        elif self.env.docname in STRICT and ("::" in name or _module_of(name)):
            _LOG.warning("%s leads nowhere", name, location=literal)

    def _uri_of_object(self, name: str) -> str | None:
        """Where an API page tells of it: by its whole name, or by its last one if that is clear."""
        objects = self.env.domains.python_domain.objects
        full = f"duopoly.{name}"
        if full not in objects and full in PUBLIC:
            full = PUBLIC[full]
        elif full not in objects:
            ends = [key for key in objects if key.endswith(f".{name}") and "_" in name]
            if len(ends) != 1 or objects[ends[0]].objtype not in ("function", "class", "data"):
                return None
            full = ends[0]
        found = objects[full]
        return _uri(self.env.docname, found.docname, found.node_id)

    def _uri_of_source(self, name: str) -> str | None:
        """Where the source of a test, or of a function that no API page has, can be read."""
        file, _, test = name.partition("::")
        path, defined = (ROOT / "tests" / file, test) if test else (_module_of(name), name)
        defined = defined.rpartition(".")[2]
        if path is None or not path.is_file() or defined not in lines_of(path):
            return None
        return self._uri_in(path, defined)

    def _uri_in(self, path: Path, name: str) -> str:
        _LINKED.add(path)
        return _uri(self.env.docname, _page(path), name)


def _uri(docname: str, page: str, anchor: str) -> str:
    """The way from one page to a place on another."""
    uri = relative_uri(f"{docname}.html", f"{page}.html")
    return f"{uri}#{anchor}" if anchor else uri


def _public_name(app: Sphinx, env: Any, node: nodes.Element, shown: nodes.Node) -> Any:
    """Links what a docstring names as users know it: `Task`, wherever that is defined."""
    found = env.domains.python_domain.objects.get(f"duopoly.{node.get('reftarget')}")
    del app
    if node.get("refdomain") != "py" or found is None:
        return None
    uri = _uri(node["refdoc"], found.docname, found.node_id)
    return nodes.reference("", "", shown, internal=True, refuri=uri)


def _breakable(literal: nodes.literal) -> nodes.literal:
    """The same name, which may be broken where its words end: a column is narrow."""
    parts = re.split(r"(?<=[/.:])(?=\w)|(?=_)", literal.astext())
    found = nodes.literal("", "", nodes.Text(parts[0]))
    for part in parts[1:]:
        found += [nodes.raw("", "<wbr>", format="html"), nodes.Text(part)]
    return found


def _is_in_table(node: nodes.Node) -> bool:
    return node.parent is not None and (
        isinstance(node.parent, nodes.entry) or _is_in_table(node.parent)
    )


def _is_linked(literal: nodes.literal) -> bool:
    node: nodes.Node | None = literal
    while node is not None and not isinstance(node, nodes.Text | nodes.section | nodes.document):
        if isinstance(node, nodes.reference | nodes.title | addnodes.pending_xref):
            return True
        node = node.parent
    return False


def _module_of(name: str) -> Path | None:
    """The file of `room.module.function`, from the package on."""
    module, dot, _ = name.rpartition(".")
    if not dot:
        return None
    path = PACKAGE.joinpath(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def _page(path: Path) -> str:
    return f"source/{path.relative_to(ROOT).with_suffix('').as_posix()}"


@cache
def lines_of(path: Path) -> dict[str, int]:
    """The line, counted from 1, at which a file defines each name at its top level."""
    found: dict[str, int] = {}
    for node in ast.parse(path.read_text("utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found[name] = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = node.lineno
    return found


def _source_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Pages with the sources that were linked to, a place to jump to at every definition."""
    highlighter = app.builder.highlighter  # pyright: ignore[reportAttributeAccessIssue]
    for path in sorted(_LINKED):
        title = path.relative_to(ROOT).as_posix()
        shown = highlighter.highlight_block(path.read_text("utf-8"), "python")
        before, opening, code = shown.partition("<pre>")
        lines = code.split("\n")
        for name, line in lines_of(path).items():
            lines[line - 1] = f'<span id="{name}"></span>{lines[line - 1]}'
        body = f"<h1>{title}</h1>{before}{opening}" + "\n".join(lines)
        yield _page(path), {"title": title, "body": body}, "page.html"
