"""`densenet weights` in processes of its own, against a real https server, without MindSpore."""

import hashlib
import os
import pty
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from conftest import command, densenet, passed, refused, started, wait_until
from https_server import Site, certificate, serving

FILE = "densenet121-120_5004_Ascend.ckpt"
ADDRESS = f"https://download.mindspore.cn/toolkits/mindcv/densenet/{FILE}"
NEXT = "Next: densenet validate densenet121 --pretrained --data-dir IMAGENET"
# One record of MindSpore's checkpoint.proto: a name of 2**20 - 4 bytes, in a message of 2**20.
RECORD = b"\x0a\x80\x80\x40" + b"\x0a\xfc\xff\x3f" + b"n" * (2**20 - 4)
CONTENT = RECORD * 3
DIGEST = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def environment(identity, no_mindspore, tmp_path, monkeypatch) -> Mapping[str, str]:
    """A cache folder of the test's own, no way to the publishers' servers, and no MindSpore."""
    values = {
        **no_mindspore,
        "DENSENET_CACHE": str(tmp_path / "cache"),
        "SSL_CERT_FILE": str(identity[0]),
    }
    values |= {
        "DENSENET_WEIGHTS_URL": "https://weights.invalid",
        "no_proxy": "*",
        "HOME": str(tmp_path),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


@pytest.fixture
def site(identity, environment, monkeypatch) -> Iterator[Site]:
    """A mirror that has three megabytes."""
    with serving(*identity) as made:
        made.content = CONTENT
        monkeypatch.setenv("DENSENET_WEIGHTS_URL", made.url)
        yield made


@pytest.fixture
def partial(tmp_path) -> Path:
    return tmp_path / "cache" / f"{FILE}.partial"


def get(cwd: Path, *more: object) -> "subprocess.CompletedProcess[str]":
    return densenet("weights", "get", "densenet121", *more, cwd=cwd)


def has(file: Path, size: int) -> bool:
    return file.is_file() and file.stat().st_size >= size


# ---- get and list


def test_get_prints_the_file_its_digest_and_what_to_do_next(site, tmp_path):
    """And list shows it from then on."""
    file = tmp_path / "cache" / FILE
    text = passed(get(tmp_path))
    assert f"downloading {FILE}  0 of {len(CONTENT):,} bytes\n" in text
    assert text.endswith(f"{file}\n{len(CONTENT):,} bytes, sha256 {DIGEST}\n{NEXT}\n")
    assert file.read_bytes() == CONTENT
    assert passed(get(tmp_path)) == f"{file}\n{len(CONTENT):,} bytes, sha256 {DIGEST}\n{NEXT}\n"
    listed = passed(densenet("weights", "list", cwd=tmp_path))
    assert (
        f"densenet121  cached, {len(CONTENT):,} bytes\n  {site.url}/{FILE}\n  sha256 {DIGEST}\n"
        in listed
    )
    assert "densenet161  not cached" in listed


def test_list_shows_the_publishers_addresses(environment, tmp_path, monkeypatch):
    """Where no mirror is named; nothing is made."""
    monkeypatch.delenv("DENSENET_WEIGHTS_URL")
    text = passed(densenet("weights", "list", cwd=tmp_path))
    assert f"densenet121  not cached\n  {ADDRESS}\n" in text
    assert f"cache folder: {tmp_path / 'cache'}\n" in text
    assert not list(tmp_path.iterdir())


def test_help_shows_an_example_and_the_environment(environment, tmp_path):
    """Of each command."""
    for more in ((), ("get",), ("list",)):
        text = passed(densenet("weights", *more, "--help", cwd=tmp_path))
        assert f"Example: densenet weights {more[0] if more else 'get'}" in text
    text = passed(densenet("weights", "get", "--help", cwd=tmp_path))
    assert "DENSENET_CACHE" in text
    assert "DENSENET_WEIGHTS_URL" in text


def test_a_terminal_shows_a_bar(site, tmp_path):
    """Bytes, rate and time left, on a real one."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    line = command("weights", "get", "densenet121")
    with subprocess.Popen(
        line, cwd=tmp_path, env=environment, stdout=follower, stderr=follower
    ) as process:
        os.close(follower)
        screen = b""
        try:
            while piece := os.read(leader, 4096):
                screen += piece
        except OSError:  # the last who wrote to it has gone
            pass
    os.close(leader)
    assert process.returncode == 0, screen
    assert b"downloading densenet121" in screen
    assert b"3.1/3.1 MB" in screen
    assert DIGEST.encode() in screen


def test_a_name_without_weights_is_refused_with_the_list(environment, tmp_path):
    """And the nearest name."""
    done = densenet("weights", "get", "densenet122", cwd=tmp_path)
    refused(
        done,
        "N001",
        "'densenet122'",
        "did you mean 'densenet121'?",
        "densenet161, densenet169, densenet201",
    )
    assert not list(tmp_path.iterdir())


# ---- without network


def test_without_network_the_command_that_the_error_names_does_it(environment, tmp_path):
    """As it is written, with a file that came another way."""
    words = (
        f"https://weights.invalid/{FILE} N003",
        str(tmp_path / "cache"),
        f"weights get densenet121 --from-file {FILE}",
    )
    refused(get(tmp_path), *words)
    (tmp_path / FILE).write_bytes(CONTENT)
    text = passed(get(tmp_path, "--from-file", FILE))
    assert text == f"{tmp_path / 'cache' / FILE}\n{len(CONTENT):,} bytes, sha256 {DIGEST}\n{NEXT}\n"
    assert passed(get(tmp_path)) == text


def test_from_file_refuses_what_is_no_checkpoint(environment, tmp_path):
    """And makes nothing."""
    (tmp_path / FILE).write_bytes(CONTENT[:-1])
    refused(get(tmp_path, "--from-file", FILE), f"{FILE} R002 is no whole MindSpore checkpoint")
    refused(
        get(tmp_path, "--from-file", "absent.ckpt"), "absent.ckpt R001 cannot be read: No such file"
    )
    assert not (tmp_path / "cache" / FILE).exists()


# ---- what goes wrong on the way


def test_a_certificate_that_is_not_trusted_is_refused(site, tmp_path, monkeypatch):
    """Without SSL_CERT_FILE, and for a host that it is not made for."""
    monkeypatch.setenv("DENSENET_WEIGHTS_URL", site.url.replace("localhost", "127.0.0.1"))
    refused(get(tmp_path), "N004", "IP address mismatch")
    monkeypatch.setenv("DENSENET_WEIGHTS_URL", site.url)
    monkeypatch.delenv("SSL_CERT_FILE")
    refused(get(tmp_path), "N004", "self")
    assert site.sent == []
    assert not [file for file in (tmp_path / "cache").iterdir() if not file.name.endswith(".lock")]


def test_a_mirror_without_tls_is_refused(environment, tmp_path, monkeypatch):
    """There is no way to switch verification off."""
    monkeypatch.setenv("DENSENET_WEIGHTS_URL", "http://localhost/mirror")
    refused(get(tmp_path), f"http://localhost/mirror/{FILE} N002 is not https")


def test_ctrl_c_keeps_the_part_and_says_how_to_go_on(site, tmp_path, partial):
    """The same command then asks for the rest alone."""
    site.pause_after = HALF
    process = started("weights", "get", "densenet121", cwd=tmp_path)
    wait_until(lambda: has(partial, HALF - 2**16), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"{partial} is kept; the same command goes on from there\n" in errors
    assert "Traceback" not in errors
    size = partial.stat().st_size
    site.pause_after = None
    site.sent.clear()
    passed(get(tmp_path))
    assert site.sent == [(f"bytes={size}-", len(CONTENT) - size)]


def test_a_process_that_is_killed_leaves_a_part_to_go_on_from(site, tmp_path, partial):
    """And no lock that anybody would have to remove."""
    site.pause_after = HALF
    process = started("weights", "get", "densenet121", cwd=tmp_path)
    wait_until(lambda: has(partial, HALF - 2**16), process)
    process.kill()
    process.communicate(timeout=60)
    site.pause_after = None
    passed(get(tmp_path))
    assert site.sent[-1][0] is not None
    assert (tmp_path / "cache" / FILE).read_bytes() == CONTENT


def test_two_processes_at_once_download_once(site, tmp_path, partial):
    """The second says that it waits, and takes what the first has fetched."""
    site.pause_after = HALF
    first = started("weights", "get", "densenet121", cwd=tmp_path)
    wait_until(lambda: has(partial, 1), first)
    second = started("weights", "get", "densenet121", cwd=tmp_path)
    assert second.stdout.readline() == "waiting for another process that gets the same file\n"
    site.go_on.set()
    for process in (first, second):
        out, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
        assert DIGEST in out
    assert site.sent == [(None, len(CONTENT))]


def test_a_full_disk_is_told_and_the_download_goes_on_once_there_is_room(site, tmp_path, partial):
    """On a real file system of two megabytes."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    disk = tmp_path / "cache"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    try:
        refused(
            get(tmp_path),
            disk / FILE,
            "N008 cannot be used: No space left on device",
            "DENSENET_CACHE",
        )
        size = partial.stat().st_size
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        site.sent.clear()
        passed(get(tmp_path))
        assert site.sent == [(f"bytes={size}-", len(CONTENT) - size)]
        assert (disk / FILE).read_bytes() == CONTENT
    finally:
        subprocess.run(["umount", str(disk)], check=True)
