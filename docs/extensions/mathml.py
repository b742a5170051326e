"""Equations as MathML, made when the site is built: a page needs no script and no network."""

import re
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator

FONT: Final = Path(
    str(distribution("ziamath").locate_file("ziamath/fonts/STIXTwoMath-Regular.ttf"))
)
"""Browsers set MathML well only in a font that is made for it, which Linux often lacks."""

_LIMITS: Final = re.compile(r"\\(max|min)_")

_LOG = logging.getLogger(__name__)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Registers the renderer; the configuration chooses it by its name."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(_mathml(node, node.astext(), "inline"))
    raise nodes.SkipNode


def _block(translator: HTML5Translator, node: nodes.math_block) -> None:
    # What the converter knows of aligned lines, and of limits below a name, has other names there.
    code = node.astext().replace("{aligned}", "{align*}")
    code = _LIMITS.sub(r"\\\1\\limits_", code)
    translator.body.append(f'<div class="equation">{_mathml(node, code, "block")}</div>\n')
    raise nodes.SkipNode


def _mathml(node: nodes.Element, code: str, display: str) -> str:
    mathml = convert(code, display=display).replace("<mo>&#x0005E;</mo>", "<mo>&#x002C6;</mo>")
    # What it does not know the converter copies.
    if unknown := re.search(r"\\\w*|<mi>&</mi>", mathml):
        _LOG.warning("%s is not understood in the equation %s", unknown[0], code, location=node)
    return mathml
