"""A hub on this machine, for tests: repositories from a folder, and faults on request.

    python3 hub_server.py FOLDER STATE

FOLDER/ORGANISATION/NAME holds the files of a repository. STATE is a folder: the server writes the addresses of its two
origins to STATE/address, one line each; appends every request to STATE/requests, one line of JSON each; and takes
faults from STATE/faults: lines "COUNT KIND ARGUMENT", each for the next COUNT requests whose path holds ARGUMENT.

Files larger than LARGE bytes are "LFS": named by SHA-256, and served by the second origin, to which the first one
redirects. A request there that carries a token is a failure of the client, noted in STATE/leaks. Kinds of faults:

    status-N    answers N without a body; 429 with "Retry-After: 1"
    gated       403, as for a model whose terms were not accepted
    cut-N       sends N bytes of the body and closes the connection
    short       says and sends fewer bytes than the file has
    long        sends more bytes than the file has
    wrong       sends other bytes of the right length
    whole       ignores the Range
    other-part  answers a Range with another part
    hang        sends half of the body, creates STATE/hanging, and waits for STATE/release
"""
import hashlib
import http.server
import json
import os
import pathlib
import sys
import threading
import urllib.parse

LARGE = 10_000
TOKEN = "hf_secret"
PAGE = 5  # files in a page of a listing


