"""The parts of the documentation site that are our own; `make docs` builds all of it, strictly."""

import importlib
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PACKAGE = ROOT / "src" / "duopoly"
ROOMS = ("game", "model", "policy", "equilibrium", "theory", "world", "settings")

pytest.importorskip("sphinx", reason="the site needs duopoly[docs]")


@pytest.fixture
def extension(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """Imports one of the site's own extensions."""
    monkeypatch.syspath_prepend(str(DOCS / "extensions"))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield load
    for path in (DOCS / "extensions").glob("*.py"):
        sys.modules.pop(path.stem, None)


def modules_of(room: str) -> set[str]:
    """The modules of a room in which something is defined for others."""
    paths = [path for path in (PACKAGE / room).rglob("*.py") if not path.name.startswith("_")]
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in paths}


@pytest.mark.parametrize("room", ROOMS)
def test_the_api_pages_leave_out_no_module(room: str) -> None:
    page = (DOCS / "api" / f"{room}.rst").read_text(encoding="utf-8")
    told = set(re.findall(r"^\.\. automodule:: duopoly\.(\S+)$", page, re.M))
    assert modules_of(room) <= told


def test_the_page_of_public_names_leaves_out_none() -> None:
    import duopoly

    page = (DOCS / "api" / "index.rst").read_text(encoding="utf-8")
    told = set(re.findall(r"^\.\. auto\w+:: (\w+)$|``(\w+)``", page, re.M))
    assert set(duopoly.__all__) - {"__version__"} <= {name for pair in told for name in pair}


def test_formulas_and_signs_in_docstrings_stay_as_they_are(extension) -> None:
    text = """Pays π* for p(a|s), as `return_` says.

    J = E_{s,a} [r_*]

Of |x| and `a*`:

    not cut

    anywhere

Raises:
    ValueError: more than

        an indented line."""
    assert extension("docstrings").as_restructured_text(text.split("\n")) == [
        *("Pays π\\* for p(a\\|s), as `return_` says.", ""),
        *("::", "", "    J = E_{s,a} [r_*]", ""),
        *("Of \\|x\\| and `a*`:", ""),
        *("::", "", "    not cut", "", "    anywhere", ""),
        *("Raises:", "    ValueError: more than", "", "        an indented line."),
    ]


def test_links_lead_to_pages_where_there_are_any(extension) -> None:
    repository = extension("repository")
    moved = repository.with_links_from(
        DOCS, "[a](docs/theory.md#x) [b](CONTRIBUTING.md#y) [c](https://d.e/f) [g](#h)", ROOT
    )
    assert moved == "[a](theory.md#x) [b](contributing.md#y) [c](https://d.e/f) [g](#h)"
    moved = repository.with_links_from(DOCS, "![i](../results/a.png) [j](LICENSE)", DOCS)
    assert moved == "![i](../results/a.png) [j](LICENSE)"
    assert repository.with_links_from(DOCS, "[k](../README.md)", DOCS) == "[k](guide.md)"


PAGE = r"""# Page

$$
\begin{aligned} \max_{\pi} J &= \hat M_k \end{aligned}
$$

| `model.loss.squared_error` | `model/test_loss.py::test_likelihood_is_that_of_scipy` |
|---|---|

See `networks.Normaliser`, not `no.such.name`, and [it](../../src/duopoly/schedule.py).
"""


@pytest.fixture
def build(tmp_path: Path, extension):
    """Builds a site of one page by the extensions for pages, and returns it with the warnings."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace

    assert extension("references")

    def build(page: str, name: str = "page") -> tuple[str, str]:
        source = tmp_path / f"{name} source"
        source.mkdir()
        page = page.replace("../..", os.path.relpath(ROOT, source))
        (source / f"{name}.md").write_text(page, encoding="utf-8")
        said = io.StringIO()
        settings = {
            "extensions": ["myst_parser", "mathml", "references"],
            "myst_enable_extensions": ["dollarmath"],
            "html_math_renderer": "mathml",
            "root_doc": name,
        }
        out = tmp_path / "site"
        with docutils_namespace():
            app = Sphinx(source, None, out, tmp_path / "trees", "html", settings, None, said)
            app.build()
        return (out / f"{name}.html").read_text(encoding="utf-8"), said.getvalue()

    return build


@pytest.mark.filterwarnings("ignore:'myst_parser")  # how it asks Sphinx for what
def test_a_page_has_its_equations_and_its_links(build, tmp_path: Path) -> None:
    page, said = build(PAGE)
    assert said == ""
    assert "<munder><mo>max</mo>" in page
    assert "<msub><mover accent" in page
    assert "cdn" not in page
    link = "source/tests/model/test_loss.html#test_likelihood_is_that_of_scipy"
    assert f'href="{link}"' in page
    file, anchor = link.split("#")
    shown = (tmp_path / "site" / file).read_text(encoding="utf-8")
    assert re.search(f'<span id="{anchor}"></span><span class="k">def</span>', shown)
    # These have no API page here, so that their sources are shown.
    for name in ("model/loss.html#squared_error", "networks.html#Normaliser", "schedule.html"):
        assert f'href="source/src/duopoly/{name}"' in page
    assert "source/no" not in page


def test_what_cannot_be_set_or_found_is_told(build) -> None:
    _, said = build("# Page\n\n$\\nosuch{x}$\n")
    assert "\\nosuch is not understood in the equation \\nosuch{x}" in said
    _, said = build("# Page\n\n`model.loss.nothing`, `tests/`\n", name="equations")
    assert "model.loss.nothing leads nowhere" in said
    assert said.count("WARNING") == 1
