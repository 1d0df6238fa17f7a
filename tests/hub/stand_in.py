"""A small stand-in of the hub's HTTP interface: repositories, large files, commits and downloads, in memory.

It speaks what `create_repo`, `upload_folder` and `snapshot_download` ask, checks every upload against its announced
hash and size, and keeps a log of requests. It shares no code with the client.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

LICENCES = ("apache-2.0", "cc-by-nc-sa-4.0", "mit", "other")
LARGE_SUFFIXES = (".safetensors", ".bin")


@dataclass
class Repository:
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)
    commits: list[dict[str, Any]] = field(default_factory=list)

    @property
    def sha(self) -> str:
        return hashlib.sha1(f"commit {len(self.commits)}".encode()).hexdigest()


@dataclass
class Hub:
    """What the stand-in holds; `tokens` maps a token to the owner that it may write for, or None."""

    address: str = ""
    tokens: dict[str, str | None] = field(default_factory=lambda: {"hf_writer": "someone", "hf_reader": None})
    repositories: dict[str, Repository] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    broken: dict[str, int] = field(default_factory=dict)
    """Part of a path to the status with which requests for it are answered."""


class Refusal(Exception):
    def __init__(self, status: int, message: str, code: str = ""):
        super().__init__(message)
        self.status, self.code = status, code


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.answer()

    do_POST = do_PUT = do_HEAD = do_GET

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.log.append(f"{self.command} {path}")
        try:
            for part, status in self.hub.broken.items():
                if part in path:
                    raise Refusal(status, "out of order")
            for method, pattern, handle in ROUTES:
                found = re.fullmatch(pattern, path)
                if method == self.command and found:
                    handle(self, body, *found.groups())
                    return
            raise Refusal(501, f"the stand-in does not know {self.command} {path}")
        except Refusal as refusal:
            headers = {"X-Error-Message": str(refusal)} | ({"X-Error-Code": refusal.code} if refusal.code else {})
            self.reply({"error": str(refusal)}, refusal.status, headers)

    def reply(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def owner(self) -> str | None:
        """The owner that the request's token may write for."""
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token not in self.hub.tokens:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.hub.tokens[token]

    def writable(self, name: str) -> Repository:
        if self.owner() != name.partition("/")[0]:
            raise Refusal(403, "You don't have the rights to write there")
        return self.readable(name)

    def readable(self, name: str) -> Repository:
        if name not in self.hub.repositories:
            raise Refusal(404, "Repository not found", "RepoNotFound")
        return self.hub.repositories[name]


def create(request: Handler, body: bytes) -> None:
    wanted = json.loads(body)
    owner = request.owner()
    name = f"{wanted.get('organization') or owner}/{wanted['name']}"
    if name.partition("/")[0] != owner:
        raise Refusal(403, f"You don't have the rights to create a model under {name.partition('/')[0]}")
    answer = {"url": f"{request.hub.address}/{name}", "name": name}
    if name in request.hub.repositories:
        request.reply(answer | {"error": "You already created this model repo"}, 409)
        return
    private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
    request.hub.repositories[name] = Repository(private)
    request.reply(answer)


def info(request: Handler, _: bytes, name: str, *revision: str) -> None:
    found = request.readable(name)
    files = [{"rfilename": path} for path in sorted(found.files)]
    request.reply({"id": name, "modelId": name, "private": found.private, "sha": found.sha, "siblings": files})


def tree(request: Handler, _: bytes, name: str, revision: str) -> None:
    found = request.readable(name)
    entries = []
    for path, content in sorted(found.files.items()):
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
        if path in found.large:
            oid = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 135}
        entries.append(entry)
    request.reply(entries)


def validate_card(request: Handler, body: bytes) -> None:
    """Refuse front matter that is no YAML, or whose licence or base model the hub would not know."""
    _, front, _ = json.loads(body)["content"].split("---\n", 2)
    data = yaml.safe_load(front)
    errors = [] if data.get("license") in LICENCES else [{"message": '"license" must be one of the known ones'}]
    if "base_model" in data and not re.fullmatch(r"[\w.-]+/[\w.-]+", str(data["base_model"])):
        errors.append({"message": '"base_model" must be a model id'})
    request.reply({"errors": errors, "warnings": []}, 400 if errors else 200)


