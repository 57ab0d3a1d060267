"""The network that MindSpore really compiles is certified, in a process of its own, once."""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from hashlib import sha256

import psutil
import pytest
from conftest import densenet, passed, refused

from archspec.certify.built_network import certify_built, summarize_certificate
from archspec.certify.certificate_cache import MAX_BYTES, read_certificate
from archspec.compare.compare import COMPARED, NOT_COMPARED
from archspec.errors import ModelFileError
from archspec.graph.build import build_graph
from archspec.graph.digest import structure_digest
from archspec.graph.report import report
from archspec.spec.load import load_spec
from archspec.verifiers.verify import verify_or_raise
from archspec.writers.mindspore.module import write_module

SPEC = load_spec("densenetbc_digits", ["block_config=[2, 2]", "growth_rate=4"])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache folder of the test's own."""
    monkeypatch.setenv("DENSENET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "certificates"


def emitted() -> str:
    return write_module(build_graph(SPEC))


def certificate_of(graph, module):
    """What the child process writes of an equal network, by the graph's own counts."""
    counts = report(graph)
    blocks = [
        {"block": b.name, "layers": b.layers, "expected_layers": b.layers, "edges": b.edges}
        | {"expected_edges": b.edges, "missing": [], "surplus": []}
        for b in counts.blocks
    ]
    return {
        "file": "network.py",
        "sha256": sha256(module.encode()).hexdigest(),
        "spec": graph.name,
        "structure_digest": structure_digest(graph),
        "equal": True,
        "blocks": blocks,
        "params": counts.params,
        "expected_params": counts.params,
        "differences": [],
        "notes": [],
        "compared": [],
        "not_compared": [],
    }


@pytest.mark.slow
def test_parameters_that_nothing_computes_with_are_noticed(cache):
    """The exported file does not show them; a checkpoint would have them."""
    module = emitted().replace("initialise(self)", "self.spare = nn.Dense(2, 3)")
    with pytest.raises(ModelFileError, match=r"the graph has no parameter spare.bias of shape"):
        certify_built(SPEC, verify_or_raise(build_graph(SPEC)), module)


def test_the_compiled_network_is_found_equal_and_remembered(cache):
    """The second time the certificate comes from the cache, where no other was planted."""
    graph, module = verify_or_raise(build_graph(SPEC)), emitted()
    found = certify_built(SPEC, graph, module)
    assert [block["edges"] for block in found["blocks"]] == [3, 3]
    assert "6 of 6 direct connections" in summarize_certificate(found)
    (kept,) = cache.iterdir()
    written = kept.stat().st_mtime_ns
    assert certify_built(SPEC, graph, module) == found
    assert kept.stat().st_mtime_ns == written  # what is believed is not made anew
    planted = certificate_of(graph, module) | {"equal": False, "differences": ["nonsense"]}
    kept.write_text(json.dumps(planted))
    assert certify_built(SPEC, graph, module) == found
    assert json.loads(kept.read_text()) == found


@pytest.mark.parametrize("name", ["densenetbc_digits", "cspdensenet121", "hardnet68", "vovnet39"])
def test_a_whole_certificate_is_believed(name, tmp_path):
    """One about this very module and this graph."""
    graph = build_graph(load_spec(name))
    file = tmp_path / "held.json"
    file.write_text(json.dumps(certificate_of(graph, "text")))
    assert read_certificate(file, graph, "text") is not None


WORDS = {
    "a note": {"notes": ["nothing was left out"]},
    "more compared": {"compared": ["everything"]},
    "less not compared": {"not_compared": []},
    "another file": {"file": "other.py"},
}


def test_only_words_of_this_program_are_believed(tmp_path):
    """Figures and digests may be right where somebody else wrote what stands beside them."""
    graph, file = build_graph(SPEC), tmp_path / "held.json"
    own = certificate_of(graph, "text") | {"compared": COMPARED, "not_compared": NOT_COMPARED}
    for changed in ({}, *WORDS.values()):
        file.write_text(json.dumps({**own, **changed}))
        held = read_certificate(file, graph, "text")
        assert held is not None
        assert held.is_plain == (not changed)


FORGED = {
    "a number in words": {"params": "1"},
    "too few parameters": {"params": 1},
    "too few expected": {"params": 1, "expected_params": 1},
    "no blocks": {"blocks": []},
    "another text": {"sha256": "0" * 64},
    "no digest": {"sha256": ""},
    "another structure": {"structure_digest": "0" * 64},
    "another name": {"spec": "densenet121"},
    "equal with differences": {"differences": ["block 1 has 2 layers"]},
    "unequal without": {"equal": False},
    "truth as a number": {"equal": 1},
    "another key": {"more": 1},
    "too many notes": {"notes": [""] * 1_002},
    "a long note": {"notes": ["x" * 10_001]},
    "no list": {"notes": None},
    "null": {"blocks": None},
}


@pytest.mark.parametrize("changed", FORGED.values(), ids=FORGED)
def test_what_does_not_fit_module_and_graph_is_not_believed(changed, tmp_path):
    """Figures, digests, types and bounds; each alone."""
    graph, file = build_graph(SPEC), tmp_path / "held.json"
    file.write_text(json.dumps({**certificate_of(graph, "text"), **changed}))
    assert read_certificate(file, graph, "text") is None


@pytest.mark.parametrize("key", ["layers", "expected_layers", "edges", "expected_edges", "block"])
def test_blocks_must_have_the_graphs_counts(key, tmp_path):
    """Each figure of each block."""
    graph, file = build_graph(SPEC), tmp_path / "held.json"
    held = certificate_of(graph, "text")
    held["blocks"][1][key] = "another" if key == "block" else 1_000
    file.write_text(json.dumps(held))
    assert read_certificate(file, graph, "text") is None


@pytest.mark.parametrize("key", sorted(certificate_of(build_graph(SPEC), "")))
def test_nothing_of_a_certificate_may_be_missing(key, tmp_path):
    """What is not said is not taken for granted."""
    graph, file = build_graph(SPEC), tmp_path / "held.json"
    held = certificate_of(graph, "text")
    del held[key]
    file.write_text(json.dumps(held))
    assert read_certificate(file, graph, "text") is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "\0", "[" * 100_000, " " * (MAX_BYTES + 1)]
)
def test_what_is_no_certificate_is_none(text, tmp_path):
    """Whatever lies there, and wherever nothing can be read."""
    file = tmp_path / "held.json"
    file.write_text(text)
    assert read_certificate(file, build_graph(SPEC), "text") is None
    assert read_certificate(tmp_path, build_graph(SPEC), "text") is None
    os.mkfifo(tmp_path / "pipe")
    assert read_certificate(tmp_path / "pipe", build_graph(SPEC), "text") is None


