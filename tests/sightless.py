"""Does the blind side see? Asked of a source tree in two ways, as each misses what the other finds.

`loaded` imports everything under ``blindsight.blind`` in a fresh interpreter and looks at what
came with it. `hidden` reads the source of all that came, function bodies too, for ways to
import that the static contracts cannot follow.

The package's front door, ``blindsight.__getattr__``, is the one place that may name what is
trusted; so nothing that the blind side loads may go through it.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import blindsight

FORBIDDEN = re.compile(
    r"blindsight\.(schemes\.\w+\.(secret|protect|reveal|deal|share)|provider|trusted|vision|encoding|evaluation|cli)(\..*)?"
)

FRONT_DOOR = {"blindsight", *(f"blindsight.{name}" for name in blindsight.__all__ if name != "__version__")}

_IMPORT_ALL = """
import json, pkgutil, sys
import blindsight.blind
for found in pkgutil.walk_packages(blindsight.blind.__path__, "blindsight.blind."):
    __import__(found.name)
print(json.dumps({name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())
                  if name.partition(".")[0] == "blindsight"}))
"""

_DYNAMIC_NAMES = {"__import__", "eval", "exec", "compile", "__builtins__", "__loader__"}
_DYNAMIC_ATTRIBUTES = {
    "import_module",
    "__import__",
    "exec_module",
    "load_module",
    "modules",
    "run_module",
    "run_path",
}
_DYNAMIC_MODULES = {"importlib", "imp", "runpy", "pkgutil", "zipimport", "builtins"}
_HARMLESS = {"importlib.metadata"}


def modules(source: Path) -> dict[str, str]:
    """Our modules that importing the blind side loads, and their files."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    assert all(str(file).startswith(str(source)) for file in found.values()), "another tree was imported"
    return found


def loaded(source: Path) -> list[str]:
    """Forbidden modules among them."""
    return sorted(name for name in modules(source) if FORBIDDEN.fullmatch(name))


def hidden(source: Path) -> list[str]:
    """Places, ``file:line what``, that could import behind the contracts' back."""
    return [
        f"{Path(file).relative_to(source)}:{line} {what}"
        for name, file in sorted(modules(source).items())
        for line, what in _suspicious(name, Path(file))
    ]


def _suspicious(module: str, file: Path) -> list[tuple[int, str]]:
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    found = []
    tree = ast.parse(file.read_text())
    if module == "blindsight":
        tree.body = [statement for statement in tree.body if not _is_front_door(statement)]
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            found += [(node.lineno, "import of blindsight") for name in names if name == "blindsight"]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            inside = [f"{base}.{alias.name}" for alias in node.names]
            found += [(node.lineno, f"import of {name}") for name in inside if name in FRONT_DOOR]
            names = [base, *inside]
        elif isinstance(node, ast.Name) and node.id in _DYNAMIC_NAMES:
            found.append((node.lineno, node.id))
        elif isinstance(node, ast.Attribute) and node.attr in _DYNAMIC_ATTRIBUTES:
            found.append((node.lineno, node.attr))
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and FORBIDDEN.fullmatch(node.value)
        ):
            found.append((node.lineno, node.value))
        for name in names:
            dynamic = name.partition(".")[0] in _DYNAMIC_MODULES and not name.startswith(tuple(_HARMLESS))
            if FORBIDDEN.fullmatch(name) or (dynamic and name not in {"importlib"}):
                found.append((node.lineno, f"import of {name}"))
    return found


def _is_front_door(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.If):
        return ast.unparse(statement.test) == "TYPE_CHECKING"
    return isinstance(statement, ast.FunctionDef) and statement.name == "__getattr__"
