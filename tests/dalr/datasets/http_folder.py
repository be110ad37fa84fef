"""A local HTTP server with faults to order."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class HttpFolder:
    """Files by name, and how the server treats its callers.

    `cuts`: for each answer in turn, after how many bytes it hangs up (None: never). `statuses`: for
    each answer in turn, a status to fail with (0: none). `hub`: answer with a redirect that names the
    sha256, as the Hugging Face Hub does; `cdn` is the address that it leads to, if it is another one.
    `tokens`: what each caller said of who it is.
    """

    files: dict[str, bytes]
    ranges: bool = True
    etags: bool = True
    hub: bool = False
    cdn: str = ""
    lie: str | None = None
    cuts: list[int | None] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    address: str = ""


def _handler(folder: HttpFolder) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Nothing on stderr."""

        def do_GET(self) -> None:
            name = self.path.lstrip("/")
            folder.tokens.append(self.headers.get("Authorization"))
            if folder.hub and not name.startswith("cdn/"):
                return self._redirect(name)
            return self._answer(name.removeprefix("cdn/"))

        def _redirect(self, name: str) -> None:
            self.send_response(302)
            self.send_header("Location", f"{folder.cdn}/cdn/{name}")
            digest = folder.lie or sha256(folder.files[name]).hexdigest()
            self.send_header("X-Linked-Etag", f'"{digest}"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _answer(self, name: str) -> None:
            wanted = self.headers.get("Range")
            folder.asked.append((name, wanted))
            status = folder.statuses.pop(0) if folder.statuses else 0
            if status or name not in folder.files:
                return self.send_error(status or 404)
            content = folder.files[name]
            etag = f'"{sha256(content).hexdigest()[:16]}"'
            start = 0
            if wanted and folder.ranges and self.headers.get("If-Range") in (None, etag):
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(content):
                    return self._no_such_range(len(content))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            if folder.etags:
                self.send_header("ETag", etag)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            cut = folder.cuts.pop(0) if folder.cuts else None
            self.wfile.write(content[start:] if cut is None else content[start : start + cut])
            return None

        def _no_such_range(self, size: int) -> None:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()

    return Handler


@contextmanager
def served(folder: HttpFolder) -> Iterator[HttpFolder]:
    """Serves the folder on loopback while the block runs; `folder.address` is its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(folder))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    folder.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield folder
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
