"""A Hugging Face Hub on the loopback, for tests: it speaks to the unmodified `huggingface_hub`, and can misbehave.

```python
server = HubServer()
server.start()
server.create("org/model")
server.commit("org/model", {"config.json": b"{}"})
server.faults.append(Fault("GET", "config.json", status=503))
HfApi(endpoint=server.url, token="hf_write").model_info("org/model")
server.stop()
```

Repositories are kept in memory. Data sets and spaces are named with their kind: `datasets/org/name`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, quote, unquote

import uvicorn
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGE_SUFFIXES = (".safetensors", ".bin", ".pt", ".pkl", ".png", ".jpg")
LARGE_SIZE = 10_000_000
ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LARGE_SUFFIXES).encode()
HARNESSES = "/api/agent-harnesses"  # the client asks for it once a day, whatever it was called for: no part of a test
FLIPPED = bytes(255 - byte for byte in range(256))


def is_large(path: str, size: int) -> bool:
    """Whether a file is kept as a large object (LFS). Empty ones never are: the client sends them in the commit."""
    return size > LARGE_SIZE or (path.endswith(LARGE_SUFFIXES) and size > 0)


@lru_cache(maxsize=64)  # each request for a file needs its hash, and large files take long
def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@lru_cache(maxsize=64)
def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def pointer(data: bytes) -> bytes:
    """What git keeps in place of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(data)}\nsize {len(data)}\n".encode()


def etag(path: str, data: bytes) -> str:
    return sha256(data) if is_large(path, len(data)) else git_sha1(data)


@dataclass
class Fault:
    """What goes wrong with the requests that match; of several that match, the first that is not used up is applied."""

    method: str = "GET"  # or "*"
    path: str = ".*"  # a regular expression, searched in the path (unquoted, without the query)
    times: int = 1  # how many requests it hits: counted down; -1: all
    status: int | None = None  # answer with this status instead
    headers: dict[str, str] = field(default_factory=dict)
    error_code: str = ""  # X-Error-Code
    message: str = "fault"  # X-Error-Message, and {"error": ...}
    after: bool = False  # do the work first, then answer `status`: a lost answer
    delay: float = 0.0  # seconds before anything is done or answered
    # The following damage bodies; only answers that carry one (200, 206) count, so a redirect to the bytes is no hit.
    cut: int | None = None  # send this many bytes of the body, then close the connection
    corrupt: bool = False  # other bytes, same size
    truncate: int | None = None  # a well-formed answer, as if the file had only this many bytes

    @property
    def damages(self) -> bool:
        return self.corrupt or self.cut is not None or self.truncate is not None

    def matches(self, method: str, path: str) -> bool:
        return self.times != 0 and self.method in ("*", method) and re.search(self.path, path) is not None

    def use(self) -> None:
        self.times -= self.times > 0


@dataclass
class Token:
    user: str
    role: str  # "read" or "write"


@dataclass
class Commit:
    sha: str
    parent: str | None
    title: str
    files: dict[str, bytes]
    message: str = ""
    author: str = "org"
    date: str = ""


