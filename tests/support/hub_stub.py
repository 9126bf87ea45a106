"""A Hugging Face Hub on loopback, in memory: the part of its API that the client uses."""

import base64
import contextlib
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

_LFS_FROM = 100_000
"""Files of so many bytes and more are uploaded beside the commit."""

_PAGE = 3
"""Files in one answer of a listing."""


class Hub:
    """`repos` are (type, name) -> list of commits, each all its files; a context manager."""

    def __init__(self):
        self.repos, self.lfs, self.log = {}, {}, []
        self.failures = []
        """Statuses of the next answers, or (status, headers)."""
        self.failing = {}
        """End of a path -> status of every answer about it."""
        self.hides_sizes = False
        self.forbidden = set()
        """Repositories that may not be written."""
        self.visibility = {}
        """Repository -> `private`, `public` or None, as asked for when it was created."""
        self.tags = {}
        """Name -> index of a commit, as a revision."""
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self})
        )
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.server.shutdown()
        self.server.server_close()

    def files(self, kind, repo):
        return self.repos[(kind, repo)][-1]

    def sha(self, kind, repo, index=-1):
        n = len(self.repos[(kind, repo)])
        return f"{(index % n) + 1:040x}"

    def commits(self, kind, repo):
        """How many were made, without the empty one at the start."""
        return len(self.repos.get((kind, repo), [{}])) - 1


