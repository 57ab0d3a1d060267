"""Training on several machines, which are network namespaces here, and what cannot be one."""

import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest
import typer
from conftest import TINY, densenet, passed
from two_machines import finish, has_epochs, join_machines, separate, wait_for

from archspec.errors import TrainingError
from archspec.train.distributed.nodes import Node, check_nodes
from densenet_cli.this_machine import parse_master, read_node


@pytest.fixture
def machines():
    with join_machines() as pair:
        yield pair


def words_of(machines, rank, *words, nodes=2):
    place = ("--node-rank", rank, "--master", f"{machines[0].address}:8118")
    return ("train", *words, "--nodes", nodes, *place)


def start_both(machines, folder, *words):
    """Node 1 first, which waits for node 0."""
    processes = []
    for rank in (1, 0):
        told = words_of(machines, rank, *words)
        processes.append(machines[rank].start(*told, cwd=folder))
    return processes[::-1]


def left_on(machines):
    return [machine.list_processes() for machine in machines]


@pytest.mark.slow
def test_two_machines_train_what_one_with_two_processes_does(machines, tmp_path):
    """To the bit. Node 0 alone shows how it goes, the other says what it waits for."""
    new = (*TINY, "--epochs", 2, "--out", "run")
    (code, text, errors), (other_code, other_text, other_errors) = finish(
        *start_both(machines, tmp_path, *new)
    )
    assert (code, other_code, errors, other_errors) == (0, 0, "", "")
    assert "global batch 128 = 2 devices x 64 images" in text
    assert "\nstarting 2 processes\n" in text
    assert "epoch 2/2" in text
    assert "epoch" not in other_text
    assert f"node 1 of 2 waits for node 0 at {machines[0].address}:8118" in other_text
    passed(densenet("train", *TINY, "--epochs", 2, "--devices", 2, "--out", "alone", cwd=tmp_path))
    for name in ("last.ckpt", "best.ckpt"):
        files = [tmp_path / run / "checkpoints" / name for run in ("run", "alone")]
        assert files[0].read_bytes() == files[1].read_bytes()
    assert left_on(machines) == [{}, {}]


@pytest.mark.slow
def test_a_worker_that_is_killed_ends_both_machines_and_the_run_goes_on(machines, tmp_path):
    """Each names node, rank and the signal; --resume goes on to the same weights."""
    new = (*TINY, "--epochs", 6, "--out", "run")
    both = start_both(machines, tmp_path, *new)
    wait_for(has_epochs(tmp_path / "run", 2), *both)
    os.kill(machines[1].find_worker(), signal.SIGKILL)
    (code, _, errors), (other_code, _, other_errors) = finish(*both)
    assert (code, other_code) == (1, 1)
    assert "T023 node 1 (" in errors
    assert "): T011 rank 1 was ended by SIGKILL" in errors
    assert f"go on with: densenet train --resume {tmp_path}/run --nodes 2 --node-rank 0" in errors
    assert other_errors.startswith(f"{tmp_path}/run/workers/node_1/worker_1.log T011 rank 1 was")
    assert left_on(machines) == [{}, {}]
    resumed = finish(*start_both(machines, tmp_path, "--resume", "run"))
    assert [code for code, _, _ in resumed] == [0, 0]
    passed(densenet("train", *TINY, "--epochs", 6, "--devices", 2, "--out", "alone", cwd=tmp_path))
    files = [tmp_path / run / "checkpoints" / "last.ckpt" for run in ("run", "alone")]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(("rank", "number"), [(0, signal.SIGTERM), (1, signal.SIGINT)])
def test_a_signal_to_one_machine_ends_both_behind_one_step(rank, number, machines, tmp_path):
    """All save; the other one says who was interrupted."""
    run = tmp_path / "run"
    both = start_both(machines, tmp_path, *TINY, "--epochs", 100, "--out", "run")
    wait_for(has_epochs(run, 1), *both)
    # What was started is `ip netns exec`, which becomes the program.
    both[rank].send_signal(number)
    ends = finish(*both)
    assert ends[rank][0] == 128 + number
    assert ends[rank][2] == ""
    assert "Interrupted" in ends[rank][1]
    assert ends[1 - rank][0] == 1
    assert f"T023 node {rank} (" in ends[1 - rank][2]
    assert "was interrupted" in ends[1 - rank][2]
    assert "T011" not in ends[1 - rank][2]
    assert left_on(machines) == [{}, {}]
    passed(densenet("validate", "run", cwd=tmp_path))


