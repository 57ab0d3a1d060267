"""No second list of kinds of operators, of their attributes or of files' words for them stands
anywhere in the package: a new operator would be missing in it, and nobody would know.
"""

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import pytest
from operators.examples import ALL

from archspec.operators.table import JOINS, NORMS, OPERATORS, ROWS, norm_name

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
ONE_OF_MANY = {kind for kind, row in OPERATORS.items() if row.family or row.is_of_training}
"""Of which another row may be what is asked for: a second norm that has statistics."""
WORDS = {
    "archspec/readers/onnx": {word for row in ROWS for word in row.onnx},
    "archspec/readers/mindir": {word for row in ROWS for word in row.mindir},
}
"""What files call operators, and where alone a format's own notation stands."""
ATTRIBUTES = {name for row in ROWS for name in (*row.required, *row.defaults, *row.settings)}
ROLES = {role for kind, attrs in ALL for role in OPERATORS[kind].tensors(attrs)}
"""What weights are called: a setting may be called so too, as a softplus has a beta."""
APART = {
    "archspec/weights/pairing/grouping.py": "a file of weights tells no kinds: these are groups of"
    " tensors by their dimensions, into which whatever there is falls",
}
"""Files that may name kinds, and why."""

QUOTED = re.compile(r'"(\w+)"')
WORD = r"`?\w+`?"
IN_PROSE = re.compile(rf"{WORD}(?:, {WORD})*,? (?:and|or) {WORD}|`\w+`(?:, `\w+`)+")
"""`a`, b and `c`; or, between backticks, without the last word."""
LISTS = (ast.Dict, ast.Tuple, ast.List, ast.Set, ast.Call, ast.BinOp)


def texts(nodes: Sequence[ast.AST | None]) -> list[str]:
    constants = [node.value for node in nodes if isinstance(node, ast.Constant)]
    return [value for value in constants if isinstance(value, str)]


def first_of(node: ast.AST) -> ast.AST:
    """Of an entry that is a pair, what it is an entry for."""
    is_pair = isinstance(node, ast.Tuple) and node.elts
    return node.elts[0] if is_pair else node


def is_call(node: ast.AST, function: str) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == function


def method_of(node: ast.AST) -> str:
    """The name of the method that is called, '' where it is none."""
    is_method = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    return node.func.attr if is_method else ""


def collected(node: ast.AST) -> list[str]:
    """The texts that a literal holds: a tuple, a list, a set, the keys of a mapping; the first of
    pairs; the words of a text that is split; the names that `dict` is given; of several together
    those of each.
    """
    if isinstance(node, ast.Dict):
        return texts(node.keys)
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return texts(node.elts) or texts([first_of(each) for each in node.elts])
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitOr, ast.Add)):
        return [*collected(node.left), *collected(node.right)]
    if is_call(node, "dict"):
        return [word.arg for word in node.keywords if word.arg]
    if method_of(node) == "union":
        return [word for part in (node.func.value, *node.args) for word in collected(part)]
    if method_of(node) == "split" and isinstance(node.func.value, ast.Constant):
        by = node.args[0].value if node.args else None
        return [word.strip() for word in str(node.func.value.value).split(by)]
    return []


def said(node: ast.AST) -> Iterator[list[str]]:
    """The lists that a text has in prose: a docstring, a message, a part of one."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        found = IN_PROSE.findall(" ".join(node.value.split()))
        yield from (re.findall(r"\w+", each) for each in found)


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
    for node in nodes:
        if isinstance(node, LISTS):
            yield node.lineno, collected(node)
        if isinstance(node, ast.Dict):
            yield node.lineno, texts(node.values)
        yield from ((node.lineno, words) for words in said(node))
    if len({*KINDS, *JOINS}.intersection(QUOTED.findall(source))) < 2:
        return
    scopes = (ast.FunctionDef, ast.ClassDef)
    rest = [node for node in tree.body if not isinstance(node, scopes)]
    for scope in (ast.Module(rest, []), *nodes):
        if isinstance(scope, (ast.Module, ast.FunctionDef)):
            yield from compared(scope)


def lists(source: str, place: str = "") -> list[tuple[int, list[str]]]:
    """What names two kinds, each once, and little else: one that has a kind twice is a sequence of
    operators, and a long one of others' words has some of ours by chance. Of joins, which a graph
    is held together by, a list has nothing else.
    """
    own = [words for room, words in WORDS.items() if room not in place]
    shares = [({*JOINS}, 1), *((known, 2) for known in (KINDS, *own))]
    found = set()
    for line, words in listed(source):
        for known, share in shares if len(words) > 1 else ():
            ours = [word for word in words if word in known]
            is_of_ours = share * len(ours) >= len(words) and len({*words}) == len(words)
            if len(ours) > 1 and is_of_ours:
                found.add((line, tuple(words)))
    return [(line, [*words]) for line, words in sorted(found)]


def lists_of_attributes(source: str) -> list[tuple[int, list[str]]]:
    """What names two attributes and nothing else; a mapping of them is an operator's own."""
    found = []
    for node in nodes_of(source):
        is_own = isinstance(node, ast.Dict) or is_call(node, "dict")
        words = [] if is_own else collected(node)
        if len(words) > 1 and {*words} <= ATTRIBUTES and not {*words} <= ROLES:
            found.append((node.lineno, words))
    return found


