"""Reading YAML that nobody vouches for: one clear error, in bounded memory,
and no surprise in a value.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.errors import SpecError
from archspec.spec.load import load_spec
from archspec.spec.reading.yaml_reader import read_file, read_text, read_value

ROOT = Path(__file__).resolve().parents[2]
BASE = "growth_rate: 12\nblock_config: [2, 2]\n"


def alias_bomb() -> str:
    """Nine levels of nine aliases each: 9 ** 9 values in 500 bytes."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    pairs = zip("abcdefgh", "bcdefghi", strict=True)
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in pairs]
    return "\n".join(lines)


HOSTILE: dict[str, tuple[str | bytes, str]] = {
    "10 MB": ("name: x\n" * 1_250_000, " Y002 is larger than 256 KiB"),
    "alias bomb": (alias_bomb(), ":1:26 Y007 holds more than 5000 values"),
    "10,000 levels of flow lists": (
        "a: " + "[" * 10_000 + "]" * 10_000,
        " Y005 is nested deeper than 32",
    ),
    "10,000 levels of flow mappings": (
        "{a: " * 10_000 + "}" * 10_000,
        ":1:129 Y005 is nested deeper than 32",
    ),
    "10,000 levels of block lists": ("- " * 10_000 + "x", ":1:65 Y005 is nested deeper than 32"),
    "10,000 levels of keys": ("? " * 10_000 + "x", ":1:65 Y005 is nested deeper than 32"),
    "700 levels of block mappings": (
        "\n".join(" " * level + "a:" for level in range(700)),
        ":33:33 Y005 is nested deeper than 32",
    ),
    "a chain of 5,000 aliases": (
        "a0: &a0 [x]\n" + "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 5_000)),
        ":1:10 Y005 is nested deeper than 32",
    ),
    "250,000 open brackets": ("[" * 250_000, " Y005 is nested deeper than 32"),
    "20,000 unknown keys": (
        "\n".join(f"key{n}: 1" for n in range(20_000)),
        " Y007 holds more than 5000",
    ),
    "NaN": (
        BASE + "compression: .nan",
        ":3:14 S004 compression (=nan) must be a finite number in (0, 1]",
    ),
    "infinity": (
        BASE + "drop_rate: .inf",
        ":3:12 S004 drop_rate (=inf) must be a finite number in [0, 1)",
    ),
    "minus infinity": (
        BASE + "compression: -.inf",
        ":3:14 S004 compression (=-inf) must be a finite number",
    ),
    "growth rate 1000000000": (
        "growth_rate: 1000000000\nblock_config: [2]",
        ":1:14 S004 growth_rate (=1000000000) must be in [1, 4096]",
    ),
    "a whole number of 5,000 digits": (
        "growth_rate: " + "9" * 5_000 + "\nblock_config: [2]",
        ":1:14 S003 growth_rate (=inf) must be a whole number",
    ),
    "minus 5,000 digits": (
        BASE + "drop_rate: -" + "9" * 5_000,
        ":3:12 S004 drop_rate (=-inf) must be a finite number in [0, 1)",
    ),
    "an exponent of nine digits": (
        BASE + "compression: 1e999999999",
        ":3:14 S004 compression (=inf)",
    ),
    "duplicate keys": (
        BASE + "growth_rate: 24",
        ":3:1 Y009 the key 'growth_rate' stands twice; first at ",
    ),
    "tabs": ("stem:\n\tkernel: 3", ":2:1 Y006 is not YAML: "),
    "a binary file": (bytes(range(256)) * 4, " Y003 is not UTF-8 text (byte 128)"),
    "weights": (
        b"PK\x03\x04" + bytes(300_000),
        " Y003 is a zip archive, as torch's .pth files are, no YAML (a spec is a YAML",
    ),
    "a checkpoint": (
        b"\n\xa8\x03\n\x0eclassifier.bias\x12\x95\x03",
        " Y003 is a MindSpore checkpoint, no YAML (a spec is a YAML",
    ),
    "an ONNX model": (
        b"\x08\x07\x12\x07pytorch",
        " Y003 is an ONNX model, no YAML (a spec is a YAML",
    ),
    "a Git LFS pointer": (
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d\n",
        " Y003 is a Git LFS pointer instead of a file, no YAML (git lfs pull",
    ),
    "UTF-16": (BASE.encode("utf-16"), " Y003 is not UTF-8 text (byte 0)"),
    "NUL bytes": (BASE + "name: a\0b", ":3:8 Y003 holds the control character '\\x00'"),
    "only NUL bytes": (b"\0" * 1_000, ":1:1 Y003 holds the control character '\\x00'"),
    "an empty file": ("", " Y004 is empty"),
    "blanks": (" \n\n  \n", " Y004 is empty"),
    "comments only": ("# nothing\n# here\n", " Y004 is empty"),
    "an empty document": ("---\n...\n", ":2:1 S003 a spec must be a mapping of keys to values"),
    "a list at top level": ("- 1\n- 2\n", ":1:1 S003 a spec must be a mapping of keys to values"),
    "a word at top level": ("hello", ":1:1 S003 a spec must be a mapping of keys to values"),
    "a Python call": (
        '!!python/object/apply:os.system ["touch pwned"]',
        ":1:1 Y008 the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed",
    ),
    "a Python call inside": (
        BASE + 'name: !!python/object/apply:os.system ["touch pwned"]',
        ":3:7 Y008 the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed",
    ),
    "a tag of one's own": (BASE + "name: !mine x", ":3:7 Y008 the tag '!mine' is not allowed"),
    "an alias in itself": (BASE + "stem: &a [*a]", ":3:7 Y007 has an alias that contains itself"),
    "a document in itself": ("&a {b: *a}", ":1:1 Y007 has an alias that contains itself"),
    "an undefined alias": (BASE + "stem: *a", ":3:7 Y006 is not YAML: found undefined alias"),
    "two documents": ("a: 1\n---\nb: 2", ":2:1 Y006 is not YAML: found another document"),
    "a list as a key": (BASE + "? [a]\n: b", ":3:3 Y008 a key must be a plain word"),
    "a lone surrogate": (BASE + 'name: "\\uD800"', " Y006 is not YAML: found invalid Unicode"),
    "a parent with NUL in its name": (
        'extends: "a\\0/b"',
        ":1:10 S010 there is no spec 'a\\x00/b'",
    ),
    "a parent with a name of 100,000": (
        "extends: " + "a" * 100_000,
        ":1:10 S010 there is no spec 'aaa",
    ),
    "a parent of an unknown user": (
        "extends: ~nobody_at_all/x.yaml",
        ":1:10 S010 there is no spec '~nobody",
    ),
}