def preupload(request: Handler, body: bytes, name: str) -> None:
    found = request.writable(name)
    answers = []
    for file in json.loads(body)["files"]:
        path, large = file["path"], file["path"].endswith(LARGE_SUFFIXES)
        oid = None
        if path in found.files:
            content = found.files[path]
            oid = hashlib.sha256(content).hexdigest() if large else git_hash(content)
        mode = "lfs" if large else "regular"
        answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    request.reply({"files": answers})


def batch(request: Handler, body: bytes, name: str) -> None:
    request.writable(name)
    objects = []
    for item in json.loads(body)["objects"]:
        answer = {"oid": item["oid"], "size": item["size"]}
        if item["oid"] not in request.hub.blobs:
            address = f"{request.hub.address}/large/{item['oid']}/{item['size']}"
            answer["actions"] = {"upload": {"href": address}, "verify": {"href": f"{address}/verify"}}
        objects.append(answer)
    request.reply({"transfer": "basic", "objects": objects})


def receive(request: Handler, body: bytes, oid: str, size: str) -> None:
    if hashlib.sha256(body).hexdigest() != oid or len(body) != int(size):
        raise Refusal(422, "the content is not what was announced")
    request.hub.blobs[oid] = body
    request.reply({})


def verify(request: Handler, body: bytes, oid: str, size: str) -> None:
    request.owner()
    if json.loads(body) != {"oid": oid, "size": int(size)} or oid not in request.hub.blobs:
        raise Refusal(404, "no such content")
    request.reply({})


def commit(request: Handler, body: bytes, name: str) -> None:
    found = request.writable(name)
    lines = [json.loads(line) for line in body.splitlines()]
    assert lines[0]["key"] == "header"
    changed: dict[str, bytes] = {}
    for line in lines[1:]:
        value = line["value"]
        if line["key"] == "file":
            assert value["encoding"] == "base64"
            changed[value["path"]] = base64.b64decode(value["content"], validate=True)
        elif line["key"] == "lfsFile":
            if value["oid"] not in request.hub.blobs:
                raise Refusal(422, f"{value['path']} was never uploaded")
            changed[value["path"]] = request.hub.blobs[value["oid"]]
            found.large.add(value["path"])
        else:
            raise Refusal(501, f"the stand-in knows no {line['key']}")
    found.files |= changed
    found.commits.append(lines[0]["value"] | {"files": sorted(changed)})
    address = f"{request.hub.address}/{name}/commit/{found.sha}"
    request.reply({"success": True, "commitOid": found.sha, "commitUrl": address})


def download(request: Handler, _: bytes, name: str, revision: str, path: str) -> None:
    found = request.readable(name)
    if path not in found.files:
        raise Refusal(404, "no such file", "EntryNotFound")
    content = found.files[path]
    etag = hashlib.sha256(content).hexdigest() if path in found.large else git_hash(content)
    request.reply(content, headers={"ETag": f'"{etag}"', "X-Repo-Commit": found.sha})


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES = (
    ("POST", r"/api/repos/create", create),
    ("POST", r"/api/validate-yaml", validate_card),
    ("GET", rf"/api/models/{NAME}", info),
    ("GET", rf"/api/models/{NAME}/revision/([^/]+)", info),
    ("GET", rf"/api/models/{NAME}/tree/([^/]+)", tree),
    ("POST", rf"/api/models/{NAME}/preupload/main", preupload),
    ("POST", rf"/{NAME}\.git/info/lfs/objects/batch", batch),
    ("PUT", r"/large/(\w+)/(\d+)", receive),
    ("POST", r"/large/(\w+)/(\d+)/verify", verify),
    ("POST", rf"/api/models/{NAME}/commit/main", commit),
    ("GET", rf"/{NAME}/resolve/([^/]+)/(.+)", download),
    ("HEAD", rf"/{NAME}/resolve/([^/]+)/(.+)", download),
)


@contextmanager
def serve() -> Iterator[Hub]:
    """A stand-in that answers until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
