"""The shape of the house, held by reading its source: floors, hygiene, settings, sizes, documents.

Imports are found anywhere in a file, so that one placed inside a function counts like the others.
"""

import ast
import dataclasses
import graphlib
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from duopoly import settings

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "duopoly"
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}

# Which rooms of the package each room looks into, besides itself, and no others. A room that is not
# listed fails the test: give it a floor.
FLOORS: dict[str, set[str]] = {
    "types": set(),
    "fields": set(),
    "records": {"fields"},
    "settings": {"fields", "records"},
    "narrow": {"settings"},
    "networks": {"settings"},
    "draws": set(),
    "spread": set(),
    "lockstep": {"spread"},
    "world": {"types"},
    "model": {"types", "settings", "narrow", "networks", "draws", "spread", "lockstep"},
    "policy": {"types", "settings", "narrow", "networks", "draws", "spread", "lockstep", "model"},
    "schedule": {"settings", "policy"},
    "memory": {"settings", "policy", "schedule"},
    "presets": {"settings", "world"},
    "equilibrium": {
        *("types", "settings", "narrow", "networks", "draws", "lockstep", "model", "policy"),
    },
    "game": {
        "types",
        "settings",
        "networks",
        "world",
        "model",
        "policy",
        "schedule",
        "memory",
        "equilibrium",
    },
    "theory": {"settings", "schedule"},
    "runs": {
        *(
            "types",
            "fields",
            "records",
            "settings",
            "lockstep",
            "world",
            "policy",
            "schedule",
            "memory",
        ),
        "game",
    },
    "agent": {"types", "settings", "world", "policy", "schedule", "presets", "game", "runs"},
    "render": {"types", "world", "runs", "agent"},
    "sweep": {"fields", "settings", "schedule", "runs"},
    "lab": {
        *("types", "fields", "settings", "world", "model", "equilibrium", "game", "presets"),
        *("theory", "runs", "agent", "render", "sweep"),
    },
    "export": {"settings", "networks", "policy", "runs", "world"},
    "bench": {
        *("types", "settings", "world", "model", "policy", "schedule", "presets", "game", "runs"),
        *("lockstep", "render", "lab"),
    },
    "cli": {
        "types",
        "fields",
        "records",
        "settings",
        "world",
        "schedule",
        "memory",
        "presets",
        "runs",
        "agent",
        "render",
        "lab",
        "export",
        "bench",
        "sweep",
    },
    "__init__": {"types", "settings", "world", "schedule", "presets", "game", "runs", "agent"},
    "__main__": {"cli"},
}
# The policy plays in the model as in a function: all it may know is how to roll itself out.
POLICY_SEES_OF_MODEL = {"duopoly.model.imagine"}

MATHEMATICS = {"model", "policy", "networks", "draws", "equilibrium", "theory"}
MATHEMATICAL_LIBRARIES = {"jax", "equinox", "optax", "jaxtyping", "numpy"}
MATHEMATICAL_STDLIB = {
    "abc",
    "collections",
    "dataclasses",
    "enum",
    "functools",
    "itertools",
    "math",
    "time",  # how long a planner thinks is observed where it thinks
}
MATHEMATICAL_IMPORTS = MATHEMATICAL_LIBRARIES | MATHEMATICAL_STDLIB | {"typing", "duopoly"}

DISK_ROOMS = {"runs", "agent", "render", "sweep", "lab", "export", "bench", "cli"}
DISK_MODULES = {"shutil", "tempfile", "fileinput", "zipfile", "tarfile", "safetensors"}
DISK_READS = {"read_text", "read_bytes"}
DISK_METHODS = DISK_READS | {
    *("write_text", "write_bytes", "mkdir", "rmdir", "unlink", "touch", "rename", "symlink_to"),
    *("save", "savez", "savez_compressed", "savetxt", "tofile", "savefig"),
}
OS_DISK_CALLS = {"open", "replace", "rename", "remove", "unlink", "mkdir", "makedirs", "rmdir"}

UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}
# What runs a file of code. One module may, and only the file that the command line names.
CODE_LOADERS = {
    *("spec_from_file_location", "exec_module", "load_module", "run_path", "run_module"),
    *("SourceFileLoader", "SourcelessFileLoader", "ExtensionFileLoader"),
}
TASK_FILE = PACKAGE / "cli" / "task_file.py"
UNSAFE_MODULES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60


def room_of(path: Path) -> str:
    """Return the top-level module or folder of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module_of(path: Path) -> str:
    parts = ("duopoly", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and full module name of every import, lazy and relative ones included."""
    package = module_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            submodules = [f"{base}.{alias.name}" for alias in node.names]
            found = {name if name in MODULES else base for name in submodules}
            yield from ((node.lineno, name) for name in sorted(found))
        elif isinstance(node, ast.Call) and called_name(node) == "import_module":
            target = node.args[0]
            if isinstance(target, ast.Constant) and isinstance(target.value, str):
                yield node.lineno, target.value