# Reads each file once; no other work, so that the peak is the reader's.
MEASURE = r"""
import json, re, resource, sys, time
from archspec.errors import SpecError
from archspec.spec.load import load_spec
resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000, 1_500_000_000))
found = []
for path in json.load(sys.stdin):
    begin = time.perf_counter()
    try:
        load_spec(path)
    except SpecError as error:
        found.append([list(map(str, error.diagnostics)), time.perf_counter() - begin])
# ru_maxrss would count the process that this one was forked from.
peak = int(re.search(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())[1])
print(json.dumps({"found": found, "peak": peak}))
"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every hostile file on disk, by what it is."""
    folder = tmp_path_factory.mktemp("hostile")
    files = {}
    for number, (what, (content, _)) in enumerate(HOSTILE.items()):
        files[what] = folder / f"hostile{number}.yaml"
        files[what].write_bytes(content if isinstance(content, bytes) else content.encode())
    return files


def fault(path: Path | str) -> str:
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    (diagnostic,) = caught.value.diagnostics
    return str(diagnostic)


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_gives_one_clear_error(what: str, hostile: dict[str, Path]) -> None:
    """One diagnostic, at its place, on one printable line that a terminal can show."""
    path, expected = hostile[what], HOSTILE[what][1]
    found = fault(path)
    rest = found.removeprefix(str(path))
    assert found.startswith(str(path))
    assert expected in rest
    assert expected.startswith(" ") or rest.startswith(expected)
    assert found.isprintable()
    assert len(found) < 600
    assert not (Path.cwd() / "pwned").exists()


def test_hostile_files_are_refused_in_bounded_memory(hostile: dict[str, Path]) -> None:
    """All of them in one process under 1.5 GB of address space, with a peak below 500 MB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        input=json.dumps([str(path) for path in hostile.values()]),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [len(faults) for faults, _ in result["found"]] == [1] * len(HOSTILE)
    assert result["peak"] < 500_000  # KiB on Linux


def test_a_missing_file_is_one_error_that_names_it(tmp_path: Path) -> None:
    """No traceback, the operating system's reason."""
    assert (
        fault(tmp_path / "none.yaml")
        == f"{tmp_path}/none.yaml Y001 cannot be read: No such file or directory"
    )


def test_a_directory_is_one_error(tmp_path: Path) -> None:
    """A folder where a file should be."""
    (tmp_path / "folder.yaml").mkdir()
    assert (
        fault(tmp_path / "folder.yaml")
        == f"{tmp_path}/folder.yaml Y001 cannot be read: Is a directory"
    )