class Hub:
    def __init__(self, folder, state):
        self.folder, self.state = pathlib.Path(folder), pathlib.Path(state)
        self.lock = threading.Lock()
        self.faults = []
        self.digests = {}

    def take_fault(self, path):
        """The fault for a request, if there is one; counts it."""
        with self.lock:
            file = self.state / "faults"
            if file.exists():
                self.faults = [line.split() for line in file.read_text().splitlines()]
                file.unlink()
            for fault in self.faults:
                if fault[2] in path and int(fault[0]) > 0:
                    fault[0] = int(fault[0]) - 1
                    return fault[1]
        return None

    def note(self, name, line):
        with self.lock, open(self.state / name, "a") as file:
            file.write(line + "\n")

    def digest(self, path):
        """(SHA-256 or None, git's SHA-1) of a file."""
        info = path.stat()
        key = (str(path), info.st_size, info.st_mtime_ns)
        if key not in self.digests:
            data = path.read_bytes()
            git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            self.digests[key] = (hashlib.sha256(data).hexdigest() if len(data) > LARGE else None, git)
        return self.digests[key]

    def files(self, repository):
        root = self.folder / repository
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())

    def commit(self, repository):
        text = "".join(f"{name} {self.digest(self.folder / repository / name)}" for name in self.files(repository))
        return hashlib.sha1(text.encode()).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub = None  # the one Hub
    origins = []

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, code, text):
        self.answer(status, json.dumps({"error": text}).encode(), X_Error_Code=code, X_Error_Message=text)

    do_HEAD = lambda self: self.do_GET()

    def do_GET(self):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        token = self.headers.get("Authorization")
        self.hub.note("requests", json.dumps({"path": path, "range": self.headers.get("Range"), "token": token,
                                              "origin": self.server.server_port}))
        try:
            if self.server.server_port == self.origins[1]:
                if token:
                    self.hub.note("leaks", path)
                self.serve_large(path)
            else:
                self.serve(path, token)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def serve(self, path, token):
        parts = path.strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        repository = "/".join(parts[2:4] if api else parts[:2])
        fault = self.hub.take_fault(path)
        if fault and fault.startswith("status-"):
            status = int(fault[7:])
            return self.answer(status, **({"Retry_After": 1} if status == 429 else {}))
        if fault == "gated":
            return self.error(403, "GatedRepo", "Access to this model is restricted")
        if not (self.hub.folder / repository).is_dir():
            return self.error(404 if token else 401, "RepoNotFound", "Repository not found")
        if repository.startswith("private/") and token != f"Bearer {TOKEN}":
            return self.error(401, "RepoNotFound", "Repository not found")
        commit = self.hub.commit(repository)
        if api and len(parts) == 4:
            parts += ["revision", "main"]
        revision = parts[5] if api and len(parts) > 5 else parts[3] if len(parts) > 3 else ""
        if revision not in ("main", "v1", commit):
            return self.error(404, "RevisionNotFound", "Invalid rev id")
        if api and parts[4] == "revision":
            return self.answer(200, json.dumps({"id": repository, "sha": commit, "siblings": [
                {"rfilename": name} for name in self.hub.files(repository)]}).encode())
        if api and parts[4] == "tree":
            return self.list_files(repository, commit)
        if not api and parts[2] == "resolve":
            return self.resolve(repository, commit, "/".join(parts[4:]), fault)
        self.error(404, "EntryNotFound", "no such address")

    def list_files(self, repository, commit):
        names = self.hub.files(repository)
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        begin = int(query.get("cursor", ["0"])[0])
        entries = []
        for name in names[begin:begin + PAGE]:
            path = self.hub.folder / repository / name
            sha256, git = self.hub.digest(path)
            entry = {"type": "file", "oid": git, "size": path.stat().st_size, "path": name}
            if sha256:
                entry["oid"] = hashlib.sha1(name.encode()).hexdigest()  # of the pointer
                entry["lfs"] = {"oid": sha256, "size": entry["size"], "pointerSize": 134}
            entries.append(entry)
        headers = {}
        if begin + PAGE < len(names):
            headers["Link"] = (f"<http://localhost:{self.origins[0]}/api/models/{repository}/tree/{commit}"
                               f"?recursive=true&cursor={begin + PAGE}>; rel=\"next\"")
        self.answer(200, json.dumps(entries).encode(), **headers)

    def resolve(self, repository, commit, name, fault):
        path = self.hub.folder / repository / name
        if not path.is_file():
            return self.error(404, "EntryNotFound", "Entry not found")
        sha256, git = self.hub.digest(path)
        headers = {"X_Repo_Commit": commit, "ETag": f'"{sha256 or git}"'}
        if sha256:
            headers.update(X_Linked_Etag=f'"{sha256}"', X_Linked_Size=path.stat().st_size, X_Xet_Hash=sha256,
                           Location=f"http://127.0.0.1:{self.origins[1]}/{repository}/{name}?signature=secret")
            return self.answer(302, **headers)
        self.send_file(path, fault, headers)

    def serve_large(self, path):
        self.send_file(self.hub.folder / path.strip("/"), self.hub.take_fault("large" + path), {})

    def send_file(self, path, fault, headers):
        if fault and fault.startswith("status-"):
            return self.answer(int(fault[7:]))
        data = path.read_bytes()
        size, begin, status = len(data), 0, 200
        wanted = self.headers.get("Range")
        if wanted and fault != "whole":
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
            if begin >= size:
                return self.answer(416, Content_Range=f"bytes */{size}")
            status = 206
            if fault == "other-part":
                begin -= 1
        if fault == "wrong":
            data = data[:-1] + bytes([data[-1] ^ 1])
        if fault == "short":
            data = data[:-10]
        if fault == "long":
            data += b"more"
        body = data[begin:]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        if status == 206:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault and fault.startswith("cut-"):
            self.wfile.write(body[:int(fault[4:])])
            self.close_connection = True
            return
        if fault == "hang":
            self.wfile.write(body[:len(body) // 2])
            self.wfile.flush()
            (self.hub.state / "hanging").touch()
            while not (self.hub.state / "release").exists():
                threading.Event().wait(0.02)
            body = body[len(body) // 2:]
        self.wfile.write(body)


def main():
    Handler.hub = Hub(*sys.argv[1:3])
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
    Handler.origins = [server.server_port for server in servers]
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    address = Handler.hub.state / "address"
    text = f"http://localhost:{Handler.origins[0]}\nhttp://127.0.0.1:{Handler.origins[1]}\n"
    address.with_suffix(".new").write_text(text)
    os.replace(address.with_suffix(".new"), address)
    sys.stdin.read()  # until whoever started it closes this


if __name__ == "__main__":
    main()
