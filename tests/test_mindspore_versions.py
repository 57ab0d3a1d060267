"""Which versions of MindSpore are tested, what is said of others, and the tests under each."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, densenet, passed
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.internal import api_implementation
from google.protobuf.message_factory import GetMessages

from archspec import mindspore_versions
from archspec.mindspore_versions import describe_range, fill_map, is_tested

WANTED = re.search(r'^ +"mindspore(.*?)"', (ROOT / "pyproject.toml").read_text(), re.M)[1]

OTHERS = ("2.7.1", "2.8.*", "2.9.*")
"""What the whole suite does not run with: it has the newest one of the range."""
TESTS = (
    "tests/certify",
    "tests/readers/test_mindir_read.py",
    *("tests/writers/test_module.py", "tests/writers/test_operators.py"),
    *("tests/train/engine/test_engine.py", "tests/train/test_equal_training.py"),
    *(
        "tests/train/engine/test_sgd.py",
        "tests/train/engine/test_optimizers.py",
        "tests/train/engine/test_update.py",
    ),
    *("tests/train/run/test_checkpoint.py", "tests/train/engine/test_compile_cache.py"),
    *(
        "tests/train/test_loop.py",
        "tests/train/test_trainer.py",
        "tests/train/distributed/test_msrun.py",
    ),
    *("tests/cli/test_train.py", "tests/cli/test_certify.py", "tests/cli/test_export.py"),
)
"""Where the fast tests of build, certify and train are that MindSpore runs in."""
NEEDED_ROOM = 6 * 1024**3
"""For an environment of a version, in bytes: MindSpore alone takes 2.5 GB."""


@pytest.fixture
def wanted(monkeypatch):
    """The range as pyproject.toml has it, whichever package is installed here."""
    monkeypatch.setattr(mindspore_versions, "find_wanted", lambda: WANTED)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        *[(version, True) for version in ("2.7", "2.7.0", "2.7.1", "2.8.0", "2.9.1", "2.10.3")],
        *[(version, True) for version in ("2.7.1.post1", "2.8.0rc1", "2.7.1+cann8.3")],
        *[(version, False) for version in ("2.6.0", "2.7.0rc1", "2.11.0", "2.11.0rc1", "3.0")],
        *[(version, False) for version in ("", "nightly")],
    ],
)
def test_a_version_is_tested_where_pip_would_leave_it(wanted, version, expected):
    """With a server's own suffix, or a preliminary one, too."""
    assert is_tested(version) == expected


@pytest.mark.parametrize(
    ("range_of_pip", "words"),
    [
        (">=2.7,<2.11", "2.7 to 2.10"),
        ("<2.11,>=2.7.1", "2.7.1 to 2.10"),
        ("==2.10.*", "==2.10.*"),
        (">=2.7,!=2.8.0,<2.11", ">=2.7,!=2.8.0,<2.11"),
    ],
)
def test_a_range_is_said_in_words_where_they_can_say_it(monkeypatch, range_of_pip, words):
    monkeypatch.setattr(mindspore_versions, "find_wanted", lambda: range_of_pip)
    assert describe_range() == words


def pretend(folder, mindspore, name="mindspore"):
    """What pip leaves of packages, before those that are installed: another MindSpore, and this
    package with the range of pyproject.toml.
    """
    for package, version, more in (
        (name, mindspore, ""),
        ("densenet-archspec", "0.1.0", f"Requires-Dist: mindspore{WANTED}\n"),
    ):
        left = folder / f"{package.replace('-', '_')}-{version}.dist-info"
        left.mkdir(parents=True)
        text = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n{more}"
        (left / "METADATA").write_text(text)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def diagnose(cwd, env):
    found = json.loads(passed(densenet("doctor", "--json", cwd=cwd, env=env)))["findings"]
    return next(finding for finding in found if finding["subject"] == "MindSpore")


