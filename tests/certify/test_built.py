"""The network that MindSpore really compiles is certified, in a process of its own, once."""

import json

import pytest
from conftest import densenet, passed, refused

from archspec.certify.built import certify_built, words
from archspec.errors import ModelFileError
from archspec.graph.build import build_graph
from archspec.passes.verify import verified
from archspec.spec.load import load_spec
from archspec.writers.module import write_module

SPEC = load_spec("densenetbc_digits", ["block_config=[2, 2]", "growth_rate=4"])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache folder of the test's own."""
    monkeypatch.setenv("DENSENET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "certificates"


def emitted() -> str:
    return write_module(build_graph(SPEC))


def test_the_compiled_network_is_found_equal_and_remembered(cache):
    """The second time the certificate comes from the cache: what stands there is what is given, if it is equal."""
    graph = verified(build_graph(SPEC))
    found = certify_built(SPEC, graph, emitted())
    assert [block["edges"] for block in found["blocks"]] == [3, 3]
    assert "6 of 6 direct connections" in words(found)
    (kept,) = cache.iterdir()
    kept.write_text(json.dumps({**found, "params": 7}))
    assert certify_built(SPEC, graph, emitted())["params"] == 7
    kept.write_text(json.dumps({**found, "equal": False, "differences": ["of an older version"]}))
    assert certify_built(SPEC, graph, emitted())["equal"]
    kept.write_text("{")
    assert certify_built(SPEC, graph, emitted())["params"] == found["params"]


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


def test_a_module_that_cannot_be_compiled_is_said_so(cache):
    """And how to go on without a certificate."""
    with pytest.raises(
        ModelFileError, match=r"R107 could not be compiled and read back: .*--no-certify"
    ):
        certify_built(SPEC, build_graph(SPEC), emitted().replace("ops.relu", "ops.rellu"))
    assert not cache.exists()


def test_build_and_train_certify_unless_told_not_to(cache, tmp_path):
    """The folder and the run directory keep the certificate."""
    given = ("densenetbc_digits", "--set", "block_config=[2, 2]", "--set", "growth_rate=4")
    assert "certified: 6 of 6" in passed(densenet("build", *given, "-o", "made", cwd=tmp_path))
    assert json.loads((tmp_path / "made" / "certificate.json").read_text())["equal"] is True
    assert "certified: 6 of 6" in passed(
        densenet("train", *given, "--epochs", 1, "--out", "run", cwd=tmp_path)
    )
    assert json.loads((tmp_path / "run" / "certificate.json").read_text())["equal"] is True
    assert len(list(cache.iterdir())) == 1
    assert "certified" not in passed(
        densenet("build", *given, "-o", "other", "--no-certify", cwd=tmp_path)
    )
    assert not (tmp_path / "other" / "certificate.json").exists()
    refused(densenet("train", *given, "--out", "run", cwd=tmp_path), "T001")
