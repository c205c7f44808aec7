"""The house: imports run one way, and Streamlit stands in ivx/ui and the pages only."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
LEVELS = {
    "errors": 0,
    "__init__": 0,
    "models": 1,
    "tasks": 1,
    "engine": 2,
    "request": 3,
    "stats": 3,
    "charts": 3,
    "patching": 3,
    "formats": 3,
    "store": 3,
    "analysis": 3,
    "analyses": 3,
    "runs": 3,
    "jobs": 3,
    "archive": 3,
    "tiny": 4,
    "cli": 5,
    "cli_app": 5,
    "cli_probes": 5,
    "cli_scan": 5,
    "cli_pathways": 5,
    "__main__": 6,
    "ui": 5,
    "pages": 6,
    "app": 6,
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "ivx" else parts[0]


def sources() -> list[Path]:
    return [ROOT / "app.py", *sorted((ROOT / "ivx").rglob("*.py")), *sorted((ROOT / "pages").glob("*.py"))]


def test_imports_run_one_way() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources()
        for name in imports(path)
        if name.startswith("ivx.")
        and name.split(".")[1] in LEVELS
        and room(path) != "__init__"
        and LEVELS[name.split(".")[1]] > LEVELS[room(path)]
    ]
    assert not wrong


def test_streamlit_stays_in_the_ui() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path in sources()
        if room(path) not in ("ui", "pages", "app") and any(n.split(".")[0] == "streamlit" for n in imports(path))
    ]
    assert not wrong


def test_modules_are_of_one_noun() -> None:
    long = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in sources()}
    assert not {name: lines for name, lines in long.items() if lines > 350}
    assert len((ROOT / "app.py").read_text().splitlines()) < 60


def test_every_threat_names_a_test_that_is_there() -> None:
    rows = [row for row in (ROOT / "docs" / "threats.md").read_text(encoding="utf-8").splitlines() if row[:1] == "|"]
    every = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    tests = "\n".join(re.findall(r"^def (test_\w+)", every, re.MULTILINE))
    for row in rows[2:]:
        held = row.split("|")[-2]
        named, files = re.findall(r"\*(\w+)\*", held), re.findall(r"`(tests/\w+\.py)`", held)
        assert named or files, row
        assert all(name in tests for name in named) and all((ROOT / file).is_file() for file in files), row