def test_a_loop_of_links_is_one_error(tmp_path: Path) -> None:
    """Two symbolic links to each other."""
    (tmp_path / "a.yaml").symlink_to(tmp_path / "b.yaml")
    (tmp_path / "b.yaml").symlink_to(tmp_path / "a.yaml")
    assert "Y001 cannot be read: Too many levels of symbolic links" in fault(tmp_path / "a.yaml")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Permissions mean nothing to root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_without_permission_is_one_error(tmp_path: Path) -> None:
    """The user learns which file and why."""
    path = tmp_path / "secret.yaml"
    path.write_text(BASE, encoding="utf-8")
    path.chmod(0)
    with as_nobody():
        assert fault(path) == f"{path} Y001 cannot be read: Permission denied"


def test_endless_files_are_read_only_up_to_the_limit() -> None:
    """/dev/zero has no end."""
    with pytest.raises(SpecError, match="Y002 is larger than 256 KiB"):
        read_file(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),  # YAML 1.1 calls it a word
        ("1E5", 1e5),
        ("5.", 5.0),
        (".5", 0.5),
        ("-3", -3),
        ("+3", 3),
        ("010", 10),  # YAML 1.1 calls it eight
        ("1:30", "1:30"),  # YAML 1.1 calls it ninety
        ("no", "no"),
        ("off", "off"),
        ("Yes", "Yes"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("2001-01-01", "2001-01-01"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("1__", "1__"),
        ("=", "="),
        ("'12'", "12"),
        ('"true"', "true"),
        ("|\n  12", "12"),
        ("1.2.3", "1.2.3"),
        ("-.inf", float("-inf")),
        ("é漢🙂", "é漢🙂"),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(text: str, value: Any) -> None:
    """The core schema, without the words that YAML 1.1 turns into truth, sexagesimals and dates."""
    found = read_text(f"key: {text}", "x").value["key"]
    assert (found, type(found)) == (value, type(value))


def test_aliases_work_within_the_bounds(tmp_path: Path) -> None:
    """An anchored block is used twice; a fault in it is told at the anchor."""
    path = tmp_path / "net.yaml"
    path.write_text(
        "growth_rate: 12\nblocks: [&b {layers: 2, growth_rate: 8}, *b, *b]\n", encoding="utf-8"
    )
    spec = load_spec(path)
    assert [(block.layers, block.growth_rate) for block in spec.blocks] == [(2, 8)] * 3
    assert spec.place(("blocks", 2, "layers")) == f"{path}:2:22"


@pytest.mark.parametrize(
    "text", ["\ufeff" + BASE, BASE.replace("\n", "\r\n"), "\ufeff" + BASE.replace("\n", "\r\n")]
)
def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path, text: str) -> None:
    """As Notepad writes them, with the places that an editor shows."""
    path = tmp_path / "net.yaml"
    path.write_bytes(text.encode())
    spec = load_spec(path)
    assert spec.growth_rate == 12
    assert spec.place(("growth_rate",)) == f"{path}:1:14"
    assert spec.place(("blocks", 1)) == f"{path}:2:19"


def test_nothing_at_all_is_null_on_the_command_line() -> None:
    """`--set stem.channels=` takes a setting back; all parts of a value stand at that one place."""
    assert read_value("", "--set x=").value is None
    given_list = read_value("[1, {a: 2}]", "--set x=...")
    assert given_list.value == [1, {"a": 2}]
    assert given_list.place((1, "a")) == "--set x=..."


@settings(max_examples=60)
@given(st.text(alphabet=st.sampled_from("ab:-[]{},&*!|>'\"%@#? \n\t01.eé\0"), max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Soup of YAML's signs: a value or a SpecError, nothing else."""
    try:
        read_text(text, "soup")
    except SpecError as refused:
        found = refused.diagnostics
    else:
        return
    assert [fault.where.partition(":")[0] for fault in found] == ["soup"]


@settings(max_examples=60)
@given(st.binary(max_size=60))
def test_any_file_is_a_spec_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """Random bytes never get past the reader as anything but an error."""
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(content)
    with pytest.raises(SpecError):
        load_spec(path)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["x", "two words", "", "é", "a: b", "# no", "no", "null", "line\nbreak", "12", "1.5"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "c d", "1", "true"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(["k", "l"]), json_values, min_size=1))
def test_what_json_and_yaml_writers_write_reads_back_the_same(values: dict[str, Any]) -> None:
    """JSON is YAML, and so is what PyYAML dumps: plain values survive both."""
    assert read_text(json.dumps(values), "x").value == values
    assert read_text(yaml.safe_dump(values), "x").value == values