def called_name(node: ast.Call) -> str:
    """Return the last name of what is called: `step` for `self.env.step(…)`."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def calls_in(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(TREES[path]) if isinstance(node, ast.Call))


def at(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_imports_run_one_way():
    wrong = []
    for path in FILES:
        room = room_of(path)
        if room not in FLOORS:
            wrong.append(f"{path.relative_to(ROOT)}: '{room}' has no floor")
            continue
        for line, module in imports_of(path):
            if not module.startswith("duopoly."):
                continue
            other = module.split(".")[1]
            if other != room and other not in FLOORS[room]:
                wrong.append(f"{at(path, line)}: {room} imports {module}")
            if room == "policy" and other == "model" and module not in POLICY_SEES_OF_MODEL:
                wrong.append(f"{at(path, line)}: the policy looks inside the model ({module})")
    assert not wrong, "\n".join(wrong)


def test_no_floor_allows_what_nothing_uses():
    used: dict[str, set[str]] = {room: set() for room in FLOORS}
    for path in FILES:
        names = [m.split(".")[1] for _, m in imports_of(path) if m.startswith("duopoly.")]
        used[room_of(path)] |= set(names) - {room_of(path)}
    assert {room: allowed - used[room] for room, allowed in FLOORS.items()} == {
        room: set() for room in FLOORS
    }


def test_only_the_top_imports_the_package_itself():
    wrong = [
        f"{at(path, line)}: imports duopoly as a whole"
        for path in FILES
        for line, module in imports_of(path)
        if module == "duopoly" and room_of(path) not in {"__init__", "agent", "cli"}
    ]
    assert not wrong, "\n".join(wrong)


def test_imports_have_no_cycle():
    graph = {
        name: {module for _, module in imports_of(path) if module in MODULES and module != name}
        for name, path in MODULES.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail("imports go round: " + " -> ".join(reversed(error.args[1])))


def test_mathematics_imports_only_mathematics():
    wrong = [
        f"{at(path, line)}: {module}"
        for path in FILES
        if room_of(path) in MATHEMATICS
        for line, module in imports_of(path)
        if module.split(".")[0] not in MATHEMATICAL_IMPORTS
    ]
    assert not wrong, "\n".join(wrong)


def wraps_an_environment(path: Path, call: ast.Call) -> bool:
    """Whether a call of `step` in the world belongs to an environment's own method `step`."""
    return room_of(path) == "world" and any(
        isinstance(node, ast.FunctionDef) and node.name == "step" and call in ast.walk(node)
        for node in ast.walk(TREES[path])
    )


# The second is the yardstick that the first is measured by.
STEPPERS = {PACKAGE / "world" / "interaction.py", PACKAGE / "bench" / "whole.py"}


def test_only_interaction_steps_an_environment():
    wrong = [
        at(path, call.lineno)
        for path in FILES
        if path not in STEPPERS
        for call in calls_in(path)
        if isinstance(call.func, ast.Attribute)
        and call.func.attr == "step"
        and not wraps_an_environment(path, call)
    ]
    assert not wrong, "an environment is stepped outside world/interaction.py: " + ", ".join(wrong)


def touches_disk(call: ast.Call) -> bool:
    name = called_name(call)
    if isinstance(call.func, ast.Name):
        return name == "open"
    if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "os":
        return name in OS_DISK_CALLS
    return name in DISK_METHODS or name == "open"


def test_only_the_upper_floors_touch_the_disk():
    wrong = []
    for path in FILES:
        if room_of(path) in DISK_ROOMS:
            continue
        reads_allowed = path.is_relative_to(PACKAGE / "world" / "tasks")  # their own MJCF files
        wrong += [
            f"{at(path, call.lineno)}: {ast.unparse(call.func)}"
            for call in calls_in(path)
            if touches_disk(call) and not (reads_allowed and called_name(call) in DISK_READS)
        ]
        wrong += [
            f"{at(path, line)}: import {module}"
            for line, module in imports_of(path)
            if module.split(".")[0] in DISK_MODULES
        ]
    assert not wrong, "\n".join(wrong)