def _oid(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _etag(data):
    return hashlib.sha256(data).hexdigest() if len(data) >= _LFS_FROM else _oid(data)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self._answer(self._get)

    do_HEAD = do_GET

    def do_POST(self):
        self._answer(self._post)

    def do_PUT(self):
        self._answer(self._put)

    def _answer(self, work):
        url = urlsplit(self.path)
        self.path_only, self.query = unquote(url.path), parse_qs(url.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            self.body = self._chunks()
        self.hub.log.append((self.command, self.path_only))
        with self.hub.lock:
            if self.hub.failures:
                failure = self.hub.failures.pop(0)
                status, headers = failure if isinstance(failure, tuple) else (failure, {})
                return self._send(status, {"error": "as asked for"}, headers.items())
            for end, status in self.hub.failing.items():
                if self.path_only.endswith(end):
                    return self._send(status, {"error": "as asked for"})
            work()
        return None

    def _chunks(self):
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status, value=None, headers=(), data=None):
        data = json.dumps(value).encode() if data is None else data
        self.send_response(status)
        for name, text in dict(headers).items():
            self.send_header(name, text)
        if self.hub.hides_sizes:
            self.close_connection = True
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _send_page(self, found):
        start = int(self.query.get("cursor", ["0"])[0])
        more = {
            "Link": f"<{self.hub.url}{self.path_only}?recursive=true&cursor={start + _PAGE}>; "
            'rel="next"'
        }
        self._send(200, found[start : start + _PAGE], more if start + _PAGE < len(found) else ())

    def _missing(self, code, more={}):  # noqa: B006
        self._send(404, {"error": code}, {"X-Error-Code": code, "X-Error-Message": code, **more})

    def _repo(self, kind, repo):
        if (kind, repo) not in self.hub.repos:
            self._missing("RepoNotFound")
            return False
        return True

    def _put(self):
        self.hub.lfs[self.path_only.rpartition("/")[2]] = self.body
        self._send(200, {})

    def _post(self):
        path = self.path_only
        if path == "/api/validate-yaml":  # of a README.md
            return self._send(200, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            asked = json.loads(self.body)
            kind = asked.get("type") or "model"
            name = (
                f"{asked['organization']}/{asked['name']}"
                if asked.get("organization")
                else asked["name"]
            )
            if name in self.hub.forbidden:
                return self._send(403, {"error": "forbidden"})
            self.hub.repos.setdefault((kind, name), [{}])
            older = {True: "private", False: "public"}.get(asked.get("private"))
            self.hub.visibility[name] = asked.get("visibility", older)
            return self._send(200, {"url": f"{self.hub.url}/{name}"})
        if match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            objects = [
                {**item, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{item['oid']}"}}}
                for item in json.loads(self.body)["objects"]
            ]
            return self._send(200, {"transfer": "basic", "objects": objects})
        match = re.fullmatch(
            r"/api/(model|dataset)s/([^/]+/[^/]+)/(preupload|commit|paths-info)/([^/]+)", path
        )
        kind, repo, what, revision = match.groups()
        if not self._repo(kind, repo):
            return None
        if what == "preupload":
            files = json.loads(self.body)["files"]
            there = self.hub.files(kind, repo)
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["size"] >= _LFS_FROM else "regular",
                    "shouldIgnore": False,
                    "oid": _etag(there[file["path"]]) if file["path"] in there else None,
                }
                for file in files
            ]
            return self._send(200, {"files": modes})
        if what == "paths-info":
            asked = json.loads(self.body) if self.body[:1] == b"{" else parse_qs(self.body.decode())
            files = self._at(kind, repo, revision)
            return self._send(200, [self._info(p, files[p]) for p in asked["paths"] if p in files])
        return self._commit(kind, repo)

    def _at(self, kind, repo, revision):
        return self.hub.repos[(kind, repo)][self._index(revision)]

    def _index(self, revision):
        """Of a commit; None if there is no such revision."""
        if revision in ("main", *self.hub.tags):
            return self.hub.tags.get(revision, -1)
        return int(revision, 16) - 1 if re.fullmatch("[0-9a-f]{40}", revision) else None

    def _info(self, path, data):
        return {"type": "file", "path": path, "size": len(data), "oid": _oid(data)}

    def _commit(self, kind, repo):
        if repo in self.hub.forbidden:
            return self._send(403, {"error": "forbidden"})
        files = dict(self.hub.files(kind, repo))
        for line in self.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                parent = value.get("parentCommit")
                if parent is not None and parent != self.hub.sha(kind, repo):
                    return self._send(412, {"error": "A commit has happened since"})
            elif item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.hub.lfs[value["oid"]]
            elif item["key"] == "deletedFile":
                files.pop(value["path"])
        self.hub.repos[(kind, repo)].append(files)
        sha = self.hub.sha(kind, repo)
        answer = {
            "commitUrl": f"{self.hub.url}/{repo}/commit/{sha}",
            "commitOid": sha,
            "pullRequestUrl": None,
        }
        return self._send(200, {"success": True, **answer})

    def _get(self):
        path = self.path_only
        if match := re.fullmatch(
            r"/api/(model|dataset)s/([^/]+/[^/]+)(?:/revision/([^/]+))?", path
        ):
            kind, repo, _ = match.groups()
            if self._repo(kind, repo):
                self._send(
                    200,
                    {"id": repo, "sha": self.hub.sha(kind, repo), "private": True, "siblings": []},
                )
            return
        if match := re.fullmatch(
            r"/api/(model|dataset)s/([^/]+/[^/]+)/tree/([^/]+)(?:/(.*))?", path
        ):
            kind, repo, revision, folder = match.groups()
            if self._repo(kind, repo):
                files = self._at(kind, repo, revision)
                found = [
                    self._info(p, d)
                    for p, d in files.items()
                    if not folder or p.startswith(f"{folder}/")
                ]
                if not found and folder:
                    self._missing("EntryNotFound")
                else:
                    self._send_page(found)
            return
        match = re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.*)", path)
        kind, (_, repo, revision, name) = "dataset" if match[1] else "model", match.groups()
        if not self._repo(kind, repo):
            return
        if self._index(revision) is None:
            self._missing("RevisionNotFound")
            return
        files = self._at(kind, repo, revision)
        sha = self.hub.sha(kind, repo, self._index(revision))
        if name not in files:
            self._missing("EntryNotFound", {"X-Repo-Commit": sha})
            return
        data = files[name]
        headers = {"ETag": f'"{_etag(data)}"', "X-Repo-Commit": sha}
        self._send(200, headers=headers, data=data)


@contextlib.contextmanager
def as_the_hub(monkeypatch, cache):
    """A Hub that the real client in this process talks to, with an empty cache in a folder."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    with Hub() as stub:
        monkeypatch.setenv("HF_ENDPOINT", stub.url)
        yield stub
