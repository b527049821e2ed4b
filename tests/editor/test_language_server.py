"""The published schemas in the real yaml-language-server, spoken to over LSP as an editor does.

The server comes from npm, of one version, into a cache folder of this user. Without npm the tests are skipped on a
laptop and fail where CI=true.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures_redis import service_missing

VERSION = "1.25.0"
ROOT = Path(__file__).parents[2]
SECONDS = 60.0


def installed() -> Path:
    """The server's script, installed once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "journey-orchestrator"
    folder = cache / f"yaml-language-server-{VERSION}"
    script = folder / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
    if script.exists():
        return script
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        service_missing("npm and node, which install and run yaml-language-server")
        raise AssertionError
    folder.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--no-save", "--no-audit", "--no-fund", "--silent", "--prefix", str(folder)]
    done = subprocess.run(
        [*command, f"yaml-language-server@{VERSION}"], capture_output=True, text=True, check=False, timeout=300
    )
    if not script.exists():
        service_missing(f"yaml-language-server could not be installed: {done.stderr[-300:]}")
    return script


class Editor:
    """A small LSP client: one file at a time."""

    def __init__(self, script: Path) -> None:
        node = shutil.which("node")
        assert node is not None
        self._process = subprocess.Popen([node, str(script), "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._number = 0
        self._opened = 0
        schemas = {
            (ROOT / "schemas" / f"{name}.schema.json").as_uri(): pattern
            for name, pattern in (
                ("journey", "*.journey.yaml"), ("policy", "_policy.yaml"), ("scenario", "*.scenario.yaml")
            )
        }  # fmt: skip
        self._settings = {
            "yaml": {"schemas": schemas, "validate": True, "completion": True, "hover": True,
                     "schemaStore": {"enable": False}, "kubernetesCRDStore": {"enable": False}}
        }  # fmt: skip
        hover = {"contentFormat": ["markdown", "plaintext"]}
        item = {"snippetSupport": False, "documentationFormat": ["markdown"]}
        capabilities = {
            "textDocument": {"hover": hover, "completion": {"completionItem": item}},
            "workspace": {"configuration": True, "didChangeConfiguration": {}},
        }
        self.ask("initialize", {"processId": os.getpid(), "rootUri": None, "capabilities": capabilities})
        self._tell("initialized", {})
        self._tell("workspace/didChangeConfiguration", {"settings": self._settings})

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def open(self, name: str, text: str) -> tuple[str, list[str]]:
        """Open a file; its address, and what the server finds in it: `line: message`."""
        self._opened += 1
        uri = f"file:///work-of-{self._opened}/{name}"
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self._tell("textDocument/didOpen", {"textDocument": document})
        while True:
            said = self._next()
            if said.get("method") == "textDocument/publishDiagnostics" and said["params"]["uri"] == uri:
                found = said["params"]["diagnostics"]
                return uri, [f"{one['range']['start']['line'] + 1}: {one['message']}" for one in found]

    def completions(self, name: str, text: str) -> list[str]:
        """What is offered where | stands in the text."""
        before = text[: text.index("|")]
        uri, _ = self.open(name, text.replace("|", "", 1))
        said = self.ask("textDocument/completion", {"textDocument": {"uri": uri}, "position": _position(before)})
        return [item["label"] for item in said["items"]]

    def hover(self, name: str, text: str) -> str:
        """The text shown for what stands behind | in the text."""
        before = text[: text.index("|")]
        uri, _ = self.open(name, text.replace("|", "", 1))
        said = self.ask("textDocument/hover", {"textDocument": {"uri": uri}, "position": _position(before)})
        contents = said["contents"] if said else ""
        return str(contents["value"] if isinstance(contents, dict) else contents)

    def ask(self, method: str, parameters: dict[str, Any]) -> Any:
        self._number += 1
        self._write({"jsonrpc": "2.0", "id": self._number, "method": method, "params": parameters})
        while True:
            said = self._next()
            if said.get("id") == self._number and "method" not in said:
                return said.get("result")

    def _tell(self, method: str, parameters: dict[str, Any]) -> None:
        self._write({"jsonrpc": "2.0", "method": method, "params": parameters})

    def _write(self, message: dict[str, Any]) -> None:
        raw = json.dumps(message).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(raw), raw))
        self._process.stdin.flush()

    def _next(self) -> dict[str, Any]:
        """The next message; what the server asks of its editor is answered on the way."""
        stream = self._process.stdout
        assert stream is not None
        length = 0
        while (line := stream.readline().strip()) != b"" or not length:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            elif not line and self._process.poll() is not None:
                pytest.fail("the language server ended")
        said: dict[str, Any] = json.loads(stream.read(length))
        if "id" in said and "method" in said:
            wanted = said["params"].get("items", []) if isinstance(said.get("params"), dict) else []
            result = [self._settings.get(item.get("section", ""), {}) for item in wanted] if wanted else None
            self._write({"jsonrpc": "2.0", "id": said["id"], "result": result})
        return said