def defaults(source: str) -> list[tuple[int, str]]:
    """What an attribute is where it is absent, said where it is asked for: a row says it."""
    found = []
    for node in nodes_of(source):
        if method_of(node) in ("get", "pop", "setdefault") and len(node.args) == 2:
            (name,), default = texts(node.args[:1]) or [""], node.args[1]
            is_literal = not isinstance(default, (ast.Name, ast.Attribute, ast.Call))
            if name in ATTRIBUTES and is_literal and ast.unparse(default) != "None":
                found.append((node.lineno, name))
    return found


def asked_by_name(source: str) -> list[tuple[int, str]]:
    """The one of many that something is compared with, where a row could be asked."""
    found = []
    for node in nodes_of(source):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
            words = texts([node.left, *node.comparators])
            found += [(node.lineno, word) for word in words if word in ONE_OF_MANY]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_has_a_list_of_its_own(path: Path) -> None:
    """Of kinds; of attributes, and of what files call operators, but for a format's own room. Nor
    does any ask for one kind of a family by its name.
    """
    place = str(path.relative_to(ROOT))
    source = path.read_text(encoding="utf-8")
    assert (lists(source, place) != []) == (place in APART)
    assert asked_by_name(source) == []
    if not any(room in place for room in WORDS):
        assert lists_of_attributes(source) == []
        assert defaults(source) == []


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
    'KINDS = {"plain": "max_pool", "soft": "avg_pool"}',
    'SMOOTH = "elu, mish,silu".split(",")',
    'SMOOTH = "elu|mish".split("|")',
    'SMOOTH = {"elu"} | {"mish"}',
    'SMOOTH = ("elu",) + OTHERS + ("mish",)',
    'SMOOTH = {"elu"}.union({"mish"}, others)',
    'MOST = {**usual} | {"conv": 1} | {"dense": 2}',
    '"""Of elu, mish and silu."""',
    'message = f"{name} must be `max_pool`, `avg_pool`"',
    'rule = "a setting of softplus or elu"',
    'JOINS = ("add", "multiply")',
    'join: Literal["concat", "add"] = "concat"',
    'if op.kind == "concat" or op.kind == "add": pass',
    'VERBS = {"add": "adds", "multiply": "multiplies", "concat": "joins"}',
]


@pytest.mark.parametrize("source", FORMS)
def test_a_list_is_found_in_each_of_its_forms(source: str) -> None:
    """A mapping of them or to them, a comparison, branches, a part of a larger table, several
    together, a sentence; kinds of one family or of several, or of joins; and what ONNX and
    MindSpore call them.
    """
    assert {line for line, _ in lists(source)} == {1}


@pytest.mark.parametrize(
    "source",
    [
        '_SIZES = ("kernel", "stride", "padding")',
        'for name in {"eps", "momentum"} & attrs.keys(): pass',
        'LEFT_OUT = "approximate weights_of".split()',
        'LEFT_OUT = "approximate, weights_of".split(",")',
        'LEFT_OUT = {"approximate"} | {"weights_of"}',
    ],
)
def test_a_list_of_attributes_is_found_in_each_of_its_forms(source: str) -> None:
    """A constant, or where it is used."""
    assert [line for line, _ in lists_of_attributes(source)] == [1]


@pytest.mark.parametrize(
    "source",
    [
        'slope = op.attrs.get("slope", 0.01)',
        'bias = {**attrs}.pop("bias", True)',
        'said.setdefault("eps", -1)',
    ],
)
def test_a_default_of_an_attribute_is_found_where_it_is_asked_for(source: str) -> None:
    """A number, a truth, in whichever way a mapping is asked."""
    assert [line for line, _ in defaults(source)] == [1]


@pytest.mark.parametrize(
    "source",
    [
        'if op.kind == "batch_norm": pass',
        'is_open = step.kind != "dropout"',
        'norms = [op for op in ops if "rms_norm" == op.kind]',
    ],
)
def test_a_question_for_one_of_many_is_found_in_each_of_its_forms(source: str) -> None:
    """One of the row's own truths is asked in its place."""
    assert [line for line, _ in asked_by_name(source)] == [1]


@pytest.mark.parametrize(
    "source",
    [
        'OP = Op("x", "conv", (), {"kernel": 1, "stride": 1})',
        'STEM = ("kernel", "stride", "norm")',
        'if op.kind == "concat" or op.kind == "slice": pass',
        'known = attrs.get("name", 1) or attrs.get("slope", None)',
        '"""What it has as conv, batch_norm is a conv with a bias."""',
        '"""A conv and a relu are two."""',
        '"""A scale and a shift are a norm."""',
        'CHAIN = ("conv", "relu", "conv")',
        'if a.kind == "conv" and b.kind == "dense": pass',
        'NODES = {"Relu": f, "Gemm": g, "A": 1, "B": 2, "C": 3, "D": 4}',
    ],
)
def test_what_is_no_list_is_left_alone(source: str) -> None:
    """What holds a graph together, a sequence of operators, one kind each of two values; the
    attributes of one operator, and the language's keys, some of which are called as attributes are.
    """
    assert lists(source) == lists_of_attributes(source) == defaults(source) == []
    assert asked_by_name(source) == []


def test_weights_may_be_called_as_settings_of_some_operator_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A list of them is none of attributes, nor is what is asked of weights a default."""
    monkeypatch.setattr(sys.modules[__name__], "ATTRIBUTES", ATTRIBUTES | {"gamma", "beta"})
    assert lists_of_attributes('SCALE_AND_SHIFT = ("gamma", "beta")') == []
    assert lists_of_attributes('MIXED = ("gamma", "eps")') != []
