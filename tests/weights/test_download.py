"""Downloads against a real https server: verified, taken up again, whole or not at all."""

import resource
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from https_server import Site, certificate, serving

from archspec.errors import DownloadError, ModelFileError
from archspec.weights.download import LARGEST, fetch

CONTENT = bytes(range(256)) * 4000
HALF = len(CONTENT) // 2


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def site(identity, monkeypatch):
    """A server with a megabyte, whose certificate is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(identity[0]))
    monkeypatch.setenv("no_proxy", "*")
    with serving(*identity) as made:
        made.content = CONTENT
        yield made


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "cache" / "weights.ckpt"


def refused(site: Site, target: Path, code: str, *words: str) -> str:
    """Assert that fetching ends with this error, and no file; return the error."""
    with pytest.raises(DownloadError) as caught:
        fetch(f"{site.url}/weights.ckpt", target)
    assert caught.value.diagnostics[0].code == code
    assert not [word for word in words if word not in str(caught.value)], caught.value
    assert not target.exists()
    return str(caught.value)


def left(target: Path) -> set[str]:
    """What is beside the target, except for the lock."""
    found = target.parent.iterdir() if target.parent.exists() else ()
    return {file.name for file in found if not file.name.endswith(".lock")}


def cut(site: Site, target: Path, after: int = HALF) -> None:
    """Leave a part of the file."""
    site.cut_after = after
    refused(site, target, "N006")
    site.cut_after = None
    site.sent.clear()


# ---- a download that goes well


def test_a_file_arrives_whole_with_its_progress(site, target):
    """Byte for byte; nothing is left beside it; what is shown ends with all of it."""
    shown = []
    assert fetch(f"{site.url}/weights.ckpt", target, lambda *step: shown.append(step)) == target
    assert target.read_bytes() == CONTENT
    assert left(target) == {"weights.ckpt"}
    assert shown[0] == ("downloading weights.ckpt", 0, len(CONTENT))
    assert shown[-1] == ("downloading weights.ckpt", len(CONTENT), len(CONTENT))


def test_a_file_that_is_there_is_not_asked_for(site, target):
    """The server is not needed."""
    target.parent.mkdir()
    target.write_bytes(b"here")
    fetch(f"{site.url}/weights.ckpt", target)
    assert target.read_bytes() == b"here"
    assert site.sent == []


def test_a_redirect_to_https_is_followed(site, target, identity):
    """Publishers move files to other servers."""
    with serving(*identity) as other:
        other.content = CONTENT
        site.redirect = f"{other.url}/moved.ckpt"
        fetch(f"{site.url}/weights.ckpt", target)
    assert target.read_bytes() == CONTENT


# ---- whom not to trust


def test_a_certificate_of_an_unknown_authority_is_refused(site, target, monkeypatch):
    """Self-signed, and not among the trusted; no request is sent."""
    monkeypatch.delenv("SSL_CERT_FILE")
    refused(site, target, "N004", site.url, "certificate is not trusted: self", "SSL_CERT_FILE")
    assert left(target) == set()
    assert site.sent == []


def test_a_certificate_for_another_host_is_refused(site, target):
    """Trusted, but made for localhost and not for this address."""
    site.url = site.url.replace("localhost", "127.0.0.1")
    refused(site, target, "N004", "certificate is not trusted: IP address mismatch")
    assert left(target) == set()
    assert site.sent == []


def test_an_expired_certificate_is_refused(target, tmp_path, monkeypatch):
    """Trusted, and for this host, but its time is over."""
    cert, key = certificate(tmp_path)
    again = [
        "openssl",
        "x509",
        "-in",
        cert,
        "-signkey",
        key,
        "-out",
        cert,
        "-days",
        "-1",
        "-copy_extensions",
        "copyall",
    ]
    done = subprocess.run(again, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this openssl makes no expired certificates: {done.stderr.strip()}")
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    monkeypatch.setenv("no_proxy", "*")
    with serving(cert, key) as site:
        refused(site, target, "N004", "certificate has expired")


@pytest.mark.parametrize(
    "address", ["http://localhost/x.ckpt", "ftp://localhost/x.ckpt", "file:///etc/hostname", "x"]
)
def test_only_https_is_fetched(address, target):
    """Nothing is asked of anyone."""
    with pytest.raises(DownloadError, match="N002 is not https"):
        fetch(address, target)
    assert not target.parent.exists()


@pytest.mark.parametrize("address", ["http://localhost:1/x.ckpt", "ftp://localhost/x.ckpt"])
def test_a_redirect_away_from_https_is_refused(address, site, target):
    """The error names both addresses."""
    site.redirect = address
    refused(
        site, target, "N002", f"{site.url}/weights.ckpt", f"leads to {address}, which is not https"
    )
    assert left(target) == set()


# ---- cut connections


def test_a_cut_download_goes_on_where_it_stopped(site, target):
    """By the server's own record, only the rest is sent the second time."""
    site.cut_after = HALF
    refused(
        site,
        target,
        "N006",
        f"after {HALF:,} of {len(CONTENT):,} bytes",
        "the same command goes on",
    )
    site.cut_after = None
    fetch(f"{site.url}/weights.ckpt", target)
    assert site.sent == [(None, HALF), (f"bytes={HALF}-", len(CONTENT) - HALF)]
    assert target.read_bytes() == CONTENT
    assert left(target) == {"weights.ckpt"}