def test_nothing_is_evaluated_or_unpickled():
    wrong = []
    for path in FILES:
        for call in calls_in(path):
            target = ast.unparse(call.func)
            allow_pickle = any(
                word.arg == "allow_pickle" and ast.unparse(word.value) != "False"
                for word in call.keywords
            )
            if target in UNSAFE_CALLS or target == "yaml.load" or allow_pickle:
                wrong.append(f"{at(path, call.lineno)}: {target}(…)")
        wrong += [
            f"{at(path, line)}: import {module}"
            for line, module in imports_of(path)
            if module.split(".")[0] in UNSAFE_MODULES
        ]
    assert not wrong, "\n".join(wrong)


def test_only_the_task_file_runs_code_of_the_users():
    found = {path for path in FILES for call in calls_in(path) if called_name(call) in CODE_LOADERS}
    assert found == {TASK_FILE}
    importers = {
        path
        for path in FILES
        for _, module in imports_of(path)
        if module in ("duopoly.cli.task_file", "runpy", "imp", "code")
    }
    # The path comes from the words typed, so only commands that have a flag for it.
    commands = ("train", "sweep", "evaluate", "video", "picture", "diagnose", "check", "main")
    assert importers == {PACKAGE / "cli" / f"{name}.py" for name in commands}


def test_no_bare_except():
    wrong = [
        at(path, node.lineno)
        for path in FILES
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert not wrong, "bare except: " + ", ".join(wrong)


def tracked_files() -> list[Path]:
    """Return the files that git tracks or would add, or skip where there is no git checkout."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.decode().split("\0") if name]


PLACES = {
    "a package index": re.compile(r"pypi\.org|pythonhosted|anaconda\.org|(index|find)-(url|links)"),
    "a machine path": re.compile(r"(?<![\w.$}/~])/(home|root|work|Users|mnt|opt|srv)/\w"),
}


def test_tracked_files_name_no_index_and_no_machine_path():
    wrong = []
    for path in tracked_files():
        if path == Path(__file__) or not path.is_file():
            continue
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # pictures and films
        wrong += [
            f"{at(path, number)}: {what}: {line.strip()[:80]}"
            for number, line in enumerate(lines, start=1)
            for what, pattern in PLACES.items()
            if pattern.search(line)
        ]
    assert not wrong, "\n".join(wrong)


def attributes_read_in(path: Path) -> Iterator[str]:
    """Yield the name of every attribute read; checking a setting's bounds does not count."""
    skipped = {
        inner
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.FunctionDef) and node.name == "__post_init__"
        for inner in ast.walk(node)
    }
    for node in ast.walk(TREES[path]):
        is_read = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
        if is_read and node not in skipped:
            yield node.attr


def test_every_setting_is_read():
    declared = Counter(
        field.name
        for cls in vars(settings).values()
        if isinstance(cls, type) and dataclasses.is_dataclass(cls)
        for field in dataclasses.fields(cls)
    )
    read = Counter(name for path in FILES for name in attributes_read_in(path))
    # A name that several dataclasses share must be read at least as often.
    unread = [name for name, count in declared.items() if read[name] < count]
    assert declared
    assert not unread, "settings that nothing reads: " + ", ".join(unread)


def test_modules_and_functions_are_short():
    wrong = []
    for path in FILES:
        length = len(path.read_text(encoding="utf-8").splitlines())
        if length > MAX_MODULE_LINES:
            wrong.append(f"{path.relative_to(ROOT)}: {length} lines")
        for node in ast.walk(TREES[path]):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    wrong.append(f"{at(path, node.lineno)}: {node.name} has {length} lines")
    assert not wrong, "\n".join(wrong)


def defined_in(path: Path) -> set[str]:
    """Return the names a module defines at its top level."""
    names = set()
    for node in TREES[path].body if path in TREES else ast.parse(path.read_text("utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return names


def test_no_room_is_more_than_a_quarter_of_the_house():
    sizes = Counter[str]()
    for path in FILES:
        sizes[room_of(path)] += len(path.read_text(encoding="utf-8").splitlines())
    room, size = sizes.most_common(1)[0]
    assert size <= sizes.total() / 4, f"{room} has {size} of {sizes.total()} lines"


def exists(reference: str) -> bool:
    """Whether `module.name` (from the package on) or `file.py::test` (from tests/ on) exists."""
    if "::" in reference:
        file, name = reference.split("::")
        path = ROOT / "tests" / file
    else:
        module, _, name = reference.rpartition(".")
        path = MODULES.get(f"duopoly.{module}", ROOT / "missing")
    return path.is_file() and name in defined_in(path)


def test_the_equations_document_names_what_exists():
    text = (ROOT / "docs" / "equations.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    references = re.findall(r"`([a-z_]+(?:\.\w+)+|[\w/]+\.py::\w+)`", "\n".join(rows))
    wrong = [reference for reference in references if not exists(reference)]
    assert references
    assert not wrong, "docs/equations.md names what is not there: " + ", ".join(wrong)
