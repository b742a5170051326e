"""Equations as MathML, made when the site is built: a page needs no script and no network."""

from docutils import nodes
from docutils.utils.math import MathError, pick_math_environment
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator

_LOG = logging.getLogger(__name__)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Registers the renderer; the configuration chooses it by its name."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def _block(translator: HTML5Translator, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="equation">{_mathml(node, as_block=True)}</div>\n')
    raise nodes.SkipNode


def _mathml(node: nodes.math | nodes.math_block, *, as_block: bool) -> str:
    code = node.astext()
    if as_block and (environment := pick_math_environment(code)) != "equation*":
        code = f"\\begin{{{environment}}}{code}\\end{{{environment}}}"
    try:
        return tex2mathml(code, as_block=as_block)
    except MathError as error:
        _LOG.warning("%s, in the equation %s", error, code, location=node)
        return code
