"""Adapters led to the fake providers, over real HTTP and SMTP, and an application that keeps the callbacks it gets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from channel_tools import Channels, Shop, Write

from orchestrator.testing.fakes import ProviderFakes


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with Shop() as shop:
        yield shop


@pytest.fixture
async def fakes() -> AsyncIterator[ProviderFakes]:
    async with ProviderFakes(app_url="https://hooks.shop.example") as fakes:
        yield fakes


@pytest.fixture
async def channels(fakes: ProviderFakes) -> AsyncIterator[Channels]:
    made = Channels(fakes)
    yield made
    await made.close()


@pytest.fixture
def write(fakes: ProviderFakes) -> Write:
    return Write(fakes)
