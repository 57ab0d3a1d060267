"""Manifests: as they are written, by the published schemas, and what their shells do."""

import json
import os
import re
import subprocess
from functools import cache
from pathlib import Path

import jsonschema
import pytest
import yaml

from archspec.train.cluster.job import Job
from archspec.train.cluster.kubernetes import Place, write_indexed_job, write_volcano_job

ROOT = Path(__file__).parents[3]
SCHEMAS = ROOT / "tests/schemas"
WORDS = ("densenet121", "--data-dir", "it's $(HOME) $$run: #1", "--device-target", "Ascend")
TWO_MACHINES = Job("densenet121", WORDS, None, nodes=2, devices=8, resource="huawei.com/Ascend910")
ALL_SAID = Job(
    "on", ("net.yaml", "--out", "a: $$b"), "a: $$b", nodes=3, cpus=4, memory="8Gi", resource="a/b"
)
ONE_PROCESS = Job("null", ("net.yaml",), None)
RESUMED = Job("run", ("--resume", "run"), None, resumes=True, nodes=2)
JOBS = {"two": TWO_MACHINES, "all": ALL_SAID, "one": ONE_PROCESS, "resumed": RESUMED}
PLACE = Place("registry.example.org:5000/densenet:1", "training", "/data", "vision")
WRITERS = {"kubernetes": write_indexed_job, "volcano": write_volcano_job}
INDEX = {"kubernetes": "JOB_COMPLETION_INDEX", "volcano": "VC_TASK_INDEX"}


@pytest.mark.parametrize("form", WRITERS)
def test_the_manifest_says_what_it_is_expected_to(form):
    """RENEW_GOLDEN=1 writes it anew."""
    golden = ROOT / f"tests/golden/launch_{form}.yaml"
    text = WRITERS[form](TWO_MACHINES, Place("registry.example.org/densenet:1.0", "training"))
    if os.environ.get("RENEW_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


def kubernetes_schema(kind):
    schemas = json.loads((SCHEMAS / "kubernetes-1.32.json").read_text())
    return {**schemas["kinds"][kind], "$defs": schemas["$defs"]}


def volcano_schema():
    # A long file: libyaml's reader takes a tenth of the time.
    reader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    definition = yaml.load((SCHEMAS / "volcano-jobs.yaml").read_text(), reader)
    (version,) = [v for v in definition["spec"]["versions"] if v["name"] == "v1alpha1"]
    schema = close(version["schema"]["openAPIV3Schema"])
    # Kubernetes itself knows the fields of any object's metadata, and refuses others.
    known = kubernetes_schema("batch/v1 Job")
    schema["properties"]["metadata"] = known["properties"]["metadata"]
    return {**schema, "$defs": known["$defs"]}


def close(schema):
    """A definition's schema as Kubernetes reads it: what it does not name is a fault."""
    if isinstance(schema, list):
        return [close(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: close(part) for key, part in schema.items()}
    is_open = schema.get("x-kubernetes-preserve-unknown-fields", False)
    if isinstance(schema.get("properties"), dict) and not is_open:
        closed["additionalProperties"] = False
    return closed


@cache
def find_validator(kind):
    """The one of a version and kind; KeyError where there is none."""
    schema = volcano_schema() if "volcano" in kind else kubernetes_schema(kind)
    return jsonschema.Draft7Validator(schema)


def check(manifest):
    validator = find_validator(f"{manifest['apiVersion']} {manifest['kind']}")
    for fault in validator.iter_errors(manifest):
        raise AssertionError(fault.message)


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
@pytest.mark.parametrize("form", WRITERS)
def test_manifests_are_valid_by_the_published_schemas(form, job):
    """Each document, none with a field too many; names stay words whatever YAML takes them for."""
    manifests = [*yaml.safe_load_all(WRITERS[form](job, PLACE))]
    assert len(manifests) == 1 + (form == "kubernetes" and job.nodes > 1)
    for manifest in manifests:
        check(manifest)
        assert manifest["metadata"] == {"name": job.name, "namespace": "vision"}


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize(
    "place",
    [("spec",), ("metadata",), ("spec", "template", "spec"), ("spec", "template", "spec", 0)],
    ids=["job", "metadata", "pod", "container"],
)
def test_the_schemas_refuse_a_field_that_is_none_and_a_value_of_another_type(form, place):
    """So a manifest that passes has no typo in it."""
    manifest = [*yaml.safe_load_all(WRITERS[form](TWO_MACHINES, PLACE))][-1]
    part = manifest
    for key in place:
        if key == "template" and form == "volcano":
            (part,) = part["tasks"]
        part = part["containers"][0] if key == 0 else part[key]
    part["imagePullPolicies"] = "Always"
    with pytest.raises(AssertionError, match="imagePullPolicies"):
        check(manifest)
    del part["imagePullPolicies"]
    check(manifest)
    part["labels" if place == ("metadata",) else "volumeMounts"] = 5
    with pytest.raises(AssertionError):
        check(manifest)


def test_an_unknown_version_has_no_schema():
    """What cannot be looked up is a failure, and no pass."""
    with pytest.raises(KeyError):
        check({"apiVersion": "batch/v2", "kind": "Job"})


def expand(text, environment):
    """What Kubernetes makes of arguments: `$$` is a dollar, `$(NAME)` a variable that is set."""

    def replaced(found):
        return "$" if found[0] == "$$" else environment.get(found[1], found[0])

    return re.sub(r"\$\$|\$\((\w+)\)", replaced, text)


@pytest.mark.parametrize("has_begun", [False, True])
@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
@pytest.mark.parametrize("form", WRITERS)
def test_the_words_arrive_whole_with_their_place_and_a_run_goes_on(
    form, job, index, has_begun, tmp_path
):
    """As Kubernetes and the pod's shell make them of the manifest, whatever is in the words."""
    spec = [*yaml.safe_load_all(WRITERS[form](job, PLACE))][-1]["spec"]
    template = spec["tasks"][0]["template"] if form == "volcano" else spec["template"]
    (container,) = template["spec"]["containers"]
    environment = {"HOME": "/root", "HOSTNAME": "this", INDEX[form]: str(index)}
    program = tmp_path / "densenet"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    out = job.out or f"runs/{job.name}"
    if has_begun:
        (tmp_path / out).mkdir(parents=True)
        (tmp_path / out / "run.json").touch()
    words = [expand(word, environment) for word in (*container["command"], *container["args"])]
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        words, cwd=tmp_path, env={**environment, "PATH": path}, capture_output=True, check=True
    )
    expected = ["train", *job.words]
    if has_begun and not job.resumes:
        expected = ["train", "--resume", out]
    elif not job.resumes:
        expected += ["--devices", str(job.devices)] if job.devices > 1 else []
        expected += ["--out", out] if job.out is None else []
    if job.nodes > 1:
        pod = f"{job.name}-0" if form == "kubernetes" else f"{job.name}-node-0"
        master = f"{pod}.{job.name}" if index else "this"
        expected += ["--nodes", str(job.nodes), "--node-rank", str(index)]
        expected += ["--master", f"{master}:8118"]
    assert done.stdout.decode().splitlines() == expected


def test_a_pod_has_what_the_job_wishes():
    """Devices, cores and memory; nothing where nothing is wished."""
    (job,) = [*yaml.safe_load_all(write_indexed_job(ONE_PROCESS, PLACE))]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert "resources" not in container
    _, job = yaml.safe_load_all(write_indexed_job(ALL_SAID, PLACE))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {"limits": {"a/b": "1", "cpu": "4", "memory": "8Gi"}}
