"""Docstrings as Sphinx reads them.

Ours are plain text for whoever opens the source: names in backticks, formulas indented, sections
"Args:", "Raises:". Here formulas become literal blocks, and what reStructuredText would take for
markup (π*, p(a|s), return_) stays what it is. What is public stands on one page, and the rooms lead
there.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from sphinx.application import Sphinx
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.util.typing import ExtensionMetadata

import duopoly
from duopoly.records import Checked

_CODE: Final = re.compile(r"(``.+?``|`[^`]+`)", re.DOTALL)
_MARKUP: Final = re.compile(r"[*|]|(?<=\w)_(?!\w)")
_SECTION: Final = re.compile(r"(Args|Returns|Raises|Yields):$")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Reads every docstring, and decides what is shown on which page."""
    app.connect("autodoc-process-docstring", _process)
    app.connect("autodoc-process-signature", _sign)
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    del app, options
    lines[:] = as_restructured_text(lines)
    if what == "module":
        public = [f":py:obj:`~duopoly.{x}`" for x in duopoly.__all__ if home_of(x) == name]
        if public:
            lines += [f"Public, and told of under :doc:`/api/index`: {', '.join(public)}."]
    elif what in ("function", "method", "class", "exception"):  # of others "a: b" would be a type
        lines[:] = GoogleDocstring(lines, what=what, name=name, obj=obj).lines()


def _sign(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str, returns: str
) -> tuple[str, str] | None:
    """Leaves out the arguments of settings: their fields, and what each is, follow anyway."""
    del app, name, options, signature
    is_settings = what == "class" and isinstance(obj, type) and issubclass(obj, Checked)
    return ("", returns) if is_settings else None


def _skip(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leaves out of a room's page what the page of public names tells of."""
    del what, skip, options
    is_room = app.env.docname != "api/index"
    is_public = name in duopoly.__all__ and obj is getattr(duopoly, name)
    return True if is_room and is_public else None


def home_of(name: str) -> str:
    """The module in which a public name is defined."""
    return getattr(getattr(duopoly, name), "__module__", "")


def as_restructured_text(lines: list[str]) -> list[str]:
    """Returns a docstring with its formulas as literal blocks and nothing else taken for markup."""
    found: list[str] = []
    for is_formula, block in _blocks(lines):
        if is_formula:
            found += ([] if found[-2:] and found[-2].endswith("::") else ["::", ""]) + block
        else:
            parts = _CODE.split("\n".join(block))
            parts[::2] = [_MARKUP.sub(r"\\\g<0>", prose) for prose in parts[::2]]
            found += "".join(parts).split("\n")
    return found


def _blocks(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """Spans of lines, and whether each is a formula: indented after an empty line."""
    block: list[str] = []
    is_formula = is_section = False
    for number, line in enumerate(lines):
        if line.strip():
            is_indented = line.startswith(" ")
            is_section = bool(_SECTION.match(line)) or (is_section and is_indented)
            follows_gap = number > 0 and not lines[number - 1].strip()
            begins = is_indented and follows_gap and not is_section and not is_formula
            ends = is_formula and not is_indented
            if begins or ends:
                yield is_formula, block
                block, is_formula = [], begins
        block.append(line)
    yield is_formula, block