@pytest.mark.slow
def test_a_machine_that_vanishes_is_missed_by_the_other(machines, tmp_path):
    """SIGKILL of its launcher takes all with it and says nothing; node 0 ends nevertheless."""
    both = start_both(machines, tmp_path, *TINY, "--epochs", 1000, "--out", "run")
    wait_for(has_epochs(tmp_path / "run", 1), *both)
    both[1].kill()
    ((code, _, errors),) = finish(both[0])
    assert code == 1
    assert "T023 node 1 (" in errors
    assert "it has vanished" in errors
    assert left_on(machines) == [{}, {}]


@pytest.mark.slow
def test_a_signal_before_the_first_step_ends_both_machines(machines, tmp_path):
    """There is nothing to save: node 0 is told that node 1 was interrupted."""
    both = start_both(machines, tmp_path, *TINY, "--epochs", 100, "--out", "run")
    wait_for((tmp_path / "run/workers/node_1/worker_1.log").exists, *both)
    both[1].send_signal(signal.SIGINT)
    (code, _, errors), (other_code, _, _) = finish(*both)
    assert (code, other_code) == (1, 130)
    assert "was interrupted" in errors
    assert left_on(machines) == [{}, {}]


@pytest.mark.slow
def test_what_is_no_part_of_the_run_is_refused_and_the_right_one_may_still_come(machines, tmp_path):
    """A folder that is not shared, a rank that is taken: T022 in one line; node 0 waits on."""
    (tmp_path / "elsewhere").mkdir()
    new = (*TINY, "--epochs", 100, "--out", "run")
    first = machines[0].start(*words_of(machines, 0, *new), cwd=tmp_path)
    other = machines[1].start(*words_of(machines, 1, *new), cwd=tmp_path / "elsewhere")
    ((code, _, errors),) = finish(other)
    assert code == 1
    assert errors.startswith("run T022 node 0 listens at ")
    assert "must lie on storage that all nodes share" in errors
    second = machines[1].start(*words_of(machines, 1, *new), cwd=tmp_path)
    wait_for(has_epochs(tmp_path / "run", 1), first, second)
    third = machines[1].start(*words_of(machines, 1, *new), cwd=tmp_path)
    ((code, _, errors),) = finish(third)
    assert (code, "T022 node 1 of 2 is process " in errors) == (1, True)
    first.send_signal(signal.SIGTERM)
    assert [code for code, _, _ in finish(first, second)] == [143, 1]
    assert left_on(machines) == [{}, {}]


@pytest.mark.slow
def test_a_node_of_other_words_ends_the_run_with_the_reason(machines, tmp_path):
    """Node 0 says it too, rather than to wait for its patience."""
    new = (*TINY, "--epochs", 100, "--out", "run")
    first = machines[0].start(*words_of(machines, 0, *new), cwd=tmp_path)
    second = machines[1].start(*words_of(machines, 1, *new, "--devices", 2), cwd=tmp_path)
    (code, _, errors), (other_code, _, other_errors) = finish(first, second)
    assert (code, other_code) == (1, 1)
    rule = "T010 the run has 1 devices on each node, --devices says 2"
    assert other_errors == f"{tmp_path}/run {rule} (the same words on all nodes)\n"
    assert "T023 node 1 (" in errors
    assert f"): {rule}" in errors
    assert left_on(machines) == [{}, {}]


@pytest.mark.slow
def test_a_network_that_is_lost_ends_both_machines_where_the_storage_is_not(machines, tmp_path):
    """Node 1 asks node 0, and tells it by the folder that both have."""
    new = (*TINY, "--epochs", 1000, "--out", "run", "--hang-after", 10)
    both = start_both(machines, tmp_path, *new)
    wait_for(has_epochs(tmp_path / "run", 1), *both)
    subprocess.run(["ip", "-n", machines[1].name, "link", "set", "cable", "down"], check=True)
    (code, _, errors), (other_code, _, other_errors) = finish(*both)
    assert (code, other_code) == (1, 1)
    assert "T022 node 0 cannot be reached any more" in other_errors
    assert "T023 node 1 (" in errors
    assert "): T022 node 0 cannot be reached any more" in errors
    assert left_on(machines) == [{}, {}]


