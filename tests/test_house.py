"""The house can be read by a stranger: no two files of one name where a question may mean either,
no deep nesting, one comprehension at a time.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from pathlib import Path

import networkx as nx
import pytest

from densenet_cli.app import COMMANDS

ROOT = Path(__file__).parent.parent
MOST_LEVELS = 2
MOST_FILES = 12

ALIKE_ROOMS = {
    "how each format has what both formats have": (
        "archspec/readers",
        "archspec/readers/onnx",
        "archspec/readers/mindir",
    ),
    "how a format writes the kinds of operators": (
        "archspec/operators",
        "archspec/readers/onnx",
        "archspec/readers/mindir",
    ),
}
"""Rooms that may have a file of one name each, and why."""

TYPED = {place.partition(":")[0] for place in COMMANDS.values()}
"""Files of commands."""

BRANCHES = (ast.If, ast.For, ast.While, ast.match_case)
BODIES = ("body", "orelse", "finalbody", "handlers", "cases")
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@cache
def modules() -> dict[str, ast.Module]:
    """The syntax of each file of the package and of its commands, by its path."""
    files = [*(ROOT / "archspec").rglob("*.py"), *(ROOT / "densenet_cli").rglob("*.py")]
    return {str(file.relative_to(ROOT)): ast.parse(file.read_text("utf-8")) for file in files}


def are_alike(first: str, second: str) -> bool:
    """Whether two rooms may have a file of the same name each."""
    return any({first, second} <= {*rooms} for rooms in ALIKE_ROOMS.values())


def find_same_names(paths: list[str]) -> list[tuple[str, str]]:
    """Files with the same name in rooms that are not alike."""
    named = defaultdict(list)
    for path in sorted(paths):
        room, _, name = path.rpartition("/")
        named[name.removesuffix(".py")].append(room)
    found = []
    for name in named.keys() - {"__init__"}:
        rooms = named[name]
        if name in TYPED:  # a command is called by what is typed, what it calls as in the house
            rooms = [room for room in rooms if room != "densenet_cli"]
        pairs = combinations(rooms, 2)
        found += [(name, *pair) for pair in pairs if not are_alike(*pair)]
    return sorted(found)


def count_levels(statements: list[ast.stmt]) -> int:
    """How deep loops and branches nest. `elif` goes on with the level of its `if`; `with` and `try`
    open none, and neither does a function in a function.
    """
    return max((count_levels_of(statement) for statement in statements), default=0)


def count_levels_of(statement: ast.AST) -> int:
    deepest = 0
    for name in BODIES:
        body = getattr(statement, name, [])
        is_elif = name == "orelse" and len(body) == 1 and isinstance(body[0], ast.If)
        opens = isinstance(statement, BRANCHES) and not (is_elif and isinstance(statement, ast.If))
        if body:
            deepest = max(deepest, opens + count_levels(body))
    return deepest


def comprehensions_of(node: ast.AST) -> Iterator[ast.AST]:
    """Those of a statement itself: neither of statements inside it, nor of a lambda, which is a
    function of its own.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.Lambda | ast.ExceptHandler | ast.match_case):
            continue
        if isinstance(child, COMPREHENSIONS):
            yield child
        yield from comprehensions_of(child)