def test_a_module_that_computes_something_else_is_refused(cache):
    """A writer with a bug: one eps is another. It is not remembered."""
    text = emitted()
    broken = text.replace(
        "norm(in_channels)", "nn.BatchNorm2d(in_channels, eps=0.001, momentum=0.9)"
    )
    assert broken != text
    with pytest.raises(ModelFileError, match=r"R106 .*eps 0.001, the spec says 1e-05"):
        certify_built(SPEC, build_graph(SPEC), broken)
    assert not cache.exists()


def test_a_module_that_cannot_be_compiled_is_said_so(cache, tmp_path, monkeypatch):
    """And how to go on without a certificate;
    what MindSpore leaves of it does not lie where the user works.
    """
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(
        ModelFileError, match=r"R107 could not be compiled and read back: .*--no-certify"
    ):
        certify_built(SPEC, build_graph(SPEC), emitted().replace("ops.relu", "ops.rellu"))
    assert not cache.exists()
    assert not list((tmp_path / "work").iterdir())


GIVEN = ("densenetbc_digits", "--set", "block_config=[2, 2]", "--set", "growth_rate=4")


def test_build_certifies_unless_told_not_to(cache, tmp_path):
    """The folder keeps the certificate."""
    assert "certified: 6 of 6" in passed(densenet("build", *GIVEN, "-o", "made", cwd=tmp_path))
    assert json.loads((tmp_path / "made" / "certificate.json").read_text())["equal"] is True
    assert len(list(cache.iterdir())) == 1
    assert "certified" not in passed(
        densenet("build", *GIVEN, "-o", "other", "--no-certify", cwd=tmp_path)
    )
    assert not (tmp_path / "other" / "certificate.json").exists()


@pytest.mark.slow
def test_train_certifies_and_keeps_it_in_the_run_directory(cache, tmp_path):
    """A run that cannot be made is refused before anything is certified."""
    assert "certified: 6 of 6" in passed(
        densenet("train", *GIVEN, "--epochs", 1, "--out", "run", cwd=tmp_path)
    )
    assert json.loads((tmp_path / "run" / "certificate.json").read_text())["equal"] is True
    assert len(list(cache.iterdir())) == 1
    refused(densenet("train", *GIVEN, "--out", "run", cwd=tmp_path), "T001")


@pytest.mark.slow
def test_whoever_is_killed_leaves_no_compilation_behind(cache, tmp_path):
    """A scheduler ends the process that waits; MindSpore would compile on for minutes."""
    command = [sys.executable, "-m", "densenet_cli", "build", "densenet201", "-o", "built"]
    waiting = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        compiling = wait_for_child(waiting)
    finally:
        waiting.kill()
        waiting.wait()
    _, alive = psutil.wait_procs([compiling], timeout=3)
    assert not alive


def wait_for_child(parent):
    """The process that compiles, once MindSpore is in it."""
    for _ in range(600):
        for child in psutil.Process(parent.pid).children():
            with suppress(psutil.Error):
                if any("_c_expression" in part.path for part in child.memory_maps()):
                    return child
        time.sleep(0.1)
    raise AssertionError("nothing was compiled")
