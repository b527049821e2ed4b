"""What the channel tests are written with: an application that keeps callbacks, adapters on demand, a message."""

from __future__ import annotations

import asyncio
from typing import Any

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


class Channels:
    """Adapters led to the fakes, each made when it is first asked for."""

    def __init__(self, fakes: ProviderFakes) -> None:
        self._fakes = fakes
        self._made: list[Channel[Any]] = []

    def __getitem__(self, provider: str) -> Channel[Any]:
        found = next((channel for channel in self._made if channel.name == provider), None)
        return found or self.make(provider, timeout=2.0)

    def make(self, provider: str, **settings: Any) -> Channel[Any]:
        """A new adapter, with these settings over the usual ones."""
        given = {**self._fakes.channel_settings()[provider], **settings}
        channel = load_channels({provider: {name: value for name, value in given.items() if value is not None}})[
            provider
        ]
        self._made.append(channel)
        return channel

    async def close(self) -> None:
        for channel in self._made:
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
