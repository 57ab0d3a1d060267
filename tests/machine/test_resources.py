"""What a machine has, beside what the system's own programs say of it."""

import json
import os
import resource
import subprocess
import sys
from importlib.metadata import version

from conftest import densenet, passed


def read_findings(tmp_path, no_mindspore, **more):
    text = passed(densenet("doctor", "--json", cwd=tmp_path, env={**no_mindspore, **more}))
    found = json.loads(text)
    assert found["is_ready"]
    return {finding["subject"]: finding for finding in found["findings"]}


def test_the_doctor_finds_what_the_system_says_without_starting_mindspore(tmp_path, no_mindspore):
    found = read_findings(tmp_path, no_mindspore, ONEDNN_MAX_CPU_ISA="AVX512_CORE")
    mindspore = found["MindSpore"]
    assert (mindspore["level"], mindspore["cure"]) == ("ok", "")
    assert mindspore["found"].startswith(f"{version('mindspore')}: inside the tested range ")
    # nproc would say OMP_NUM_THREADS, which some tests' processes have.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    cores = subprocess.run(["nproc"], capture_output=True, text=True, check=True, env=plain).stdout
    assert found["processors"]["found"] == cores.strip()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert found["open files"]["found"] == f"{files:,} at once"
    assert os.path.realpath(tmp_path) in found["disk"]["found"]
    if os.uname().machine == "x86_64":
        assert found["convolutions"]["level"] == "warning"


def test_too_few_files_are_a_warning_with_the_cure(tmp_path):
    """A real limit, of a process of its own."""
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)); "
        "from pathlib import Path; from archspec.machine.resources import examine_resources; "
        "print([f for f in examine_resources(Path()) if f.subject == 'open files'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "level='warning', found='256 at once', cure='ulimit -n 65536'" in done.stdout
