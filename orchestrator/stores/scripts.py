"""The Lua scripts of this package, each in its own file headed by its signature."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import redis.asyncio

_FOLDER = Path(__file__).parent / "lua"


@cache
def source(name: str) -> str:
    """The text of `lua/<name>.lua`."""
    return (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")


def script(client: redis.asyncio.Redis, name: str) -> Any:
    """The script `lua/<name>.lua`, callable as `await script(keys=…, args=…)`; loaded on first use."""
    return client.register_script(source(name))