@dataclass
class Repo:
    """A repository and its history."""

    id: str
    private: bool = False
    gated: bool = False
    commits: list[Commit] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.id.split("/")[-2]

    def find(self, revision: str) -> Commit | None:
        """The commit of a branch, a tag, or (the first seven or more digits of) a sha."""
        sha = self.branches.get(revision) or self.tags.get(revision) or revision
        return next((c for c in self.commits if len(sha) >= 7 and c.sha.startswith(sha)), None)

    def history(self, commit: Commit) -> list[Commit]:
        """A commit and its ancestors, the newest first."""
        commits = [commit]
        while commits[-1].parent is not None:
            parent = self.find(commits[-1].parent)
            assert parent is not None
            commits.append(parent)
        return commits

    def add(self, files: dict[str, bytes], title: str, branch: str, **about: str) -> Commit:
        """A commit whose whole tree is `files`, as the new head of a branch."""
        parent = self.branches.get(branch)
        digest = hashlib.sha1(f"{self.id}\n{parent}\n{title}\n{len(self.commits)}".encode())
        for path in sorted(files):
            digest.update(f"\n{path} {etag(path, files[path])}".encode())
        date = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        commit = Commit(digest.hexdigest(), parent, title, dict(sorted(files.items())), date=date, **about)
        self.commits.append(commit)
        self.branches[branch] = commit.sha
        return commit

    def last_change(self, commit: Commit, path: str) -> Commit:
        """The commit that gave a file or folder its present content."""

        def under(c: Commit) -> dict[str, bytes]:
            return {p: data for p, data in c.files.items() if p == path or p.startswith(path + "/")}

        history = self.history(commit)
        for newer, older in pairwise(history):
            if under(newer) != under(older):
                return newer
        return history[-1]


class Refusal(Exception):
    """An answer other than success, with the headers from which the client makes its exceptions."""

    def __init__(self, status: int, message: str, code: str = "", **content: Any) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.content = status, message, code, content
        self.headers: dict[str, str] = {}

    def response(self) -> Response:
        headers = {"X-Error-Message": self.message} | self.headers
        if self.code:
            headers["X-Error-Code"] = self.code
        return JSONResponse({"error": self.message} | self.content, self.status, headers)


