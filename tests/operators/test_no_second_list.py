"""No second list of kinds of operators, of their attributes or of files' words for them stands
anywhere in the package: a new operator would be missing in it, and nobody would know.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import pytest

from archspec.operators.table import NORMS, OPERATORS, ROWS, norm_name

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path
    for package in ("archspec", "densenet_cli")
    for path in (ROOT / package).rglob("*.py")
    if (ROOT / "archspec/operators") not in path.parents
)
NORM_NAMES = {*map(norm_name, NORMS)} - {"group", "layer", "batch"}
STRUCTURE = {kind for kind, row in OPERATORS.items() if row.arity != 1} | {"output", "slice"}
"""What a graph is held together by: what reads it has to know these, and no list is longer."""
KINDS = {*OPERATORS, *NORM_NAMES} - STRUCTURE
WORDS = {
    "archspec/readers/onnx": {word for row in ROWS for word in row.onnx},
    "archspec/readers/mindir": {word for row in ROWS for word in row.mindir},
}
"""What files call operators, and where alone a format's own notation stands."""
ATTRIBUTES = {name for row in ROWS for name in (*row.required, *row.defaults, *row.settings)}


QUOTED = re.compile(r'"(\w+)"')
LISTS = (ast.Dict, ast.Tuple, ast.List, ast.Set, ast.Call)


def texts(nodes: Sequence[ast.AST]) -> list[str]:
    return [node.value for node in nodes if isinstance(node, ast.Constant)]


def first_of(node: ast.AST) -> ast.AST:
    """Of an entry that is a pair, what it is an entry for."""
    is_pair = isinstance(node, ast.Tuple) and node.elts
    return node.elts[0] if is_pair else node


def is_call(node: ast.AST, function: str) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == function


def collected(node: ast.AST) -> list[str]:
    """The texts that a literal holds: a tuple, a list, a set, the keys of a mapping; the first of
    pairs; the words of a text that is split; the names that `dict` is given.
    """
    if isinstance(node, ast.Dict):
        return texts([key for key in node.keys if key])
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return texts(node.elts) or texts([first_of(each) for each in node.elts])
    if not isinstance(node, ast.Call):
        return []
    if is_call(node, "dict"):
        return [word.arg for word in node.keywords if word.arg]
    is_split = isinstance(node.func, ast.Attribute) and node.func.attr == "split"
    if is_split and isinstance(node.func.value, ast.Constant):
        return str(node.func.value.value).split()
    return []


def compared(scope: ast.AST) -> Iterator[tuple[int, list[str]]]:
    """The texts that one value is compared with, one after the other: in an `or`, in branches, or
    in the cases of a match.
    """
    found: dict[str, dict[str, int]] = {}
    for node in ast.walk(scope):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
            known = found.setdefault(ast.dump(node.left), {})
            known |= dict.fromkeys(texts(node.comparators), node.lineno)
        if isinstance(node, ast.Match):
            cases = [each for case in node.cases for each in ast.walk(case.pattern)]
            values = [each.value for each in cases if isinstance(each, ast.MatchValue)]
            yield node.lineno, texts(values)
    for words in found.values():
        yield min(words.values(), default=0), [*words]


@lru_cache(2)
def nodes_of(source: str) -> list[ast.AST]:
    return [*ast.walk(ast.parse(source))]


def listed(source: str) -> Iterator[tuple[int, list[str]]]:
    """All that is listed in a file, each with its line."""
    tree, *nodes = nodes_of(source)
    yield from ((node.lineno, collected(node)) for node in nodes if isinstance(node, LISTS))
    if len(KINDS.intersection(QUOTED.findall(source))) < 2:
        return
    scopes = (ast.FunctionDef, ast.ClassDef)
    rest = [node for node in tree.body if not isinstance(node, scopes)]
    for scope in (ast.Module(rest, []), *nodes):
        if isinstance(scope, (ast.Module, ast.FunctionDef)):
            yield from compared(scope)


