"""A real https server on this machine whose answers a test chooses,
and which keeps a record of them.
"""

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


@dataclass
class Site:
    """What the server has, how it behaves, and what it has sent:
    for each request its Range and the bytes.
    """

    content: bytes = b""
    tag: str = '"first"'
    modified: str = ""
    knows_ranges: bool = True
    knows_if_range: bool = True
    cut_after: int | None = None
    announced: int | None = None
    redirect: str = ""
    status: int = 200
    sent: list[tuple[str | None, int]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    go_on: threading.Event = field(default_factory=threading.Event)
    pause_after: int | None = None
    url: str = ""


def certificate(folder: Path, name: str = "DNS:localhost") -> tuple[Path, Path]:
    """Make a self-signed certificate for a name with openssl; return its file and its key's."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    cert, key = folder / "cert.pem", folder / "key.pem"
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=test",
    ]
    files = ["-addext", f"subjectAltName={name}", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*make, *files], check=True, capture_output=True)
    return cert, key


@contextmanager
def serving(cert: Path, key: Path) -> Iterator[Site]:
    """Serve a site on a free port of localhost until the block ends."""
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    site.url = f"https://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.go_on.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # a client that refuses the certificate, or goes
            self.close_connection = True

    def do_GET(self) -> None:
        site = self.site
        if site.redirect:
            self._answer(302, b"", {"Location": site.redirect})
        elif site.status != 200:
            self._answer(site.status, b"no", {"Content-Length": "2"})
        else:
            self._file(self.headers.get("Range") if site.knows_ranges else None)

    def _file(self, wanted: str | None) -> None:
        site, size = self.site, len(self.site.content)
        if site.knows_if_range and self.headers.get("If-Range", site.tag) not in (
            site.tag,
            site.modified,
        ):
            wanted = None
        headers = {
            "ETag": site.tag,
            "Last-Modified": site.modified,
            "Accept-Ranges": "bytes",
            **site.headers,
        }
        headers = {key: value for key, value in headers.items() if value}
        if wanted is None:
            self._answer(
                200, site.content, {"Content-Length": str(site.announced or size), **headers}
            )
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= size:
            self._answer(416, b"", {"Content-Range": f"bytes */{size}"})
            return
        span = {
            "Content-Range": f"bytes {start}-{size - 1}/{size}",
            "Content-Length": str(size - start),
        }
        self._answer(206, site.content[start:], {**span, **headers})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        site = self.site
        body = body[: site.cut_after]
        site.sent.append((self.headers.get("Range"), len(body)))
        self.send_response(status)
        for key, value in headers.items():
            if value != "absent":
                self.send_header(key, value)
        self.end_headers()
        first = len(body) if site.pause_after is None else site.pause_after
        self.wfile.write(body[:first])
        self.wfile.flush()
        if first < len(body):
            site.go_on.wait()
            self.wfile.write(body[first:])
