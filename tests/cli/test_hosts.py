"""Files of hosts, as OpenMPI and DeepSpeed have them, and what is wrong in one."""

import shlex
import subprocess

import pytest
from conftest import TINY, densenet, passed

from archspec.errors import TrainingError
from densenet_cli.hosts import MOST_BYTES, choose_devices, read_hosts


@pytest.fixture
def written(tmp_path):
    def write(text):
        file = tmp_path / "hosts"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return write


def test_hosts_stand_a_line_each(written):
    """Comments, empty lines, users, tabs, Windows' ends of lines, OpenMPI's other key."""
    file = written("# all\n\na slots=8\r\nme@b.cluster\tslots=4 max_slots=8 # new\n10.0.0.5\n")
    hosts = read_hosts(file)
    assert [(host.line, host.name, host.address, host.slots) for host in hosts] == [
        (3, "a", "a", 8),
        (4, "me@b.cluster", "b.cluster", 4),
        (5, "10.0.0.5", "10.0.0.5", None),
    ]


def test_an_ipv6_address_stands_with_or_without_brackets(written):
    """ssh takes it without, `--master` with them, since a port may follow."""
    file = written("fd00::5 slots=8\nme@[fd00::6] slots=8\n[fe80::1%eth0]\n::1\n")
    assert [(host.name, host.address) for host in read_hosts(file)] == [
        ("fd00::5", "[fd00::5]"),
        ("me@fd00::6", "[fd00::6]"),
        ("fe80::1%eth0", "[fe80::1%eth0]"),
        ("::1", "[::1]"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a slots=0", ":1", "slots=0 is not slots=N"),
        ("a slots=", ":1", "slots= is not slots=N"),
        ("a slots=99999", ":1", "slots=99999 is not"),
        ("a\nb 4", ":2", "4 is not slots=N"),
        ("a sockets=2", ":1", "sockets=2 is not"),
        ("-oProxyCommand=x", ":1", "is no name of a host"),
        ("a;reboot", ":1", "is no name of a host"),
        ("[fd00::5 slots=8", ":1", "[fd00::5 is no name of a host"),
        ("[fd00::5]:22", ":1", "is no name of a host"),
        ("a:22", ":1", "is no name of a host"),
        ("fd00::5\n[fd00::5]", ":2", "fd00::5 stands in line 1 too"),
        ("A\nb\na slots=8", ":3", "a stands in line 1 too"),
        ("node.Cluster\nme@NODE.cluster.", ":2", "me@NODE.cluster. stands in line 1 too"),
        ("fd00::a\nFD00:0:0::000A", ":2", "FD00:0:0::000A stands in line 1 too"),
        ("10.0.0.5\n::FFFF:10.0.0.5", ":2", "::FFFF:10.0.0.5 stands in line 1 too"),
        ("localhost\n127.0.0.1", ":2", "127.0.0.1 stands in line 1 too"),
        ("me@::1\nb\nLocalHost", ":3", "LocalHost stands in line 1 too"),
        ("a slots=2 slots=1", ":1", "a has slots= twice"),
        ("\n\nx@-a", ":3", "is no name of a host"),
        ("a\nb\nme@a", ":3", "me@a stands in line 1 too"),
        ("", "", "names no host"),
        ("# a\n", "", "names no host"),
        (b"\xff\xfe", "", "is no text in UTF-8"),
        ("a\n" * MOST_BYTES, "", "is larger than 65,536 bytes"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text, line, words, written):
    file = written(text)
    with pytest.raises(TrainingError) as caught:
        read_hosts(file)
    (fault,) = caught.value.diagnostics
    assert (fault.code, fault.where) == ("T010", f"{file}{line}")
    assert words in fault.message


def test_a_mark_that_an_editor_puts_before_all_is_no_part_of_a_name(written):
    """As some write UTF-8 on Windows."""
    assert [host.name for host in read_hosts(written(b"\xef\xbb\xbfa slots=2\r\nb"))] == ["a", "b"]


@pytest.mark.parametrize("text", ["a:2", "me@10.0.0.5:22 slots=2"])
def test_a_number_behind_a_name_is_told_where_it_belongs(text, written):
    """MPICH's way to count processes, and ssh's port."""
    with pytest.raises(TrainingError) as caught:
        read_hosts(written(text))
    (fault,) = caught.value.diagnostics
    assert fault.message == f"{text.split()[0]} is no name of a host"
    assert "slots=N, and a port of ssh stands in ~/.ssh/config" in fault.hint


def test_a_file_that_is_none_is_told(tmp_path):
    for path, words in ((tmp_path, "Is a directory"), (tmp_path / "x", "No such file")):
        with pytest.raises(TrainingError, match=f"T010 cannot be read: {words}"):
            read_hosts(path)


@pytest.mark.parametrize(
    ("text", "typed", "found"),
    [
        ("a slots=8\nb slots=8", None, 8),
        ("a slots=8\nb slots=4", 4, 4),
        ("a\nb", None, 1),
        ("a\nb slots=4", 4, 4),
        ("a slots=8\nb slots=4", None, "have other numbers of slots (--devices 4 takes so many)"),
        ("a\nb slots=1", 2, ":2 T010 b has 1 slot, --devices says 2"),
        ("a slots=8\nb slots=4", 6, ":2 T010 b has 4 slots, --devices says 6"),
    ],
)
def test_all_hosts_have_as_many_devices(text, typed, found, written):
    """What is typed must fit into each."""
    file = written(text)
    hosts = read_hosts(file)
    if isinstance(found, int):
        assert choose_devices(file, hosts, typed) == found
        return
    with pytest.raises(TrainingError) as caught:
        choose_devices(file, hosts, typed)
    assert found in str(caught.value)


@pytest.mark.slow
def test_a_dry_run_of_one_host_prints_its_line(written, tmp_path):
    """Behind it, what the run would be."""
    written("alone slots=1\n")
    words = ("train", *TINY, "-o", "run", "--hostfile", "hosts", "--dry-run")
    shown = passed(densenet(*words, cwd=tmp_path)).splitlines()
    line = "densenet train --set 'block_config=[1, 1]' --set growth_rate=4 -o run --devices 1"
    assert shown[:2] == ["# on alone:", line]
    assert shown[-1] == "Nothing was started or written."


def test_each_command_is_one_line_that_can_be_copied(no_mindspore, written, tmp_path):
    """Whatever stands in its words; what a host's own shell reads is quoted once more."""
    written("a\nb\n")
    words = ("train", "-o", "a\nrun", "--hostfile", "hosts")
    shown = passed(densenet(*words, cwd=tmp_path, env=no_mindspore)).splitlines()
    placed = "--devices 1 --nodes 2 --node-rank {} --master a:8118"
    lines = [rf"densenet train -o $'a\nrun' {placed.format(rank)}" for rank in (0, 1)]
    assert shown == ["# on a:", lines[0], "# on b:", lines[1]]
    by_ssh = ("--ssh", "--ssh-setup", "cd 'x\ty'\n", "--dry-run")
    done = densenet(*words, *by_ssh, cwd=tmp_path, env=no_mindspore)
    remote = [line for line in done.stdout.splitlines() if line[:4] == "ssh "]
    assert len(remote) == 2
    read = subprocess.run(
        ["bash", "-c", f"ssh() {{ printf '%s\\0' \"$@\"; }}; {remote[1]}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    assert read[-3] == "b"
    line = shlex.split(read[-2])
    assert line[:2] == ["eval", "cd 'x\ty'\n"]
    assert line[line.index("-o") + 1] == "a\nrun"
    go_on = r"DENSENET_GO_ON_WITH=--hostfile hosts --ssh --ssh-setup $'cd \'x\ty\'\n'"
    assert go_on in line


@pytest.mark.slow
def test_each_hosts_command_is_printed_and_nothing_started(no_mindspore, written, tmp_path):
    """The words that were typed, but for those of the file; the first host is node 0."""
    written("a slots=4\nme@b slots=4\n")
    words = ("train", *TINY, "-o", "a run", "--hostfile", "hosts")
    same = "densenet train --set 'block_config=[1, 1]' --set growth_rate=4 -o 'a run'"
    shown = passed(densenet(*words, cwd=tmp_path, env=no_mindspore)).splitlines()
    placed = "--devices 4 --nodes 2 --node-rank {} --master a:8118"
    assert shown[1::2] == [f"{same} {placed.format(rank)}" for rank in (0, 1)]
    assert shown[::2] == ["# on a:", "# on me@b:"]
    more = ("--hang-after", 600, "--ssh", "--ssh-setup", ". mine", "--dry-run")
    done = densenet(*words, *more, cwd=tmp_path, env=no_mindspore)
    remote = [shlex.split(line) for line in done.stdout.splitlines() if line[:4] == "ssh "]
    told = {"DENSENET_UNTIL_STDIN_ENDS": "1"}
    told["DENSENET_GO_ON_WITH"] = "--hostfile hosts --ssh --ssh-setup '. mine' --hang-after 600"
    setting = shlex.join(f"{name}={value}" for name, value in told.items())
    assert [line[-2:] for line in remote] == [
        [
            host,
            "eval '. mine' && echo 'densenet starts' >&2 && "
            f"exec env {setting} {same} --hang-after 600 {placed.format(rank)}",
        ]
        for rank, host in enumerate(("a", "me@b"))
    ]
    other = ("--devices", 2, "--master", "fast:9000")
    shown = passed(densenet(*words, *other, cwd=tmp_path, env=no_mindspore)).splitlines()
    assert shown[3] == f"{same} --devices 2 --nodes 2 --node-rank 1 --master fast:9000"
    for more in (("--nodes", 2), ("--node-rank", 1)):
        done = densenet(*words, *more, cwd=tmp_path, env=no_mindspore)
        assert (done.returncode, "hosts says that of all" in done.stderr) == (2, True)
    for more, rule in (
        (("--ssh",), "goes with --hostfile"),
        (("--ssh-setup", ". mine"), "goes with --ssh"),
        (("--hostfile", "hosts", "--ssh-setup", ". mine", "-o", "run"), "goes with --ssh"),
        (("--hostfile", "hosts", "--restarts", 2, "-o", "run"), "goes with one machine: several"),
    ):
        done = densenet("train", *more, cwd=tmp_path, env=no_mindspore)
        assert (done.returncode, rule in done.stderr) == (2, True), done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["hosts"]
