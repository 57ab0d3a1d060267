"""`benchmarks/ascend.sh`: each line that it runs is one that the commands take, and all of them
stand in one report.
"""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks/ascend.sh"
# Nothing is trained; a run that would go on, or be judged, is not there.
DENSENET = """#!/bin/sh
echo "$@" >>{folder}/lines
case "$*" in *--resume*|validate*) exit 0;; esac
case "$1" in train) set -- "$@" --dry-run;; esac
exec {python} -m densenet_cli "$@"
"""
SSH = '#!/bin/sh\necho "ssh $*" >>{folder}/lines\n'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hosts", "setup", "second"),
    [
        ("", "", ""),
        (
            "# two\n10.0.0.5 slots=2\nme@10.0.0.6 slots=2\n",
            ". mine",
            "me@10.0.0.6 . mine && densenet",
        ),
        (
            "[fd00::5] slots=2\nme@[fd00::6] slots=2\n",
            "",
            "me@fd00::6 cd {folder} && {folder}/programs/densenet",
        ),
    ],
)
def test_every_line_is_taken_and_is_in_the_report(hosts, setup, second, tmp_path):
    """On one machine, and on several where a file names them; without words to set them up they
    have the same folder and program.
    """
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (("densenet", DENSENET), ("ssh", SSH)):
        (programs / name).write_text(text.format(folder=tmp_path, python=sys.executable))
        (programs / name).chmod(0o755)
    told = {"TARGET": "CPU", "DEVICES": "2", "PATH": f"{programs}:{os.environ['PATH']}"}
    if hosts:
        (tmp_path / "hosts").write_text(hosts)
        told |= {"HOSTFILE": "hosts", "SHARED": str(tmp_path / "shared"), "SETUP": setup}
    environment = {**os.environ, **told}
    command = ["bash", str(SCRIPT)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    ended = [line for line in done.stdout.splitlines() if line.startswith("-- ")]
    assert ended
    assert not [line for line in ended if "ended with 0 " not in line]
    lines = (tmp_path / "lines").read_text().splitlines()
    several = [line for line in lines if "--hostfile hosts" in line]
    doctors = [line for line in lines if line.startswith("ssh ")]
    assert (len(several), len(doctors)) == ((5, 2) if hosts else (0, 0))
    if hosts:
        set_up = f" --ssh-setup {setup}" if setup else ""
        assert f"--ssh{set_up} --epochs 3 -o" in several[1]
        line = f"{second.format(folder=tmp_path)} doctor --device-target CPU"
        assert doctors[1].endswith(line)
    with tarfile.open(tmp_path / "ascend-report.tar.gz") as report:
        names = report.getnames()
    assert {"ascend-report/report.txt", "ascend-report/digits-all.txt"} < {*names}
    assert ("ascend-report/nodes-digits.txt" in names) == bool(hosts)