class Faults:
    """The outermost layer: logs the requests and applies the faults. Plain ASGI, to be able to cut an answer."""

    def __init__(self, app: ASGIApp, server: HubServer) -> None:
        self.app, self.server = app, server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, query = scope["raw_path"].decode(), scope["query_string"].decode()
        scope["path"] = path  # quoted: a slash within a revision (%2F) separates nothing
        body = await self.read(receive)  # always: to refuse a body half-way looks like a broken connection

        async def replay() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        if path == HARNESSES:
            await self.app(scope, replay, send)
            return
        self.server.requests.append((scope["method"], f"{path}?{query}" if query else path))
        self.server.headers.append({name.decode().lower(): value.decode() for name, value in scope["headers"]})
        matching = (f for f in self.server.faults if f.matches(scope["method"], unquote(path)))
        fault = next(matching, Fault())  # one that does nothing
        if not fault.damages:
            fault.use()
        await asyncio.sleep(fault.delay)
        if fault.status is not None:
            if fault.after:
                await self.answer(scope, replay)
            refusal = Refusal(fault.status, fault.message, fault.error_code)
            refusal.headers = fault.headers
            await refusal.response()(scope, replay, send)
        elif fault.damages:
            await self.damage(fault, *await self.answer(scope, replay), send)
        else:
            await self.app(scope, replay, send)

    async def read(self, receive: Receive) -> bytes:
        parts, more = [], True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        return b"".join(parts)

    async def answer(self, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
        """The head and the body of the true answer."""
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self.app(scope, receive, keep)
        return messages[0], b"".join(message["body"] for message in messages[1:])

    async def damage(self, fault: Fault, head: Message, body: bytes, send: Send) -> None:
        cut = len(body)
        if head["status"] in (200, 206):
            fault.use()
            headers = {name: value for name, value in head["headers"] if name != b"content-length"}
            if fault.corrupt:
                body = body.translate(FLIPPED)
            if fault.truncate is not None:
                first = re.match(rb"bytes (\d+)-", headers.get(b"content-range", b""))
                start = int(first[1]) if first else 0
                body = body[: max(0, fault.truncate - start)]
                if first:
                    span = f"bytes {start}-{max(start, start + len(body) - 1)}/{fault.truncate}"
                    headers[b"content-range"] = span.encode()
            cut = len(body) if fault.cut is None else fault.cut
            head["headers"] = [*headers.items(), (b"content-length", str(len(body)).encode())]
        await send(head)
        # With more_body and nothing after it the server closes the connection.
        await send({"type": "http.response.body", "body": body[:cut], "more_body": cut < len(body)})


class Routes:
    """What all groups of endpoints share: the repository that a request is for, and who may do what with it."""

    def __init__(self, server: HubServer) -> None:
        self.server = server

    def token(self, request: Request) -> Token | None:
        secret = request.headers.get("authorization", "").removeprefix("Bearer ")
        if secret and secret not in self.server.tokens:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.server.tokens.get(secret)

    def value(self, request: Request, name: str) -> str:
        return unquote(request.path_params[name])

    def key(self, request: Request) -> str:
        kind = request.path_params.get("kind", "models")
        repo_id = f"{self.value(request, 'org')}/{self.value(request, 'name')}"
        return repo_id if kind == "models" else f"{kind}/{repo_id}"

    def missing(self, token: Token | None) -> Refusal:
        """Says the same of what is not there and of what is private: who may not see it learns nothing."""
        if token is None:
            return Refusal(401, "Invalid username or password.", "RepoNotFound")
        return Refusal(404, "Repository not found", "RepoNotFound")

    def readable(self, request: Request) -> Repo:
        token = self.token(request)
        repo = self.server.repos.get(self.key(request))
        if repo is None or not self.sees(token, repo):
            raise self.missing(token)
        return repo

    def writable(self, request: Request) -> Repo:
        repo, token = self.readable(request), self.token(request)
        if token is None:  # in production the client knows this case by the address; on the loopback, by the code
            raise Refusal(401, "Invalid username or password.", "RepoNotFound")
        self.check_role(token, repo.owner)
        return repo

    def sees(self, token: Token | None, repo: Repo) -> bool:
        return not repo.private or (token is not None and token.user == repo.owner)

    def check_role(self, token: Token, owner: str) -> None:
        if token.role != "write":
            raise Refusal(403, "Forbidden: you must use a write token to upload to a repository.")
        if token.user != owner:
            raise Refusal(403, f'You don\'t have the rights to write under the namespace "{owner}".')

    def commit(self, request: Request, repo: Repo) -> Commit:
        revision = unquote(request.path_params.get("rev", "main"))
        commit = repo.find(revision)
        if commit is None:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def page(self, request: Request, items: Sequence[Any]) -> Response:
        """As many items as the server gives at once, with a link to the next ones."""
        query = request.query_params
        start = int(query.get("cursor", 0))
        end = start + min(int(query.get("limit", self.server.page)), self.server.page)
        headers = {}
        if end < len(items):
            headers["Link"] = f'<{request.url.include_query_params(cursor=end)}>; rel="next"'
        return JSONResponse(items[start:end], headers=headers)


def metadata(readme: str) -> dict[str, Any]:
    """The YAML header of a card. Raises `yaml.YAMLError`."""
    found = re.match(r"\s*---\r?\n(.*?)\r?\n---\s*(\n|$)", readme, re.DOTALL)
    content = yaml.safe_load(found[1]) if found else None
    return content if isinstance(content, dict) else {}


class Lookup(Routes):
    """Who am I, which models are there, what is in them."""

    def routes(self) -> list[Route]:
        repo = "/api/{kind}/{org}/{name}"
        return [
            Route("/api/whoami-v2", self.whoami),
            Route("/api/models", self.models),
            Route(f"{repo}/refs", self.refs),
            Route(f"{repo}/commits/{{rev}}", self.commits),
            Route(f"{repo}/tree/{{rev}}", self.tree),
            Route(f"{repo}/tree/{{rev}}/{{path:path}}", self.tree),
            Route(f"{repo}/paths-info/{{rev}}", self.paths, methods=["POST"]),
            Route(f"{repo}/revision/{{rev}}", self.info),
            Route(repo, self.info),
        ]

    async def whoami(self, request: Request) -> Response:
        token = self.token(request)
        if token is None:
            raise Refusal(401, "Invalid username or password.")
        auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": token.role}}
        return JSONResponse({"type": "user", "name": token.user, "fullname": token.user, "orgs": [], "auth": auth})

    async def models(self, request: Request) -> Response:
        query, token = request.query_params, self.token(request)
        found = []
        for key, repo in self.server.repos.items():
            info = self.describe(repo, self.commit(request, repo))
            wanted = set(query.getlist("filter")) | set(query.getlist("pipeline_tag"))
            if (
                key == repo.id  # a model
                and self.sees(token, repo)
                and wanted <= set(info["tags"])
                and query.get("author", repo.owner) == repo.owner
                and query.get("search", "").lower() in repo.id.lower()
            ):
                found.append(info)
        if query.get("sort") in ("lastModified", "createdAt"):
            found.sort(key=lambda info: info[query["sort"]], reverse=True)
        if not query.getlist("expand"):
            if query.get("cardData") != "true":
                found = [{k: v for k, v in info.items() if k != "cardData"} for info in found]
            if query.get("full") != "true":
                extra = ("siblings", "sha", "author", "lastModified", "gated")
                found = [{k: v for k, v in info.items() if k not in extra} for info in found]
        return self.page(request, [self.expanded(request, info) for info in found])

    async def info(self, request: Request) -> Response:
        repo = self.readable(request)
        info = self.describe(repo, self.commit(request, repo), request.query_params.get("blobs") == "true")
        return JSONResponse(self.expanded(request, info))

    def expanded(self, request: Request, info: dict[str, Any]) -> dict[str, Any]:
        wanted = request.query_params.getlist("expand")
        return {k: v for k, v in info.items() if not wanted or k in ("_id", "id", *wanted)}

    def describe(self, repo: Repo, commit: Commit, blobs: bool = False) -> dict[str, Any]:
        try:
            card = metadata(commit.files.get("README.md", b"").decode())
        except yaml.YAMLError:
            card = {}
        named = [card.get("library_name"), card.get("pipeline_tag"), *(card.get("tags") or [])]
        if "license" in card:
            named.append(f"license:{card['license']}")
        siblings = []
        for path, data in commit.files.items():
            sibling: dict[str, Any] = {"rfilename": path}
            if blobs:
                entry = self.entry(repo, commit, path, data)
                sibling |= {"size": entry["size"], "blobId": entry["oid"]}
                if "lfs" in entry:
                    sibling["lfs"] = {"sha256": entry["lfs"]["oid"]} | entry["lfs"]
            siblings.append(sibling)
        info = {
            "_id": git_sha1(repo.id.encode())[:24],
            "id": repo.id.removeprefix("datasets/").removeprefix("spaces/"),
            "modelId": repo.id,
            "author": repo.owner,
            "sha": commit.sha,
            "createdAt": repo.commits[0].date,
            "lastModified": commit.date,
            "private": repo.private,
            "gated": "manual" if repo.gated else False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": list(dict.fromkeys(tag for tag in named if tag)),
            "cardData": card,
            "siblings": siblings,
        }
        return info | {k: card[k] for k in ("library_name", "pipeline_tag") if k in card}

    def entry(self, repo: Repo, commit: Commit, path: str, data: bytes | None, expand: bool = False) -> dict[str, Any]:
        """One file (or folder, without data) of a listing."""
        entry: dict[str, Any] = {"type": "directory", "oid": git_sha1(path.encode()), "size": 0, "path": path}
        if data is not None:
            large = is_large(path, len(data))
            entry |= {"type": "file", "oid": git_sha1(pointer(data) if large else data), "size": len(data)}
            if large:
                entry["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": len(pointer(data))}
        if expand:
            change = repo.last_change(commit, path)
            entry["lastCommit"] = {"id": change.sha, "title": change.title, "date": change.date}
        return entry

    def entries(self, repo: Repo, commit: Commit, expand: bool) -> dict[str, dict[str, Any]]:
        """All folders and files of a commit."""
        found: dict[str, bytes | None] = {}
        for path, data in commit.files.items():
            parts = path.split("/")
            found |= {"/".join(parts[:n]): None for n in range(1, len(parts))} | {path: data}
        return {path: self.entry(repo, commit, path, found[path], expand) for path in sorted(found)}

    async def tree(self, request: Request) -> Response:
        repo = self.readable(request)
        commit = self.commit(request, repo)
        query, folder = request.query_params, unquote(request.path_params.get("path", "")).strip("/")
        entries = self.entries(repo, commit, query.get("expand", "").lower() == "true")
        if folder and entries.get(folder, {}).get("type") != "directory":
            raise Refusal(404, f"{folder} does not exist on {commit.sha}", "EntryNotFound")
        start = len(folder) + 1 if folder else 0
        inside = [entry for path, entry in entries.items() if not folder or path.startswith(folder + "/")]
        if query.get("recursive", "").lower() != "true":
            inside = [entry for entry in inside if "/" not in entry["path"][start:]]
        return self.page(request, inside)

    async def paths(self, request: Request) -> Response:
        repo = self.readable(request)
        form = parse_qs((await request.body()).decode())
        entries = self.entries(repo, self.commit(request, repo), form.get("expand", [""])[0].lower() == "true")
        wanted = [path.strip("/") for path in form.get("paths", [])]
        return JSONResponse([entries[path] for path in wanted if path in entries])

    async def refs(self, request: Request) -> Response:
        repo = self.readable(request)
        refs = {
            kind: [{"name": name, "ref": f"{under}/{name}", "targetCommit": sha} for name, sha in targets.items()]
            for kind, under, targets in (
                ("branches", "refs/heads", repo.branches),
                ("tags", "refs/tags", repo.tags),
            )
        }
        return JSONResponse({**refs, "converts": [], "pullRequests": []})

    async def commits(self, request: Request) -> Response:
        repo = self.readable(request)
        history = [
            {"id": c.sha, "title": c.title, "message": c.message, "date": c.date, "authors": [{"user": c.author}]}
            for c in repo.history(self.commit(request, repo))
        ]
        return self.page(request, history)


class Bytes(Routes):
    """The content of files: small ones at once, large ones by a redirect to another origin."""

    def routes(self) -> list[Route]:
        return [
            Route("/cdn/{sha}/{path:path}", self.cdn),
            Route("/{org}/{name}/resolve/{rev}/{path:path}", self.resolve),
            Route("/{kind}/{org}/{name}/resolve/{rev}/{path:path}", self.resolve),
        ]

    async def resolve(self, request: Request) -> Response:
        repo, token = self.readable(request), self.token(request)
        if repo.gated and (token is None or token.user != repo.owner):
            message = f"Access to model {repo.id} is restricted and you are not in the authorized list."
            raise Refusal(403, message, "GatedRepo")
        commit, path = self.commit(request, repo), self.value(request, "path")
        headers = {"X-Repo-Commit": commit.sha}
        data = commit.files.get(path)
        if data is None:
            refusal = Refusal(404, "Entry not found", "EntryNotFound")
            refusal.headers = headers  # by which the client remembers that the file is not there
            raise refusal
        if not is_large(path, len(data)):
            return self.content(request, data, headers | {"ETag": f'"{git_sha1(data)}"'})
        self.server.objects[sha256(data)] = data
        headers |= {"X-Linked-Etag": f'"{sha256(data)}"', "X-Linked-Size": str(len(data))}
        return Response(None, 302, headers | {"Location": f"{self.server.other}/cdn/{sha256(data)}/{quote(path)}"})

    async def cdn(self, request: Request) -> Response:
        if "authorization" in request.headers:
            raise Refusal(400, "Only one auth mechanism allowed")  # as object stores do: the address is the permission
        data = self.server.objects.get(request.path_params["sha"])
        if data is None:
            raise Refusal(404, "NoSuchKey")
        return self.content(request, data, {"ETag": f'"{sha256(data)}"'})

    def content(self, request: Request, data: bytes, headers: dict[str, str]) -> Response:
        headers |= {"Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
        if wanted is None:
            return Response(data, 200, headers, "application/octet-stream")
        first, last = wanted.groups()
        start = int(first) if first else max(0, len(data) - int(last))
        end = min(len(data), int(last) + 1) if first and last else len(data)
        if start >= end:
            return Response(None, 416, headers | {"Content-Range": f"bytes */{len(data)}"})
        span = {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}
        return Response(data[start:end], 206, headers | span, "application/octet-stream")


class Changes(Routes):
    """Repositories, commits, tags and branches, made and deleted."""

    def routes(self) -> list[Route]:
        repo = "/api/{kind}/{org}/{name}"
        return [
            Route("/api/repos/create", self.create, methods=["POST"]),
            Route("/api/repos/delete", self.delete, methods=["DELETE"]),
            Route("/api/validate-yaml", self.validate, methods=["POST"]),
            Route(f"{repo}/preupload/{{rev}}", self.preupload, methods=["POST"]),
            Route(f"{repo}/commit/{{rev}}", self.add, methods=["POST"]),
            Route(f"{repo}/tag/{{ref}}", self.ref, methods=["POST", "DELETE"]),
            Route(f"{repo}/branch/{{ref}}", self.ref, methods=["POST", "DELETE"]),
        ]

    async def named(self, request: Request) -> tuple[str, Token, dict[str, Any]]:
        """The key of the repository that the body names, and the token, which may write there."""
        token, body = self.token(request), await request.json()
        if token is None:
            raise Refusal(401, "Invalid username or password.")
        owner = body.get("organization") or token.user
        self.check_role(token, owner)
        kind = body.get("type") or "model"
        return ("" if kind == "model" else f"{kind}s/") + f"{owner}/{body['name']}", token, body

    async def create(self, request: Request) -> Response:
        key, _, body = await self.named(request)
        url = f"{self.server.url}/{key}"
        if key in self.server.repos:
            raise Refusal(409, "You already created this model repo", url=url)
        self.server.create(key, private=body.get("visibility") == "private" or body.get("private") is True)
        return JSONResponse({"url": url, "name": key})

    async def delete(self, request: Request) -> Response:
        key, token, _ = await self.named(request)
        if self.server.repos.pop(key, None) is None:
            raise self.missing(token)
        return Response("OK")

    async def validate(self, request: Request) -> Response:
        try:
            card = metadata((await request.json())["content"])
        except yaml.YAMLError as error:
            return JSONResponse({"errors": [{"message": str(error)}], "warnings": []}, 400)
        if not isinstance(card.get("model-index", []), list):
            return JSONResponse({"errors": [{"message": '"model-index" must be an array'}], "warnings": []}, 400)
        warnings = [] if card else [{"message": "empty or missing yaml metadata in repo card"}]
        return JSONResponse({"errors": [], "warnings": warnings})

    async def preupload(self, request: Request) -> Response:
        repo = self.writable(request)
        present = self.commit(request, repo).files
        answers = []
        for asked in (await request.json())["files"]:
            path = asked["path"]
            mode = "lfs" if is_large(path, asked["size"]) else "regular"
            oid = etag(path, present[path]) if path in present else None
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return JSONResponse({"files": answers})

    async def add(self, request: Request) -> Response:
        repo, branch = self.writable(request), self.value(request, "rev")
        head = repo.branches.get(branch)
        if head is None:
            raise Refusal(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        if "create_pr" in request.query_params:
            raise Refusal(400, "This server has no pull requests")
        files = dict(self.commit(request, repo).files)
        title = message = ""
        for line in (await request.body()).splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "header":
                title, message = value["summary"], value.get("description", "")
                if value.get("parentCommit", head) != head:
                    raise Refusal(412, "A commit has happened since. Please refresh and try again.")
            else:
                self.apply(files, operation["key"], value)
        token = self.token(request)
        assert token is not None
        sha = repo.add(files, title, branch, message=message, author=token.user).sha
        url = f"{self.server.url}/{repo.id}/commit/{sha}"
        return JSONResponse({"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})

    def apply(self, files: dict[str, bytes], key: str, value: dict[str, Any]) -> None:
        path = value["path"].strip("/")
        if key == "file":
            files[path] = base64.b64decode(value["content"])
        elif key == "lfsFile":
            if value["oid"] not in self.server.objects:
                raise Refusal(400, f"LFS pointer pointed to a file that does not exist: {path}")
            files[path] = self.server.objects[value["oid"]]
        else:
            gone = [p for p in files if (p == path if key == "deletedFile" else p.startswith(path + "/"))]
            if not gone:
                raise Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
            for p in gone:
                del files[p]

    async def ref(self, request: Request) -> Response:
        """A tag is posted to the revision it is for, a branch to its own name."""
        repo, ref = self.writable(request), self.value(request, "ref")
        is_tag = "/tag/" in request.url.path
        refs = repo.tags if is_tag else repo.branches
        if request.method == "DELETE":
            if ref == "main" and not is_tag:
                raise Refusal(403, "The main branch is protected")
            if refs.pop(ref, None) is None:
                raise Refusal(404, f"Invalid rev id: {ref}", "RevisionNotFound")
            return Response("OK")
        body = await request.json()
        name, revision = (body["tag"], ref) if is_tag else (ref, body.get("startingPoint", "main"))
        commit = repo.find(revision)
        if commit is None:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        if name in refs:
            raise Refusal(409, f"Reference already exists: {name}")
        refs[name] = commit.sha
        return Response("OK")


class Uploads(Routes):
    """Large objects: asked for in a batch, sent in one request or in parts, then verified."""

    def routes(self) -> list[Route]:
        return [
            Route(f"{kind}/{{org}}/{{name}}.git/info/lfs/objects/batch", self.batch, methods=["POST"])
            for kind in ("", "/{kind}")
        ] + [
            Route("/upload/verify", self.verify, methods=["POST"]),
            Route("/upload/{sha}", self.put, methods=["PUT"]),
            Route("/upload/{sha}", self.complete, methods=["POST"]),
            Route("/upload/{sha}/{part:int}", self.put_part, methods=["PUT"]),
        ]

    async def batch(self, request: Request) -> Response:
        self.writable(request)
        objects = []
        for asked in (await request.json())["objects"]:
            sha, size = asked["oid"], asked["size"]
            answer: dict[str, Any] = {"oid": sha, "size": size}
            if sha not in self.server.objects:
                upload: dict[str, Any] = {"href": f"{self.server.other}/upload/{sha}"}
                if size > self.server.part:
                    parts = -(-size // self.server.part)
                    upload["header"] = {str(n): f"{upload['href']}/{n}" for n in range(1, parts + 1)}
                    upload["header"]["chunk_size"] = str(self.server.part)
                answer["actions"] = {"upload": upload, "verify": {"href": f"{self.server.url}/upload/verify"}}
            objects.append(answer)
        return JSONResponse({"transfer": "basic", "objects": objects}, media_type="application/vnd.git-lfs+json")

    async def put(self, request: Request) -> Response:
        return self.keep(request.path_params["sha"], await request.body())

    async def put_part(self, request: Request) -> Response:
        data = await request.body()
        self.server.parts[request.path_params["sha"], request.path_params["part"]] = data
        return Response(None, 200, {"ETag": f'"{sha256(data)}"'})

    async def complete(self, request: Request) -> Response:
        sha = request.path_params["sha"]
        numbers = [part["partNumber"] for part in (await request.json())["parts"]]
        return self.keep(sha, b"".join(self.server.parts.pop((sha, number)) for number in numbers))

    def keep(self, sha: str, data: bytes) -> Response:
        if sha256(data) != sha:
            raise Refusal(400, "The content does not have the announced sha256")
        self.server.objects[sha] = data
        return Response(None, 200, {"ETag": f'"{sha}"'})

    async def verify(self, request: Request) -> Response:
        asked = await request.json()
        data = self.server.objects.get(asked["oid"])
        if data is None or len(data) != asked["size"]:
            raise Refusal(404, "The object was not uploaded")
        return JSONResponse({})


class HubServer:
    """The server and all that it knows; tests may look at it and change it between requests."""

    page = 50  # items of a listing that are given at once
    part = 16 << 20  # larger objects are uploaded in parts of this size

    def __init__(self, port: int = 0) -> None:
        self._socket = self._bind(port)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.other = f"http://localhost:{self.port}"  # for the client another origin, to which no token may go
        self.repos: dict[str, Repo] = {}
        self.tokens: dict[str, Token] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []  # method, and path with query
        self.headers: list[dict[str, str]] = []  # of each request, names in lower case
        self.objects: dict[str, bytes] = {}  # large objects by their sha256
        self.parts: dict[tuple[str, int], bytes] = {}
        self.reset()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def reset(self) -> None:
        """Forgets repositories, faults and requests; keeps running."""
        for state in (self.repos, self.faults, self.requests, self.headers, self.objects, self.parts, self.tokens):
            state.clear()
        self.tokens.update(hf_write=Token("org", "write"), hf_read=Token("reader", "read"))

    def start(self) -> None:
        """Returns when connections are accepted. After `stop` it starts again at the same port."""
        if self._socket.fileno() == -1:
            self._socket = self._bind(self.port)
        config = uvicorn.Config(
            self._app(), http="h11", loop="asyncio", lifespan="off", log_level="critical", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError(f"the server did not start at {self.url}")
            threading.Event().wait(0.005)  # tests may have replaced time.sleep

    def stop(self) -> None:
        """Returns when the port is closed: from then on connections are refused."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=10)
        self._server = self._thread = None
        self._socket.close()

    def create(self, repo_id: str, private: bool = False, gated: bool = False) -> Repo:
        """A new repository, with the first commit that the Hub makes itself."""
        repo = self.repos[repo_id] = Repo(repo_id, private, gated)
        repo.add({".gitattributes": ATTRIBUTES}, "initial commit", "main", author=repo.owner)
        return repo

    def commit(self, repo_id: str, files: dict[str, bytes], title: str = "commit", branch: str = "main") -> str:
        """Adds or replaces files, without a client; returns the sha of the commit."""
        repo = self.repos[repo_id]
        head = repo.find(branch)
        assert head is not None, f"{repo_id} has no branch {branch}"
        return repo.add(head.files | files, title, branch, author=repo.owner).sha

    def _bind(self, port: int) -> socket.socket:
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        return bound

    def _app(self) -> ASGIApp:
        async def refuse(request: Request, error: Exception) -> Response:
            assert isinstance(error, Refusal)
            return error.response()

        async def nothing(request: Request) -> Response:
            # A name without an owner has no address of its own here, and is for the client a missing repository.
            if re.match(r"/api/models/[^/]+(/revision/|$)|/[^/]+/resolve/", request.url.path):
                raise Lookup(self).missing(Lookup(self).token(request))
            raise Refusal(404, "Sorry, we can't find the page you are looking for.")

        groups = (Uploads(self), Changes(self), Lookup(self), Bytes(self))
        routes = [route for group in groups for route in group.routes()]
        routes.append(Route("/{path:path}", nothing, methods=["GET", "POST", "PUT", "DELETE"]))
        return Faults(Starlette(routes=routes, exception_handlers={Refusal: refuse}), self)
