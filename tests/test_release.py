"""What a release consists of fits together: version, changelog, image."""

import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def lines_of(name: str) -> list[str]:
    """The instructions of a file, one a line, without its comments."""
    text = (ROOT / name).read_text("utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()


def test_the_changelog_begins_with_what_is_not_released_and_then_has_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    unreleased, released, *_ = re.findall(r"^## (.*)$", text, re.M)
    assert unreleased == "[Unreleased]"
    version = re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d", released)
    assert version is not None
    assert version[1] == PROJECT["version"]


def test_the_image_is_built_of_what_is_there_and_is_not_left_out() -> None:
    everything, *shown = lines_of(".dockerignore")
    assert everything == "*"
    kept = {line.removeprefix("!") for line in shown if line.startswith("!")}
    assert all((ROOT / name).exists() for name in kept)
    copied = [shlex.split(line)[1:-1] for line in lines_of("Dockerfile") if line.startswith("COPY")]
    sources = {name for names in copied if "--from=build" not in names for name in names}
    assert sources == kept
    needed = {"pyproject.toml", "src", PROJECT["license-files"][0], "README.md"}
    assert needed <= sources
    hidden = [line for line in shown if not line.startswith("!")]
    assert not any(fnmatch(name, pattern) for name in kept for pattern in hidden)


def test_the_image_has_extras_that_exist_and_is_run_by_nobody_special() -> None:
    lines = lines_of("Dockerfile")
    (extras,) = [line.partition("=")[2] for line in lines if line.startswith("ARG EXTRAS=")]
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    assert lines.index("USER duopoly") < lines.index('ENTRYPOINT ["duopoly"]')
    (python,) = {line.split()[1] for line in lines if line.startswith("FROM")}
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", python)
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert python.startswith(f"python:{oldest}-")