def lists(source: str, place: str = "") -> list[tuple[int, list[str]]]:
    """What names two kinds, each once, and little else: one that has a kind twice is a sequence of
    operators, and a long one of others' words has some of ours by chance.
    """
    own = [words for room, words in WORDS.items() if room not in place]
    found = set()
    for line, words in listed(source):
        for known in (KINDS, *own) if len(words) > 1 else ():
            ours = [word for word in words if word in known]
            is_of_ours = 2 * len(ours) >= len(words) and len({*words}) == len(words)
            if len(ours) > 1 and is_of_ours:
                found.add((line, tuple(words)))
    return [(line, [*words]) for line, words in sorted(found)]


def lists_of_attributes(source: str) -> list[tuple[int, list[str]]]:
    """What names two attributes and nothing else; a mapping of them is an operator's own."""
    found = []
    for node in nodes_of(source):
        is_own = isinstance(node, ast.Dict) or is_call(node, "dict")
        words = [] if is_own else collected(node)
        if len(words) > 1 and {*words} <= ATTRIBUTES:
            found.append((node.lineno, words))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_has_a_list_of_its_own(path: Path) -> None:
    """Of kinds; of attributes, and of what files call operators, but for a format's own room."""
    place = str(path.relative_to(ROOT))
    source = path.read_text(encoding="utf-8")
    assert lists(source, place) == []
    if not any(room in place for room in WORDS):
        assert lists_of_attributes(source) == []


FORMS = [
    'READS = {"conv": 1, "dense": 1, "conv_transpose": 0}',
    'if op.kind in ("crop", "max_pool", "global_max_pool"): pass',
    'WRITERS = {"conv": f, "conv_transpose": g, "slice": h, **others}',
    'SMOOTH = ["elu", "mish"]',
    'NORMS = {"instance", "rms", "none"}',
    'if op.kind == "elu" or op.kind == "mish": pass',
    'if kind != "max_pool" and kind != "avg_pool": pass',
    'x = 1 if kind == "elu" else 2 if kind == "mish" else 3',
    'if kind == "elu": pass\nelif kind == "mish": pass',
    'match kind:\n    case "elu": pass\n    case "mish" | "silu": pass',
    'SMOOTH = "elu mish silu".split()',
    "WRITERS = dict(conv=1, dense=2)",
    'WRITERS = (("conv", f), ("dense", g))',
    'WRITERS = [("max_pool", f, 1), ("avg_pool", g, 2)]',
    'NODES = {"Relu": f, "LeakyRelu": g}',
    'NODES = ("ReLU6", "PReLU", "HSwish")',
]


@pytest.mark.parametrize("source", FORMS)
def test_a_list_is_found_in_each_of_its_forms(source: str) -> None:
    """A mapping, a comparison, branches, a part of a larger table; kinds of one family or of
    several; and what ONNX and MindSpore call them.
    """
    assert [line for line, _ in lists(source)] == [1]


@pytest.mark.parametrize(
    "source",
    [
        '_SIZES = ("kernel", "stride", "padding")',
        'for name in {"eps", "momentum"} & attrs.keys(): pass',
        'LEFT_OUT = "approximate weights_of".split()',
    ],
)
def test_a_list_of_attributes_is_found_in_each_of_its_forms(source: str) -> None:
    """A constant, or where it is used."""
    assert [line for line, _ in lists_of_attributes(source)] == [1]


@pytest.mark.parametrize(
    "source",
    [
        'OP = Op("x", "conv", (), {"kernel": 1, "stride": 1})',
        'STEM = ("kernel", "stride", "norm")',
        'if op.kind == "concat" or op.kind == "add": pass',
        'CHAIN = ("conv", "relu", "conv")',
        'if a.kind == "conv" and b.kind == "dense": pass',
        'NODES = {"Relu": f, "Gemm": g, "A": 1, "B": 2, "C": 3, "D": 4}',
    ],
)
def test_what_is_no_list_is_left_alone(source: str) -> None:
    """What holds a graph together, a sequence of operators, one kind each of two values; the
    attributes of one operator, and the language's keys, some of which are called as attributes are.
    """
    assert lists(source) == lists_of_attributes(source) == []
