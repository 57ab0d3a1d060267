"""A file from an https server:
verified, taken up again where it was cut, there whole or not at all.
"""

from __future__ import annotations

import fcntl
import json
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from archspec.errors import ArchspecError, DownloadError
from archspec.files import write_atomic

ShowProgress = Callable[[str, int, int], None]
"""Is told what is going on, the bytes that are there,
and the bytes in all (0 where they are not known)."""

TIMEOUT_SECONDS = 30.0
LARGEST = 1 << 30
PIECE = 1 << 16
HEADERS: Mapping[str, str] = {"User-Agent": "densenet-archspec", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class PartialDownload:
    """The bytes that are there, of how many, and of which version:
    the server's ETag or Last-Modified.
    """

    size: int = 0
    length: int = 0
    version: str = ""


def fetch(
    url: str,
    target: Path,
    show: ShowProgress = lambda what, done, total: None,
    accept: Callable[[Path], None] = lambda file: None,
) -> Path:
    """Download `url` into `target` unless it is there, and return it.

    What has arrived waits beside it in `.partial` for the next call. `accept` sees the whole file
    before it gets its name; where it raises, the file is removed. Two processes at once take turns.

    Raises:
        DownloadError: N002 to N006, the network; N008, the folder cannot be written.
    """
    _require_https(url, url)
    partial = _add_ending(target, ".partial")
    # Two processes may want one file: whoever waited finds it there.
    with lock_target(target, show):
        if target.is_file():
            return target
        _download(url, partial, show)
        try:
            accept(partial)
        except ArchspecError:
            drop_part(target)
            raise
        os.replace(partial, target)
        drop_part(target)
    return target


@contextmanager
def lock_target(
    target: Path, show: ShowProgress = lambda what, done, total: None
) -> Iterator[None]:
    """Make the folder of `target` and be the only process that writes `target`.

    Raises:
        DownloadError: N008 for every OSError in the block.
    """
    with convert_disk_faults(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.with_name(f".{target.name}.lock").open("w") as lock:
            _wait_for(lock, show)
            yield


@contextmanager
def convert_disk_faults(file: Path) -> Iterator[None]:
    """Turn every OSError in the block, which works on `file`, into a DownloadError (N008)."""
    try:
        yield
    except OSError as error:
        cure = "DENSENET_CACHE names another cache folder; what has arrived is kept"
        place = str(error.filename or file)
        raise DownloadError.one("N008", f"cannot be used: {error.strerror}", place, cure) from None


def drop_part(target: Path) -> None:
    """Remove what an earlier download of `target` has left."""
    for ending in (".partial", ".partial.json"):
        _add_ending(target, ending).unlink(missing_ok=True)


def _add_ending(file: Path, ending: str) -> Path:
    return file.with_name(file.name + ending)


def _wait_for(lock: IO[str], show: ShowProgress) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        show("waiting for another process that gets the same file", 0, 0)
        fcntl.flock(lock, fcntl.LOCK_EX)


def _download(url: str, partial: Path, show: ShowProgress) -> None:
    part = _find_partial(partial, url)
    if part.length and part.size == part.length:
        return
    response, start = _open_url(url, part)
    with response:
        length = part.length if start else _start_anew(response, partial, url)
        _receive(response, partial, url, PartialDownload(start, length), show)


def _find_partial(partial: Path, url: str) -> PartialDownload:
    """What is there to go on from;
    nothing where it is not certain to be of one version of the same file.
    """
    try:
        note = json.loads(_add_ending(partial, ".json").read_text())
        size = partial.stat().st_size
        part = PartialDownload(size, int(note["length"]), str(note["version"]))
    except (FileNotFoundError, ValueError, TypeError, KeyError, OverflowError):
        return PartialDownload()
    is_usable = note["address"] == url and part.version and size <= part.length
    return part if is_usable else PartialDownload()


def _open_url(url: str, part: PartialDownload) -> tuple[HTTPResponse, int]:
    """Return the server's answer and the place in the file at which it starts."""
    if part.size:
        response = _send_request(url, {"Range": f"bytes={part.size}-", "If-Range": part.version})
        if response is not None and response.status == HTTPStatus.OK:
            return response, 0
        if response is not None and _continues_partial(response, part):
            return response, part.size
        if response is not None:
            response.close()
    response = _send_request(url, {})
    if response is None or response.status != HTTPStatus.OK:
        raise DownloadError.one(
            "N005", "the server answers with a part that was not asked for", url
        )
    return response, 0


def _continues_partial(response: HTTPResponse, part: PartialDownload) -> bool:
    """Tell whether it is the rest, and of the version whose beginning is there:
    not every server knows If-Range.
    """
    wanted = f"bytes {part.size}-{part.length - 1}/{part.length}"
    is_rest = (
        response.headers.get("Content-Range") == wanted
        and response.length == part.length - part.size
    )
    return (
        response.status == HTTPStatus.PARTIAL_CONTENT
        and is_rest
        and _find_version(response) in ("", part.version)
    )


def _find_version(response: HTTPResponse) -> str:
    """Return a strong ETag, else Last-Modified, else ''.

    Weak ETags do not promise the same bytes.
    """
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _start_anew(response: HTTPResponse, partial: Path, url: str) -> int:
    """Begin the file anew, note which version it is of, and return its length."""
    length = response.length
    if not length or response.headers.get("Content-Encoding", "identity") != "identity":
        raise DownloadError.one("N005", "the server does not say how long the file is", url)
    if length > LARGEST:
        raise DownloadError.one(
            "N005", f"the file has {length:,} bytes, more than the {LARGEST:,} allowed", url
        )
    partial.write_bytes(b"")
    note = {"address": url, "length": length, "version": _find_version(response)}
    write_atomic(_add_ending(partial, ".json"), json.dumps(note) + "\n")
    return length


def _receive(
    response: HTTPResponse, partial: Path, url: str, part: PartialDownload, show: ShowProgress
) -> None:
    done, what = part.size, f"downloading {partial.stem}"
    show(what, done, part.length)
    with partial.open("ab") as file:
        while done < part.length:
            piece, reason = _read_piece(response)
            if not piece:
                arrived = f"after {done:,} of {part.length:,} bytes: {reason}"
                cure = "the same command goes on from there"
                raise DownloadError.one("N006", f"the connection was cut {arrived}", url, cure)
            file.write(piece)
            done += len(piece)
            show(what, done, part.length)
        file.flush()
        os.fsync(file.fileno())


def _read_piece(response: HTTPResponse) -> tuple[bytes, str]:
    """Return the next bytes, or none and why."""
    try:
        return response.read1(PIECE), "the server closed it"
    except (OSError, HTTPException) as error:
        return b"", _explain_error(error)


def _send_request(url: str, headers: Mapping[str, str]) -> HTTPResponse | None:
    """Return the server's answer; None where it has no such range."""
    # S310 fears other schemes: `fetch` and each redirect have asked _require_https.
    request = Request(url, headers={**HEADERS, **headers})  # noqa: S310
    opener = build_opener(HTTPSHandler(context=ssl.create_default_context()), _HttpsAlone())
    try:
        response: HTTPResponse = opener.open(request, timeout=TIMEOUT_SECONDS)
    except HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and headers:
            return None
        raise DownloadError.one(
            "N005", f"the server answers {error.code} {error.reason}", url
        ) from None
    except URLError as error:
        raise _make_unreachable_fault(url, error.reason) from None
    except (OSError, HTTPException, ValueError) as error:
        raise _make_unreachable_fault(url, error) from None
    return response


class _HttpsAlone(HTTPRedirectHandler):
    """Follows a redirect only to another https address."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Return the request that follows; DownloadError (N002) where it would not be https."""
        fp.close()
        _require_https(newurl, req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_https(url: str, place: str) -> None:
    if not url.lower().startswith("https://"):
        what = "is not https" if url == place else f"leads to {url}, which is not https"
        raise DownloadError.one("N002", what, place, "only https tells who it is that answers")


def _make_unreachable_fault(url: str, reason: object) -> ArchspecError:
    if isinstance(reason, ssl.SSLCertVerificationError):
        what = f"the server's certificate is not trusted: {reason.verify_message.rstrip('.')}"
        cure = (
            "where a proxy signs for it, SSL_CERT_FILE names the file with that proxy's authority"
        )
        return DownloadError.one("N004", what, url, cure)
    return DownloadError.one("N003", f"cannot be reached: {_explain_error(reason)}", url)


def _explain_error(error: object) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
