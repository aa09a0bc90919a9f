"""A git server over https on a free port of the loopback: git http-backend behind basic authentication.

git_server.py CERTIFICATE KEY ROOT LOG: prints its port. Below /git the repositories of ROOT are served to whoever has the token; below
/moved everything is redirected to /git; below /away to a host that nobody has. Every request is a line of LOG.
"""

import base64
import http.server
import os
import ssl
import subprocess
import sys

CERTIFICATE, KEY, ROOT, LOG = sys.argv[1:]
GRANTED = "Basic " + base64.b64encode(b"x-access-token:the-right-token").decode()
READS_ONLY = "Basic " + base64.b64encode(b"x-access-token:a-reading-token").decode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def serve(self):
        body = self.body()
        path, _, query = self.path.partition("?")
        who = self.headers.get("Authorization", "")
        with open(LOG, "a") as log:
            log.write(f"{self.command} {self.path} {'token' if who else 'nobody'}\n")
        if path.startswith("/moved/"):
            return self.answer(302, [("Location", "/git/" + self.path[len("/moved/"):])], b"")
        if path.startswith("/away/"):
            return self.answer(302, [("Location", "https://169.254.169.254/" + self.path)], b"")
        if not path.startswith("/git/"):
            return self.answer(404, [], b"")
        if who not in (GRANTED, READS_ONLY):
            return self.answer(401, [("WWW-Authenticate", 'Basic realm="git"')], b"")
        if who == READS_ONLY and ("git-receive-pack" in self.path):
            return self.answer(403, [], b"no right to push")
        env = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": ROOT,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "http.receivepack",
            "GIT_CONFIG_VALUE_0": "true",
            "GIT_CONFIG_KEY_1": "safe.directory",
            "GIT_CONFIG_VALUE_1": "*",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path[len("/git"):],
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "tester",
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=env, stdout=subprocess.PIPE, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n") if ": " in line]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        self.answer(status, [pair for pair in headers if pair[0] != "Status"], content)

    do_GET = serve
    do_POST = serve


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERTIFICATE, KEY)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