def test_a_download_that_is_cut_again_and_again_ends(site, target):
    """Each time it is nearer."""
    for _ in range(3):
        cut(site, target, after=len(CONTENT) // 4)
    fetch(f"{site.url}/weights.ckpt", target)
    assert target.read_bytes() == CONTENT
    assert site.sent == [(f"bytes={len(CONTENT) // 4 * 3}-", len(CONTENT) // 4)]


def test_a_last_modified_date_tells_the_version_where_there_is_no_strong_tag(site, target):
    """A weak ETag does not promise the same bytes."""
    site.tag, site.modified = 'W/"weak"', "Mon, 01 Jan 2024 00:00:00 GMT"
    cut(site, target)
    fetch(f"{site.url}/weights.ckpt", target)
    assert site.sent == [(f"bytes={HALF}-", len(CONTENT) - HALF)]
    assert target.read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_sends_the_whole_again(site, target):
    """And the file is not the first half and the whole."""
    site.knows_ranges = False
    cut(site, target)
    fetch(f"{site.url}/weights.ckpt", target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("knows_if_range", [True, False])
def test_halves_of_two_versions_are_never_joined(knows_if_range, site, target):
    """The file was replaced at the server meanwhile, whether or not that knows If-Range."""
    cut(site, target)
    site.content, site.tag, site.knows_if_range = CONTENT[::-1], '"second"', knows_if_range
    fetch(f"{site.url}/weights.ckpt", target)
    assert target.read_bytes() == CONTENT[::-1]


def test_a_shorter_version_starts_over(site, target):
    """The server has no such range: 416."""
    cut(site, target)
    site.content, site.knows_if_range = CONTENT[:1000], False
    fetch(f"{site.url}/weights.ckpt", target)
    assert target.read_bytes() == CONTENT[:1000]


def test_a_server_that_names_no_version_starts_over(site, target):
    """Nothing says that the rest would belong to the beginning."""
    site.tag = ""
    cut(site, target)
    fetch(f"{site.url}/weights.ckpt", target)
    assert site.sent == [(None, len(CONTENT))]


def test_another_address_starts_over(site, target):
    """Such as a mirror's."""
    cut(site, target)
    fetch(f"{site.url}/mirror/weights.ckpt", target)
    assert site.sent == [(None, len(CONTENT))]


@pytest.mark.parametrize(
    "note", ["", "[]", "{}", '{"address": 1, "length": "x", "version": null}', "\xff"]
)
def test_a_damaged_note_of_the_part_starts_over(note, site, target):
    """It is not worth an error."""
    cut(site, target)
    (target.parent / "weights.ckpt.partial.json").write_bytes(note.encode("latin-1"))
    fetch(f"{site.url}/weights.ckpt", target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("more", [b"", b"garbage"])
def test_a_part_as_long_as_the_file_or_longer(more, site, target):
    """A process that was killed before the rename: nothing is sent again.

    Longer: it is no part of this file.
    """
    cut(site, target)
    (target.parent / "weights.ckpt.partial").write_bytes(CONTENT + more)
    fetch(f"{site.url}/weights.ckpt", target)
    assert target.read_bytes() == CONTENT
    assert len(site.sent) == bool(more)


# ---- answers that are of no use


@pytest.mark.parametrize("status", [404, 403, 500, 503])
def test_an_answer_without_the_file_is_told(status, site, target):
    """With its number and the address."""
    site.status = status
    refused(site, target, "N005", f"{site.url}/weights.ckpt", f"the server answers {status}")
    assert left(target) == set()


def test_a_length_that_is_longer_than_what_comes_is_refused(site, target):
    """However often it is tried."""
    site.announced = len(CONTENT) + 1
    for _ in range(2):
        refused(site, target, "N006", f"of {len(CONTENT) + 1:,} bytes")


@pytest.mark.parametrize(
    "headers",
    [{"Content-Length": "absent"}, {"Content-Length": "many"}, {"Content-Encoding": "gzip"}],
    ids=lambda value: "-".join(value.values()),
)
def test_a_file_without_a_length_is_refused(headers, site, target):
    """A cut could not be told from its end."""
    site.headers = headers
    refused(site, target, "N005", "how long")
    assert left(target) == set()


def test_a_file_that_is_too_large_is_refused_at_once(site, target):
    """By the length that the server announces."""
    site.announced = LARGEST + 1
    refused(site, target, "N005", f"{LARGEST + 1:,} bytes")
    assert left(target) == set()


def test_a_file_that_is_not_accepted_leaves_nothing(site, target):
    """The next call asks for it again."""

    def accept(file: Path) -> None:
        assert file.read_bytes() == CONTENT
        raise ModelFileError.one("R002", "is no checkpoint")

    for times in (1, 2):
        with pytest.raises(ModelFileError, match="R002"):
            fetch(f"{site.url}/weights.ckpt", target, accept=accept)
        assert left(target) == set()
        assert len(site.sent) == times


# ---- no network, no disk


def test_a_server_that_is_not_there_is_told_without_a_traceback(site, target):
    """Nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        site.url = f"https://localhost:{closed.getsockname()[1]}"
    refused(site, target, "N003", "cannot be reached: Connection refused")


def test_a_host_that_does_not_exist_is_told(site, target):
    """Names under .invalid never do."""
    site.url = "https://weights.invalid"
    refused(site, target, "N003", "https://weights.invalid/weights.ckpt", "cannot be reached: ")


def test_an_address_without_a_host_is_told(site, target):
    """Such as a mirror's that was typed wrong."""
    for site.url in ("https://", "https://a..b", "https://localhost:many"):
        assert "cannot be reached" in refused(site, target, "N003")


def test_a_server_that_does_not_speak_tls_is_told(site, target):
    """Something else on that port."""
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def answer() -> None:
            with plain.accept()[0] as connection:
                connection.recv(10)
                connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        site.url = f"https://localhost:{plain.getsockname()[1]}"
        refused(site, target, "N003", "cannot be reached: ")
        thread.join()


def test_a_server_that_falls_silent_is_given_up(site, target, monkeypatch):
    """What has come is kept."""
    monkeypatch.setattr("archspec.weights.download.TIMEOUT_SECONDS", 0.2)
    site.pause_after = HALF
    refused(site, target, "N006", "timed out")
    site.go_on.set()
    site.pause_after = None
    fetch(f"{site.url}/weights.ckpt", target)
    assert target.read_bytes() == CONTENT
    assert site.sent[1][0] is not None


def test_a_folder_that_cannot_be_made_is_named(site, tmp_path):
    """A file stands in its place."""
    (tmp_path / "cache").touch()
    refused(site, tmp_path / "cache" / "folder" / "weights.ckpt", "N008", str(tmp_path / "cache"))


def test_a_full_disk_is_told_and_the_part_goes_on_once_there_is_room(site, target):
    """A process that may write half the file, as on a disk with so much room."""
    program = (
        "import sys; from pathlib import Path; from archspec.weights.download import fetch\n"
        "from archspec.errors import DownloadError\n"
        "try: fetch(sys.argv[1], Path(sys.argv[2]))\n"
        "except DownloadError as error: sys.exit(str(error))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, f"{site.url}/weights.ckpt", str(target)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, HALF)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"{target} N008 cannot be used: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not target.exists()
    kept = (target.parent / "weights.ckpt.partial").stat().st_size
    site.sent.clear()
    fetch(f"{site.url}/weights.ckpt", target)
    assert target.read_bytes() == CONTENT
    assert site.sent == [(f"bytes={kept}-", len(CONTENT) - kept)]


# ---- several at once


def test_several_at_once_download_the_file_once(site, target):
    """The others wait for the first, say so, and take what it has fetched."""
    site.pause_after = HALF
    waiting = threading.Semaphore(0)

    def show(what: str, done: int, total: int) -> None:
        if what.startswith("waiting"):
            waiting.release()

    threads = [
        threading.Thread(target=fetch, args=(f"{site.url}/weights.ckpt", target, show))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for _ in threads[1:]:
        assert waiting.acquire(timeout=60)
    site.go_on.set()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == CONTENT
    assert site.sent == [(None, len(CONTENT))]
