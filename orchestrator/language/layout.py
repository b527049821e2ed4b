"""One way to write a journey file: block style, keys in their usual order, comments kept where they were.

Short flow mappings in one line stay where a file reads better with them (`where: {product.category: coffee}`); steps,
branches and lists of steps are written as blocks. The meaning never changes: what is written is loaded again and must
give the same data.
"""

from __future__ import annotations

import io
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from orchestrator.errors import Finding, JourneysInvalid
from orchestrator.language.load import load

#: Columns of a line; longer flow mappings become blocks.
WIDTH = 100
#: The usual order of the keys of a journey; others follow as they stood.
HEAD = (
    "name", "owner", "status", "purpose", "priority", "trigger", "audience", "start", "reentry", "goal", "exit_when",
    "rollout", "holdout", "cap", "quiet_hours", "steps",
)  # fmt: skip
#: Keys whose values are always blocks, however short.
_BLOCKS = ("steps", "then", "else", "branch", "split", "repeat", "scenarios", "channels", "stages", "segments")


def laid_out(file: str, text: str) -> str:
    """The file in our layout. Raises JourneysInvalid when it cannot be loaded."""
    document = load(file, text)
    if document.findings:
        raise JourneysInvalid(tuple(document.findings))
    yaml = _yaml()
    data = yaml.load(text)
    if not isinstance(data, CommentedMap):
        return text
    if "steps" in data and "trigger" in data:
        data = _ordered(data)
    _shape(data, 0)
    stream = io.StringIO()
    yaml.dump(data, stream)
    written = "\n".join(line.rstrip() for line in stream.getvalue().split("\n")).rstrip("\n") + "\n"
    again = load(file, written)
    if again.findings or again.data != document.data:
        raise JourneysInvalid(
            (Finding(file, 1, 1, "this file cannot be laid out without changing it", "please report it with the file"),)
        )
    return written


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4_096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _ordered(data: CommentedMap) -> CommentedMap:
    """Keys in their usual order. Comments above a key go with it; those above the first stay at the top."""
    wanted = [key for key in HEAD if key in data] + [key for key in data if key not in HEAD]
    if wanted == list(data) or _has_comments_between(data):
        return data
    for key in wanted:
        data.move_to_end(key)
    return data


def _has_comments_between(data: CommentedMap) -> bool:
    """Whether a comment stands on a line of its own between the keys: moving keys would tear it from its place."""
    return any("\n" in str(token.value).rstrip("\n") for tokens in data.ca.items.values() for token in _tokens(tokens))


def _tokens(tokens: Any) -> list[Any]:
    found: list[Any] = []
    for token in tokens or []:
        if isinstance(token, list):
            found += [one for one in token if one is not None]
        elif token is not None:
            found.append(token)
    return found


def _shape(node: Any, depth: int, key: str = "") -> None:
    if isinstance(node, CommentedMap):
        if key in _BLOCKS or depth == 0:
            node.fa.set_block_style()
        for name, value in node.items():
            _shape(value, depth + 1, str(name))
    elif isinstance(node, CommentedSeq):
        if key in _BLOCKS:
            node.fa.set_block_style()
        for index, item in enumerate(node):
            if key in _BLOCKS and isinstance(item, CommentedMap) and item:
                if item.fa.flow_style():
                    _move_comment(node, index, item)
                item.fa.set_block_style()
            _shape(item, depth + 1)


def _move_comment(parent: CommentedSeq, index: int, item: CommentedMap) -> None:
    """The comment behind a flow mapping goes behind its first key, where the block begins."""
    tokens = parent.ca.items.pop(index, None)
    if tokens and tokens[0] is not None:
        item.ca.items[next(iter(item))] = [None, None, tokens[0], None]