@pytest.mark.slow
def test_a_network_that_is_lost_between_two_others_than_node_0_ends_all_machines(tmp_path):
    """As soon as one to node 0, though each of them reaches that: both ask each other."""
    new = (*TINY, "--epochs", 1000, "--out", "run", "--hang-after", 10)
    with join_machines(3) as machines:
        processes = []
        for rank in (2, 1, 0):
            told = words_of(machines, rank, *new, nodes=3)
            processes.append(machines[rank].start(*told, cwd=tmp_path))
        wait_for(has_epochs(tmp_path / "run", 1), *processes)
        separate(machines[1], machines[2])
        second, first, zeroth = finish(*processes)
        assert left_on(machines) == [{}, {}, {}]
    assert [code for code, _, _ in (zeroth, first, second)] == [1, 1, 1]
    lost = "cannot be reached any more"
    by_first = f"T022 node 2 ({machines[2].address}) {lost}" in first[2]
    by_second = f"T022 node 1 ({machines[1].address}) {lost}" in second[2]
    assert by_first or by_second
    assert lost in zeroth[2]
    assert "T023 node " in zeroth[2]
    assert f"node 0 {lost}" not in first[2] + second[2] + zeroth[2]


@pytest.mark.slow
def test_of_two_runs_that_begin_together_on_one_port_one_begins(machines, tmp_path):
    """The other one is told so before it has made anything."""
    both = []
    for out in ("one", "two"):
        told = words_of(machines, 0, *TINY, "--out", out)
        both.append(machines[0].start(*told, cwd=tmp_path))
    wait_for(lambda: any(process.poll() is not None for process in both))
    refused = next(process for process in both if process.poll() is not None)
    ((code, text, errors),) = finish(refused)
    assert (code, text) == (1, "")
    assert "T012 node 0 cannot listen at " in errors
    assert "another run of this machine has begun with that port" in errors
    (other,) = [process for process in both if process is not refused]
    wait_for(lambda: any(tmp_path.glob("*/workers/node_0.json")), other)
    other.send_signal(signal.SIGTERM)
    assert finish(other)[0][0] == 143
    assert left_on(machines) == [{}, {}]


@pytest.mark.slow
def test_nodes_that_nobody_joins_end_with_words(machines, tmp_path):
    """Node 1 without a node 0, T022, and node 0 without a node 1, T023; each after its time."""
    new = (*TINY, "--out", "run", "--node-wait", "20s")
    ((code, _, errors),) = finish(
        machines[1].start(*words_of(machines, 1, *new), cwd=tmp_path),
    )
    assert (code, f"--master {machines[0].address}:8118 T022 nobody listens" in errors) == (1, True)
    ((code, text, errors),) = finish(
        machines[0].start(*words_of(machines, 0, *new), cwd=tmp_path),
    )
    assert (code, "T023 node 1 did not come within 20 s" in errors) == (1, True)
    assert f"node 0 of 2 listens at {machines[0].address}:8118" in text
    assert left_on(machines) == [{}, {}]


