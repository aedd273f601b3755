"""Web and mail servers on loopback.

What they receive is kept, what they respond is a function's value.
"""

import http.server
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email import message_from_bytes, policy


@contextmanager
def http_sink(path: str = "/hook") -> Iterator[tuple[str, list[str]]]:
    """The URL of this path, and the bodies posted to it so far; any other path is not found."""
    bodies = []

    def answer(asked: str, headers: Mapping[str, str], body: str) -> tuple[int, bytes]:
        if asked != path:
            return 404, b""
        bodies.append(body)
        return 200, b""

    with http_source(answer) as address:
        yield f"{address}{path}", bodies


@contextmanager
def http_source(answer: Callable[..., tuple[int, bytes]]) -> Iterator[str]:
    """The address of a web server.

    `answer` makes a status and a body of path and headers, and of what is posted.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self, *posted):
            status, body = answer(self.path, self.headers, *posted)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            self.do_GET(self.rfile.read(int(self.headers["Content-Length"])).decode())

        def log_message(self, format, *args):
            """Not on the terminal."""

    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def smtp_sink() -> Iterator[tuple[str, list[str]]]:
    """Its URL in Apprise's notation, and subject and all texts of the mails so far."""
    mails = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"220 sink\r\n")
            for line in self.rfile:
                word = line.strip().upper()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    mails.append(read_mail(iter(self.rfile)))
                answers = {
                    b"EHLO": b"250-sink\r\n250 AUTH PLAIN",
                    b"AUTH": b"235 welcome",
                    b"QUIT": b"221 bye",
                }
                self.wfile.write(answers.get(word[:4], b"250 ok") + b"\r\n")
                if word == b"QUIT":
                    return

    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        yield f"mailto://user:secret@127.0.0.1:{port}", mails


def read_mail(lines: Iterator[bytes]) -> str:
    raw = b""
    for line in lines:
        if line == b".\r\n":
            break
        raw += line
    mail = message_from_bytes(raw, policy=policy.default)
    parts = [part.get_content() for part in mail.walk() if part.get_content_maintype() == "text"]
    return "\n".join([mail["Subject"], *parts])


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
