"""Fixtures of all tests. Services live in files of their own."""

from __future__ import annotations

pytest_plugins = ["fixtures_redis", "fixtures_kafka"]