@pytest.mark.parametrize("version", ["2.11.0", pytest.param("2.6.0", marks=pytest.mark.slow)])
def test_doctor_and_train_say_that_a_version_was_not_tested_and_go_on(tmp_path, version):
    """One line, beside what is for a program."""
    env = pretend(tmp_path / "site", version)
    finding = diagnose(tmp_path, env)
    assert (finding["level"], finding["found"]) == ("warning", version)
    assert "outside the tested range 2.7 to 2.10" in finding["cure"]
    done = densenet("train", "--dry-run", cwd=tmp_path, env=env)
    assert done.returncode == 0
    said = f"MindSpore {version} is outside the tested range 2.7 to 2.10: results may differ\n"
    assert done.stderr == said


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2.7.1", "2.7.1.post1", "2.9.0+cann9"])
def test_nothing_is_said_of_a_version_that_was_tested(tmp_path, version):
    env = pretend(tmp_path / "site", version)
    assert diagnose(tmp_path, env) == {
        "subject": "MindSpore",
        "level": "ok",
        "found": f"{version}: inside the tested range 2.7 to 2.10",
        "cure": "",
    }
    passed(densenet("train", "--dry-run", cwd=tmp_path, env=env))


def test_a_mindspore_that_pip_does_not_know_says_its_version_itself(tmp_path):
    """One that was built from its sources and put on the path, or has another name for pip."""
    package = tmp_path / "site" / "mindspore"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('it was imported')\n")
    (package / "version.py").write_text("__version__ = '2.8.0'\n# of ours\n")
    code = "from archspec.mindspore_versions import find_mindspore; print(find_mindspore())"
    # -I: nothing that is installed here; what archspec.mindspore_versions needs is Python's own.
    paths = f"import sys; sys.path[:0] = [{str(tmp_path / 'site')!r}, {str(ROOT)!r}]; "
    hide = "sys.path = [path for path in sys.path if 'site-packages' not in path]; "
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"{paths}{hide}{code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "2.8.0\n", done.stderr


def message_with_texts(is_map):
    """A message whose field `texts` is a map, or the list of entries that it is on the wire."""
    file = FileDescriptorProto(name="texts.proto", package=f"texts_{is_map}".lower())
    made = file.message_type.add(name="Told")
    entry = made.nested_type.add(name="TextsEntry")
    entry.field.add(name="key", number=1, type=9, label=1)
    entry.field.add(name="value", number=2, type=9, label=1)
    entry.options.map_entry = is_map
    kind = f".{file.package}.Told.TextsEntry"
    made.field.add(name="texts", number=1, type=11, label=3, type_name=kind)
    return GetMessages([file])[f"{file.package}.Told"]()


def test_texts_are_written_alike_where_a_module_takes_a_map_for_a_list():
    """As MindSpore's does up to 2.9, in a process where protobuf computes in Python."""
    texts = {"spec": "growth_rate: 4", "classes": "[]"}
    with_map, with_list = message_with_texts(True), message_with_texts(False)
    for message in (with_map, with_list):
        fill_map(message.texts, texts)
        fill_map(message.texts, {})
    assert dict(with_map.texts) == texts
    assert type(with_map).FromString(with_list.SerializeToString()) == with_map


# As protoc before 3.20 wrote a module: what it describes, and its fields once more.
OLD = """
from google.protobuf import descriptor as _descriptor
{imports}
DESCRIPTOR = _descriptor.FileDescriptor(name={file!r}, package="old", serialized_pb={described!r})
_FIELD = _descriptor.FieldDescriptor(
    name="x", full_name="old.x", index=0, number=1, type=1, cpp_type=5, label=1,
    has_default_value=False, default_value=0.0, message_type=None, enum_type=None,
    containing_type=None, is_extension=False, extension_scope=None)
"""
READ = """
import sys
from google.protobuf import message
if "welcome" in sys.argv:
    from archspec.mindspore_versions import welcome_old_messages
    welcome_old_messages()
    welcome_old_messages()
from mindspore.train.line_pb2 import Line
from mindspore.train import point_pb2
line = Line.FromString(Line(ends=[point_pb2.Point(x=1.5)], kind=2).SerializeToString())
print(line.ends[0].x, Line.Kind.Name(line.kind), len(sys.meta_path))
"""