def find_crowded(tree: ast.Module) -> list[int]:
    """The lines of statements, lambdas, or rows of a table, with more than one comprehension."""
    tables = [node.value for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    rows = [row for table in tables if isinstance(table, ast.Tuple) for row in table.elts]
    owners = [node for node in ast.walk(tree) if isinstance(node, ast.stmt | ast.Lambda)]
    found = []
    for owner in [*owners, *rows]:
        is_table = isinstance(getattr(owner, "value", None), ast.Tuple) and owner in tree.body
        if not is_table and len(list(comprehensions_of(owner))) > 1:
            found.append(owner.lineno)
    return found


def imports_of(tree: ast.AST) -> Iterator[str]:
    """What a file imports when it runs, wherever that stands; not what is for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from imports_of(node)


def find_circles(trees: dict[str, ast.Module]) -> list[set[str]]:
    """Files, each of which imports the next one and the last the first, also within functions."""
    names = {path.removesuffix(".py").replace("/", "."): path for path in trees}
    imports: nx.DiGraph[str] = nx.DiGraph()
    for path, tree in trees.items():
        imports.add_edges_from((path, names[name]) for name in imports_of(tree) if name in names)
    return [found for found in nx.strongly_connected_components(imports) if len(found) > 1]


def test_no_files_import_one_another_in_a_circle() -> None:
    """An import within a function, for a quick start, hides none."""
    assert find_circles(modules()) == []


def test_circles_are_found_through_functions_and_names_but_not_through_types() -> None:
    """As they would hide."""
    texts = {
        "archspec/a.py": "def ask():\n    from archspec import b",
        "archspec/b.py": "from archspec.c import name",
        "archspec/c.py": "from archspec.a import ask",
        "archspec/d.py": "if TYPE_CHECKING:\n    from archspec.e import name",
        "archspec/e.py": "from archspec.d import name",
    }
    circles = find_circles({path: ast.parse(text) for path, text in texts.items()})
    assert circles == [{"archspec/a.py", "archspec/b.py", "archspec/c.py"}]


def test_no_two_files_have_one_name_where_a_question_may_mean_either() -> None:
    """Whoever looks for the digest of a checkpoint does not open that of a graph."""
    assert find_same_names([*modules()]) == []


def test_no_benchmark_has_the_name_of_a_room_of_the_tests() -> None:
    """Benchmarks import from both folders, and a file hides a folder without `__init__.py`."""
    benchmarks = {file.stem for file in (ROOT / "benchmarks").glob("*.py")}
    rooms = {folder.name for folder in (ROOT / "tests").iterdir() if folder.is_dir()}
    assert benchmarks
    assert rooms
    assert not benchmarks & rooms


def test_functions_nest_loops_and_branches_two_deep() -> None:
    """What stands in a third level is a function, or a filter before the loop."""
    found = set()
    for path, tree in modules().items():
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        found |= {(path, each.name) for each in functions if count_levels(each.body) > MOST_LEVELS}
    assert found == set()


def test_a_room_of_more_than_a_dozen_files_says_why() -> None:
    """A newcomer who opens it reads that before the list."""
    rooms = defaultdict(list)
    for path in modules():
        room, _, name = path.rpartition("/")
        rooms[room].append(name)
    large = [room for room, names in rooms.items() if len({*names} - {"__init__.py"}) > MOST_FILES]
    reasons = {room: ast.get_docstring(modules()[f"{room}/__init__.py"]) or "" for room in large}
    assert [room for room, text in reasons.items() if " files" not in text] == []


def test_no_statement_has_two_comprehensions() -> None:
    """A reader holds one loop in mind at a time."""
    crowded = {path: find_crowded(tree) for path, tree in modules().items()}
    assert {path: lines for path, lines in crowded.items() if lines} == {}


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("for a in b:\n  if a:\n    pass", 2),
        ("for a in b:\n  if a:\n    pass\n  else:\n    while a:\n      pass", 3),
        ("if a:\n  pass\nelif b:\n  pass\nelif c:\n  if d:\n    pass", 2),
        ("if a:\n  pass\nelse:\n  x = 1\n  if b:\n    pass", 2),
        ("with a:\n  try:\n    for b in c:\n      if b:\n        pass\n  finally:\n    pass", 2),
        ("try:\n  pass\nexcept A:\n  for b in c:\n    pass", 1),
        ("match a:\n  case 1:\n    if b:\n      pass", 2),
        ("x = [a for a in b if a]", 0),
    ],
)
def test_levels_are_counted_as_they_are_indented(text: str, levels: int) -> None:
    """But for `elif`, `with` and `try`."""
    assert count_levels(ast.parse(text).body) == levels


@pytest.mark.parametrize(
    ("text", "crowded"),
    [
        ("f([a for a in b], {c for c in d})", [1]),
        ("x = [[a for a in b] for b in c]", [1]),
        ("for a in [b for b in c]:\n  x = [d for d in a]", []),
        ("x = lambda a: [b for b in a], lambda a: [b for b in a]", []),
        ("x = lambda a: ([b for b in a], [c for c in a])", [1]),
        ("x = [a for b in c for a in b]", []),
        ("ROWS = (\n  f(a for a in b),\n  f(a for a in b),\n)", []),
        ("ROWS = (\n  f([a for a in b], [a for a in b]),\n)", [2]),
    ],
)
def test_comprehensions_are_counted_in_their_own_statement(text: str, crowded: list[int]) -> None:
    """Two `for` in one of them are one loop in a loop, as two statements would be."""
    assert find_crowded(ast.parse(text)) == crowded


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["archspec/graph/digest.py", "archspec/weights/formats/digest.py"], ["digest"]),
        (["archspec/train/data/check.py", "densenet_cli/check.py"], []),
        (["archspec/train/distributed/nodes.py", "densenet_cli/nodes.py"], ["nodes"]),
        (["archspec/a/check.py", "archspec/b/check.py", "densenet_cli/check.py"], ["check"]),
        (["archspec/readers/onnx/read.py", "archspec/readers/mindir/read.py"], []),
        (["archspec/operators/norms.py", "archspec/compare/norms.py"], ["norms"]),
        (["archspec/graph/__init__.py", "archspec/spec/__init__.py"], []),
    ],
)
def test_rooms_that_are_alike_may_share_a_name(paths: list[str], found: list[str]) -> None:
    """Each reader of a format has its `read.py`, and a command is called as what it calls."""
    assert [name for name, *_ in find_same_names(paths)] == found