def _position(before: str) -> dict[str, int]:
    return {"line": before.count("\n"), "character": len(before) - (before.rfind("\n") + 1)}


@pytest.fixture(scope="module")
def editor() -> Iterator[Editor]:
    editor = Editor(installed())
    yield editor
    editor.close()


HEAD = "name: Test\nowner: me\ntrigger: {event: purchase}\nsteps:\n"

pytestmark = pytest.mark.timeout(SECONDS * 6)


def test_shipped_files_have_no_finding(editor: Editor) -> None:
    for path in sorted((ROOT / "journeys").glob("*.yaml")):
        text = path.read_text().replace("# yaml-language-server", "# editor")
        if path.name.endswith(".scenario.yaml") or path.name == "_policy.yaml":
            name = path.name
        elif path.name.startswith("_"):
            continue
        else:
            name = f"{path.stem}.journey.yaml"
        assert editor.open(name, text)[1] == [], path.name


def test_a_typing_mistake_is_named_and_the_verbs_are_listed(editor: Editor) -> None:
    found = editor.open("a.journey.yaml", HEAD + "  - wiat: 3d\n")[1]
    assert "5: Property wiat is not allowed." in found
    assert any(one.startswith("5: Value is not accepted. Valid values: ") and '"wait"' in one for one in found)


def test_a_key_of_another_verb_is_refused(editor: Editor) -> None:
    found = editor.open("a.journey.yaml", HEAD + "  - send: hello\n    up_to: 3d\n")[1]
    (only,) = found
    assert only.startswith("6: Value is not accepted. Valid values: ")
    assert '"channel"' in only
    assert '"up_to"' not in only


def test_a_bad_duration_says_what_to_write(editor: Editor) -> None:
    assert editor.open("a.journey.yaml", HEAD + "  - wait: soon\n")[1] == [
        "5: not a duration: write 3d, 12h, 45m or 2w"
    ]


def test_verbs_and_keys_are_offered(editor: Editor) -> None:
    verbs = editor.completions("a.journey.yaml", HEAD + "  - |\n")
    assert {"send", "wait", "wait_until", "wait_for", "branch", "split", "set", "emit", "exit"} <= set(verbs)
    keys = editor.completions("a.journey.yaml", "name: Test\nowner: me\n|\n")
    assert {"trigger", "audience", "reentry", "goal", "steps", "cap", "quiet_hours"} <= set(keys)
    values = editor.completions("a.journey.yaml", "name: Test\nstatus: |\n")
    assert {"draft", "live", "draining", "stopped"} <= set(values)


def test_fields_of_the_events_are_offered_in_where_and_if(editor: Editor) -> None:
    head = "name: Test\nowner: me\ntrigger:\n  event: purchase\n  where:\n    |\n"
    fields = editor.completions("a.journey.yaml", head)
    assert {"product.category", "product.price", "order.revenue", "customer.orders"} <= set(fields)
    inside = editor.completions("a.journey.yaml", HEAD + "  - send: hello\n    if:\n      |\n")
    assert {"reply.mood", "reply.intent", "response"} <= set(inside)
    moods = editor.completions("a.journey.yaml", HEAD + "  - send: hello\n    if:\n      reply.mood: |\n")
    assert "unhappy" in moods


def test_a_hover_explains(editor: Editor) -> None:
    text = editor.hover("a.journey.yaml", "name: Test\nowner: me\n|holdout: 10%\n")
    assert "run silently" in text
    field = editor.hover("a.journey.yaml", "name: T\nowner: me\naudience:\n  |customer.orders: at least 2\n")
    assert "a number" in field.replace("\\", "")