def write_old_modules(folder):
    """Two modules, one of which has messages of the other in its own."""
    point = FileDescriptorProto(name="point.proto", package="old")
    point.message_type.add(name="Point").field.add(name="x", number=1, type=1, label=1)
    line = FileDescriptorProto(name="line.proto", package="old", dependency=["point.proto"])
    made = line.message_type.add(name="Line")
    made.field.add(name="ends", number=1, type=11, label=3, type_name=".old.Point")
    made.field.add(name="kind", number=2, type=14, label=1, type_name=".old.Line.Kind")
    kinds = made.enum_type.add(name="Kind")
    kinds.value.add(name="STRAIGHT", number=1)
    kinds.value.add(name="DASHED", number=2)
    train = folder / "mindspore" / "train"
    train.mkdir(parents=True)
    for package in (train, train.parent):
        (package / "__init__.py").touch()
    for file, imports in ((point, ""), (line, "from . import point_pb2")):
        described = file.SerializeToString()
        text = OLD.format(imports=imports, file=file.name, described=described)
        (train / file.name.replace(".proto", "_pb2.py")).write_text(text)


@pytest.mark.skipif(api_implementation.Type() != "upb", reason="protobuf takes old modules here")
def test_modules_of_an_old_protoc_are_imported_after_protobuf(tmp_path):
    """As MindSpore's up to 2.9, where onnx, or whatever else, has imported it first."""
    write_old_modules(tmp_path)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    env.pop("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", None)  # of a MindSpore in this process
    refused, welcome = (
        subprocess.run(
            [sys.executable, "-c", READ, *words],
            capture_output=True,
            text=True,
            check=False,
            env=env,
        )
        for words in ([], ["welcome"])
    )
    assert "Descriptors cannot be created directly" in refused.stderr
    assert welcome.stdout.startswith("1.5 DASHED "), welcome.stderr


def run_pip(python, *words):
    return subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def make_environment(version):
    """An environment with this MindSpore, and then this package as its user installs it; its
    Python. It is kept for the next time, until pyproject.toml changes.
    """
    folder = ROOT / "build" / f"mindspore-{version.removesuffix('.*')}"
    python, made = folder / "bin" / "python", folder / "made-for"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if made.exists() and made.read_text() == wanted:
        return python
    if shutil.disk_usage(ROOT).free < NEEDED_ROOM:
        pytest.skip("less than 6 GB are free for an environment of it")
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    first = run_pip(python, f"mindspore=={version}")
    if first.returncode != 0:
        pytest.skip(f"MindSpore {version} cannot be had: {first.stderr.strip().splitlines()[-1]}")
    before = show_mindspore(python)
    second = run_pip(python, "-e", ".[dev]")
    assert second.returncode == 0, second.stderr
    assert show_mindspore(python) == before  # the server's own stays
    made.write_text(wanted)
    return python


def show_mindspore(python):
    code = "from importlib.metadata import version; print(version('mindspore'))"
    return subprocess.run(
        [python, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize("version", OTHERS)
def test_train_build_and_certify_do_the_same_with_every_version_of_the_range(version):
    """In an environment of its own, which takes 3 GB and is kept in `build`: the tests whose
    oracles are NumPy, a plain loop of steps, and the spec.
    """
    python = make_environment(version)
    ours = ("PYTEST", "COV", "DENSENET_CACHE")
    own = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    quick = ("-p", "no:cacheprovider", "-m", "not slow", "--tb=short")
    done = subprocess.run(
        [python, "-m", "pytest", *quick, *TESTS],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**own, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
