"""The house: rooms in one order, imports run down it only, and what is light stays light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = [
    "version",
    "errors",
    "scratch",
    "confined",
    "numeral",
    "charts",
    "stats",
    "models",
    "tasks",
    "engine",
    "names",
    "vocabulary",
    "request",
    "patching",
    "formats",
    "store",
    "analyses",
    "jobs",
    "archive",
    "report",
    "tiny",
    "taught",
    "ui",
    "cli",
]
"""Of the package, the lowest first: a room imports from those before it, and from itself."""
ENGINE = [
    *("address", "schema", "readout", "draws", "turns", "how", "workload", "forward", "hooks", "linear", "plan"),
    *("shard", "spread", "actor", "crew", "sweep"),
]
UI = (["kit"], ["overview", "lessons", "training"], ["pages"], ["signin"], ["frame"], ["serve", "entry"])
"""Groups of folders and modules: one imports from the groups before its own, not from its neighbours. Every other
folder is a page's of its own, between the first group and the second."""
BUILDS_ON = {
    "interactions": {"effects"},
    "game": {"effects"},
    "erasure": {"separability"},
    "transfer": {"pathways"},
    "transplant": {"vectors"},
    "mediation": {"effects"},
    "function": {"vectors"},
    "bench": {"lens"},
}
"""Which analyses build on others; those not named here build on none."""
ABOVE_TOPICS = ["registry", "texts", "published", "defaults", "family", "compare", "inscription", "picture"]
"""Of `ivx/analyses`, what stands on all topics, the lowest first."""
LIGHT = re.compile(
    r"ivx\.(request|vocabulary|stats\..*|charts\..*|formats\..*|store\..*|patching\.(positions|roles|cells|table)"
    r"|analyses\.(base|registry|defaults)|analyses\.\w+(\.(request|result|saved|text))?)"
)
"""Modules that a page draws a stored run with; none of them loads what runs a model."""
HEAVY = {"torch", "transformers", "sklearn"}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> list[Path]:
    return [ROOT / "app.py", *sorted((ROOT / "ivx").rglob("*.py"))]


MODULES = {module_of(path): path for path in sources()}


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Every module that a file imports, late and for type checkers alike, and the name it takes from it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{path}: relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole, "") if whole in MODULES else (node.module, alias.name)


def edges() -> list[tuple[str, str]]:
    return [
        (module, target)
        for module, path in MODULES.items()
        for target, _ in imports(path)
        if target in MODULES and target != "ivx"
    ]


EDGES = edges()


def inside(package: str) -> list[tuple[list[str], list[str]]]:
    """Imports from one part of a package to another, both as the parts of their names behind the package's."""
    own = f"{package}."
    return [
        (module.removeprefix(own).split("."), target.removeprefix(own).split("."))
        for module, target in EDGES
        if module.startswith(own) and target.startswith(own)
    ]


def test_every_room_has_its_place() -> None:
    rooms = {module.split(".")[1] for module in MODULES if module.startswith("ivx.")} - {"__main__"}
    assert rooms == set(ROOMS)


def test_imports_run_down_the_rooms() -> None:
    level = {room: i for i, room in enumerate(ROOMS)}
    wrong = [
        f"{'.'.join(a)} imports {'.'.join(b)}" for a, b in inside("ivx") if a[0] in level and level[b[0]] > level[a[0]]
    ]
    assert not wrong


def test_nothing_inside_imports_the_package_itself() -> None:
    assert not [module for module, path in MODULES.items() if any(target == "ivx" for target, _ in imports(path))]


def test_imports_run_down_the_engine() -> None:
    level = {room: i for i, room in enumerate(ENGINE)}
    level["plan"] = level["linear"]  # neither knows the other
    wrong = [
        (a, b)
        for a, b in inside("ivx.engine")
        if level[b[0]] > level[a[0]] or (a[0] != b[0] and level[a[0]] == level[b[0]])
    ]
    assert not wrong


def test_an_analysis_builds_on_few_others() -> None:
    wrong = []
    for a, b in inside("ivx.analyses"):
        one, other = a[0], b[0]
        above = ABOVE_TOPICS.index(one) if one in ABOVE_TOPICS else -1
        if one == "base":
            allowed = {"base"}
        elif above < 0:
            allowed = {"base", one, *BUILDS_ON.get(one, ())}
        else:
            allowed = {other} - {*ABOVE_TOPICS[above + 1 :]}
        if other not in allowed:
            wrong.append((a, b))
    assert not wrong


def test_pages_do_not_import_their_neighbours() -> None:
    named = {room: float(i) for i, group in enumerate(UI) for room in group}

    def level(part: list[str]) -> float:
        return named.get(part[0], 0.5)

    wrong = [(a, b) for a, b in inside("ivx.ui") if level(b) > level(a) or (a[0] != b[0] and level(a) == level(b))]
    assert not wrong


def test_no_circle_of_modules() -> None:
    after: dict[str, set[str]] = {module: set() for module in MODULES}
    for module, target in EDGES:
        after[module].add(target)
    state: dict[str, int] = {}

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert state.get(module) != 1, f"a circle: {' → '.join((*way, module))}"
        if module not in state:
            state[module] = 1
            for target in sorted(after[module] - {module}):
                visit(target, (*way, module))
            state[module] = 2

    for module in MODULES:
        visit(module, ())


def test_nothing_private_is_imported() -> None:
    wrong = [
        f"{module} takes {name} from {target}"
        for module, path in MODULES.items()
        for target, name in imports(path)
        if target.startswith("ivx") and name.startswith("_") and name != "__version__"
    ]
    assert not wrong


def test_no_module_is_named_by_a_string() -> None:
    assert not [module for module, path in MODULES.items() if "import_module" in path.read_text(encoding="utf-8")]


def test_streamlit_stays_in_the_ui() -> None:
    wrong = [
        module
        for module, path in MODULES.items()
        if module.startswith("ivx.")
        and not module.startswith("ivx.ui")
        and any(target.split(".")[0] == "streamlit" for target, _ in imports(path))
    ]
    assert not wrong


def test_light_modules_load_nothing_heavy() -> None:
    light = [module for module in MODULES if LIGHT.fullmatch(module)]
    assert len(light) > 80
    code = f"import sys\nfor name in {light!r}:\n    __import__(name)\nprint(sorted({HEAVY!r} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout == "[]\n"


PAGES = [
    "place",
    "effects",
    "interactions",
    "separability",
    "pathways",
    "training",
    "atlas",
    "lens",
    "bench",
    "overview",
    "lessons",
]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_there_before_torch(page: str) -> None:
    code = f"import sys\nimport ivx.ui.{page}.page\nprint('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout == "False\n"


def test_a_module_is_split_by_its_subject() -> None:
    long = {module: n for module, path in MODULES.items() if (n := len(path.read_text().splitlines())) > 350}
    assert not long, "part these by subject, not by size: what is the second noun?"
    assert len((ROOT / "app.py").read_text().splitlines()) < 60


def test_every_threat_names_a_test_that_is_there() -> None:
    rows = [row for row in (ROOT / "docs" / "threats.md").read_text(encoding="utf-8").splitlines() if row[:1] == "|"]
    every = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    tests = "\n".join(re.findall(r"^def (test_\w+)", every, re.MULTILINE))
    for row in rows[2:]:
        held = row.split("|")[-2]
        named, files = re.findall(r"\*(\w+)\*", held), re.findall(r"`(tests/[\w/]+\.py)`", held)
        assert named or files, row
        assert all(name in tests for name in named) and all((ROOT / file).is_file() for file in files), row
