"""
A server that speaks the part of the Hugging Face hub's HTTP API that pushing and loading a model takes, written from the
requests that huggingface_hub makes and sharing no code with it:

    POST /api/repos/create                               a repository
    POST /api/validate-yaml                              whether a card's header is one
    POST /api/models/REPO/preupload/REV                  which files go by LFS: all but Markdown
    POST /REPO.git/info/lfs/objects/batch                where their contents are to be put
    PUT  /lfs/OID                                        one content
    POST /api/models/REPO/commit/REV                     a commit, as lines of JSON
    GET  /api/models/REPO/revision/REV                   its number and files
    GET  /api/models/REPO/tree/REV                       its files with sizes
    HEAD, GET /REPO/resolve/REV/PATH                     one file

A request without the token "hf_secret" is refused where something is written. It prints its port and then keeps quiet.
"""

import base64
import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import yaml


class Repository:
    def __init__(self):
        self.commits = []  # (oid, message, {path: content})

    @property
    def head(self):
        return self.commits[-1]


REPOSITORIES, LFS = {}, {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != "Bearer hf_secret":
            return self.reply(401, {"error": "Invalid username or password."})
        path = unquote(urlsplit(self.path).path)
        if path == "/api/repos/create":
            wanted = json.loads(body)
            name = "/".join(filter(None, (wanted.get("organization"), wanted["name"])))
            if name in REPOSITORIES:
                return self.reply(409, {"error": "You already created this model repo", "url": self.address(name)})
            REPOSITORIES[name] = Repository()
            return self.reply(200, {"url": self.address(name), "name": name})
        if path == "/api/validate-yaml":
            metadata = yaml.safe_load(json.loads(body)["content"].split("---")[1])
            complete = all(result.keys() >= {"task", "dataset", "metrics"} for result in metadata["model-index"][0]["results"])
            errors = [] if complete else [{"message": '"model-index" is incomplete'}]
            return self.reply(200 if complete else 400, {"errors": errors, "warnings": []})
        if match := re.fullmatch(r"/api/models/(.+)/preupload/([^/]+)", path):
            files = json.loads(body)["files"]
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "regular" if file["path"].endswith(".md") else "lfs",
                    "shouldIgnore": False,
                }
                for file in files
            ]
            return self.reply(200, {"files": modes})
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                {**one, "actions": {"upload": {"href": f"http://{self.headers['Host']}/lfs/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            return self.reply(200, {"transfer": "basic", "objects": objects})
        if match := re.fullmatch(r"/api/models/(.+)/commit/([^/]+)", path):
            return self.commit(match[1], [json.loads(line) for line in body.splitlines()])
        return self.reply(404, {"error": f"no {path}"})

    def commit(self, name, lines):
        repository = REPOSITORIES[name]
        files = dict(repository.head[2]) if repository.commits else {}
        summary = ""
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                summary = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = LFS[value["oid"]]
        state = json.dumps([summary, {path: digest(content) for path, content in files.items()}, len(repository.commits)])
        oid = hashlib.sha1(state.encode()).hexdigest()
        repository.commits.append((oid, summary, files))
        url = f"{self.address(name)}/commit/{oid}"
        return self.reply(200, {"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    def do_PUT(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        oid = self.path.rpartition("/")[2]
        if digest(content) != oid:
            return self.reply(400, {"error": "the content is not the one that was announced"})
        LFS[oid] = content
        return self.reply(200, {})

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        if match := re.fullmatch(r"/api/models/(.+)/(revision|tree)/([^/]+)", path):
            found = self.find(match[1], match[3])
            if found is None:
                return self.missing()
            oid, _, files = found
            if match[2] == "tree":
                return self.reply(
                    200,
                    [
                        {"type": "file", "path": name, "size": len(content), "oid": digest(content)[:40]}
                        for name, content in files.items()
                    ],
                )
            siblings = [{"rfilename": name} for name in files]
            return self.reply(200, {"id": match[1], "sha": oid, "siblings": siblings, "private": False, "tags": []})
        if match := re.fullmatch(r"/(.+)/resolve/([^/]+)/(.+)", path):
            found = self.find(match[1], match[2])
            if found is None or match[3] not in found[2]:
                return self.missing("RepoNotFound" if found is None else "EntryNotFound")
            content = found[2][match[3]]
            headers = {"X-Repo-Commit": found[0], "ETag": f'"{digest(content)}"'}
            return self.send(200, content, "application/octet-stream", headers)
        return self.missing()

    do_HEAD = do_GET

    def find(self, name, revision):
        commits = REPOSITORIES[name].commits if name in REPOSITORIES else []
        return next((commit for commit in reversed(commits) if revision in ("main", commit[0])), None)

    def address(self, name):
        return f"http://{self.headers['Host']}/{name}"

    def missing(self, code="RepoNotFound"):
        self.send(404, b'{"error": "not found"}', "application/json", {"X-Error-Code": code, "X-Error-Message": "not found"})

    def reply(self, status, answer):
        self.send(status, json.dumps(answer).encode(), "application/json", {})

    def send(self, status, content, kind, headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


def digest(content):
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
