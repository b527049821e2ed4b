"""Adapters led to the fake providers, over real HTTP and SMTP, and an application that keeps the callbacks it gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.contracts.messages import Content, OutgoingMessage
from orchestrator.contracts.receipts import Callback
from orchestrator.ports import Channel
from orchestrator.runtime.channels import load_channels
from orchestrator.testing.fakes import ProviderFakes
from orchestrator.testing.fakes.serving import Serving

CONTENT = Content(
    text="Your coffee, überraschend fresh.",
    subject="Time for coffee? ☕",
    html="<p>Your coffee</p>",
    title="Coffee",
    link="https://shop.example/coffee",
)


class Shop:
    """The application under test, as far as a provider sees it: it keeps every callback."""

    def __init__(self) -> None:
        self.callbacks: asyncio.Queue[Callback] = asyncio.Queue()
        app = Starlette(routes=[Route("/{path:path}", self._keep, methods=["POST"])])
        self._serving = Serving(app)
        self.url = self._serving.url

    async def _keep(self, request: Request) -> Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.callbacks.put_nowait(Callback(request.method, str(request.url), headers, await request.body()))
        return Response(status_code=204)

    async def next(self) -> Callback:
        return await asyncio.wait_for(self.callbacks.get(), 5)

    async def __aenter__(self) -> Shop:
        await self._serving.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._serving.stop()


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with Shop() as shop:
        yield shop


@pytest.fixture
async def fakes(shop: Shop) -> AsyncIterator[ProviderFakes]:
    async with ProviderFakes(app_url=shop.url) as fakes:
        yield fakes


@pytest.fixture
async def channels(fakes: ProviderFakes) -> AsyncIterator[dict[str, Channel[Any]]]:
    loaded = load_channels({name: {**values, "timeout": 2.0} for name, values in fakes.channel_settings().items()})
    yield loaded
    for channel in loaded.values():
        await channel.close()


class Write:
    """Makes a message a provider can send."""

    def __init__(self, fakes: ProviderFakes) -> None:
        self._fakes = fakes

    def __call__(self, channel: Channel[Any], send_id: str = "01JABC", **changes: Any) -> OutgoingMessage:
        addresses = {"email": "anna@mail.example", "sms": "+4930123456", "push": "an-app-token"}
        to = self._fakes.subscribe() if channel.name == "webpush" else addresses[channel.channel]
        values = {
            "to": to,
            "content": CONTENT,
            "unsubscribe_url": "https://shop.example/u/1",
            "callback_url": f"{self._fakes.app_url}/v1/webhooks/{channel.name}",
        }
        return OutgoingMessage(send_id, channel.channel, **{**values, **changes})


@pytest.fixture
def write(fakes: ProviderFakes) -> Write:
    return Write(fakes)
