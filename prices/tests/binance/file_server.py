"""Files over HTTP, with ranges and versions, and with what a test wants to go wrong."""

import hashlib
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Files:
    """`files`: contents by path. `refuse`: statuses to answer a path with, one a request. `cut`: send only so many
    bytes of an answer, then close, one a request. `silent`: paths that are answered by halves, and nothing more."""

    def __init__(self):
        self.files = {}
        self.refuse = {}
        self.cut = {}
        self.silent = set()
        self.versioned = True
        self.asked = []  # (method, path, Range)
        self.over = threading.Event()

    def put(self, path, content, checksum=True):
        self.files[path] = content
        if checksum:
            name = path.rpartition("/")[2]
            self.files[f"{path}.CHECKSUM"] = f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def _answer(self):
        served = self.server.served
        path, asked_range = self.path, self.headers.get("Range")
        served.asked.append((self.command, path, asked_range))
        if served.refuse.get(path):
            return self._say(served.refuse[path].pop(0), b"")
        if path not in served.files:
            return self._say(404, b"no such key")
        content = served.files[path]
        version = f'"{hashlib.sha256(content).hexdigest()}"' if served.versioned else None
        headers = {"ETag": version} if version else {}
        if asked_range and self.headers.get("If-Range", version) == version:
            start = int(asked_range.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self._say(416, b"", **{"Content-Range": f"bytes */{len(content)}"})
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return self._say(206, content[start:], **headers, **{"Content-Range": span})
        return self._say(200, content, **headers)

    def _say(self, status, body, **headers):
        served = self.server.served
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.path in served.silent:
            self.wfile.write(body[: len(body) // 2])
            served.over.wait(30)
            self.close_connection = True
        elif served.cut.get(self.path):
            self.wfile.write(body[: served.cut[self.path].pop(0)])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Whoever was stopped goes away in the middle."""


@contextmanager
def file_server():
    """Yield its address and its Files."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.served = Files()
        serving = threading.Thread(target=server.serve_forever, args=(0.02,))
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", server.served
        finally:
            server.served.over.set()
            server.shutdown()
            serving.join()
