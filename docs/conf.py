"""The documentation site, built by `make docs`: Markdown pages, and the API from the docstrings."""

import sys
from pathlib import Path

import jax

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

from mathml import FONT

jax.Array.__name__ = "Array"  # by which jaxtyping calls its types, as the source does

project = "duopoly"
author = "The duopoly developers"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "docstrings",
    "mathml",
    "references",
    "repository",
]
exclude_patterns = ["extensions"]
default_role = "py:obj"

# Pages: Markdown as a code host reads it, equations between dollars.
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
html_math_renderer = "mathml"
nb_merge_streams = True
nb_execution_mode = "off"  # tests/test_notebook.py executes it

# The API: in the order of the source, types and all.
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False
autodoc_default_options = {"members": True}
add_module_names = False
python_maximum_signature_line_length = 80
toc_object_entries = False

html_theme = "furo"
html_title = "duopoly"
html_static_path = ["static", str(FONT)]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