@pytest.mark.slow
def test_a_dry_run_prints_what_each_node_runs(tmp_path):
    """Its own line, without the words of another; each `msrun` has its node's rank and logs."""
    place = ("--nodes", 2, "--master=a:9000", "--devices", 2)
    told = (*place, "--hang-after", 600, "-o", "a run", "--dry-run")
    done = densenet("train", *TINY, *told, cwd=tmp_path)
    assert done.returncode == 0
    assert "global batch 256 = 4 devices x 64 images" in done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("densenet ")]
    same = (
        f"densenet {shlex.join(['train', *TINY])} --devices 2 --hang-after 600 -o 'a run' --nodes 2"
    )
    assert lines == [f"{same} --node-rank {rank} --master a:9000" for rank in (0, 1)]
    first, second = [line for line in done.stdout.splitlines() if "msrun " in line]
    assert "--worker_num=4 --local_worker_num=2 --master_addr=a --node_rank=0 " in first
    assert f"'--log_dir={tmp_path}/a run/workers/node_1'" in second
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_dry_run_prints_lines_that_can_be_copied_whatever_the_run_is_called(tmp_path):
    """A shell reads the run's name back from each of them, and from what stands in a comment."""
    for more in ((), ("--nodes", 2, "--master=a:9000")):
        told = ("--devices", 2, "-o", "a\nrun", *more, "--dry-run")
        done = densenet("train", *TINY, *told, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        lines = (done.stdout + done.stderr).splitlines()
        assert [line for line in lines if line[:4] in ("run", "run/", "run'")] == []
        commands = [line for line in lines if "densenet train" in line or "msrun " in line]
        assert len(commands) == (4 if more else 2)
        for line in commands:
            assert rf"{tmp_path}/a\nrun'" in line or r" -o $'a\nrun'" in line


@pytest.mark.slow
def test_a_dry_run_with_hosts_prints_the_lines_that_a_start_prints(tmp_path):
    """Slots are what no word of the command line says, and named devices are counted."""
    (tmp_path / "hosts").write_text("a slots=2\nb slots=2\n")
    for more in ((), ("--device-ids", "3,5", "--device-target", "Ascend"), ("--hang-after", "9")):
        told = ("train", *TINY, "-o", "run", "--hostfile", "hosts", *more)
        shown = []
        for dry in ((), ("--dry-run",)):
            done = densenet(*told, *dry, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            shown.append([line for line in done.stdout.splitlines() if line[:9] == "densenet "])
        assert len(shown[0]) == 2
        assert shown[0] == shown[1]
        assert [line for line in shown[0] if shlex.join(more) not in line] == []


# ---- words


@pytest.mark.parametrize(
    ("given", "flag", "words"),
    [
        ({"rank": 0}, "--node-rank", "goes with --nodes"),
        ({"master": "a"}, "--master", "goes with --nodes"),
        ({"nodes": 2}, "--node-rank", "2 nodes: say which of them this is, from 0 to 1"),
        ({"nodes": 2, "rank": 2}, "--node-rank", "2 must be below 2"),
        ({"nodes": 1, "rank": 1}, "--node-rank", "1 must be below 1"),
        ({"nodes": 2, "rank": 1}, "--master", "say where node 0 is found"),
        ({"nodes": 2, "rank": 1, "master": "a"}, "--out", "storage that all of them share"),
    ],
)
def test_words_that_do_not_go_together_are_refused(given, flag, words):
    """Before anything is looked up."""
    told = {"nodes": None, "rank": None, "master": None, "wait": "10m", **given}
    with pytest.raises(typer.BadParameter, match=words) as caught:
        read_node(**told, run=None, is_dry=False)
    assert caught.value.param_hint == flag


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10.0.0.5", ("10.0.0.5", 8118)),
        ("node-1.cluster:29500", ("node-1.cluster", 29500)),
        ("[fd00::5]", ("[fd00::5]", 8118)),
        ("[fe80::1%eth0]:2000", ("[fe80::1%eth0]", 2000)),
    ],
)
def test_a_master_is_an_address_and_perhaps_a_port(text, found):
    assert parse_master(text) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a:80", "port 80 must be from 1024 to 65535"),
        ("a:65536", "port 65536 must be"),
        ("a:", "is not ADDR or ADDR:PORT"),
        ("a:http", "is not ADDR or ADDR:PORT"),
        ("", "is not ADDR or ADDR:PORT"),
        ("tcp://a:2000", "is not ADDR or ADDR:PORT"),
        ("a b", "is not ADDR or ADDR:PORT"),
        ("-oProxyCommand=x", "is not ADDR or ADDR:PORT"),
        ("fd00::5", "stands in brackets"),
        ("fd00::5:8118", "stands in brackets"),
    ],
)
def test_what_is_no_master_is_refused(text, words):
    with pytest.raises(typer.BadParameter, match=words):
        parse_master(text)


@pytest.mark.parametrize("wait", ["10", "0s", "1d", "-1s", "ten"])
def test_a_wait_is_a_time(wait):
    with pytest.raises(typer.BadParameter, match="is no time such as 90s"):
        read_node(2, 1, "10.0.0.5", wait, run=Path("run"), is_dry=True)


def test_one_node_trains_alone():
    """A script for any number of nodes works with one."""
    assert read_node(1, 0, "10.0.0.5", "10m", run=None, is_dry=False) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "[::1]"])
def test_no_other_machine_comes_to_a_loopback_address(address):
    """As a machine's own name may be, by its /etc/hosts."""
    for rank in (0, 1):
        with pytest.raises(TrainingError, match=r"T022 is (127\.0\.0\.1|::1) here, where no other"):
            read_node(2, rank, address, "10m", run=Path("run"), is_dry=False)


def test_a_run_is_started_on_as_many_nodes_as_it_has():
    check_nodes(1, None)
    node = Node(2, 0, "10.0.0.5", 8118)
    check_nodes(2, node)
    with pytest.raises(TrainingError, match="T010 the run has 1 node, and --nodes says 2"):
        check_nodes(1, node)
    with pytest.raises(TrainingError, match="T010 the run has 2 nodes, and --nodes says 1"):
        check_nodes(2, None)
