"""All fake providers together: the app, its server, callbacks to the application under test, and control over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import httpx
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orchestrator.testing.fakes.base import OnAccept, World
from orchestrator.testing.fakes.faults import FAULT, Fault
from orchestrator.testing.fakes.fcm import FakeFcm
from orchestrator.testing.fakes.ledger import Ledger, LedgerEntry
from orchestrator.testing.fakes.sendgrid import EVENTS, FakeSendGrid
from orchestrator.testing.fakes.serving import Serving
from orchestrator.testing.fakes.smtp import FakeSmtp
from orchestrator.testing.fakes.twilio import STATUS, FakeTwilio
from orchestrator.testing.fakes.webpush import FakeWebPush

#: What a provider can be made to report about a send.
Report = Literal["sent", "delivered", "opened", "clicked", "bounced", "failed", "unsubscribed", "complained"]


class ProviderFakes:
    """The fake providers. `async with` starts and stops them on free ports of the loopback address.

    - `app_url`: public address of the application under test, where callbacks go; may be set later.
    - `now`: clock in ms UTC for ledger and events; the real one by default.
    - `ledger_file`: every accepted request is appended to it as a line of JSON.
    """

    def __init__(
        self, *, app_url: str = "", now: Callable[[], int] | None = None, ledger_file: Path | None = None
    ) -> None:
        self.app_url = app_url
        self._world = World(now=now, ledger_file=ledger_file)
        self.twilio = FakeTwilio(self._world)
        self.sendgrid = FakeSendGrid(self._world)
        self.fcm = FakeFcm(self._world)
        self.webpush = FakeWebPush(self._world)
        self._smtp = FakeSmtp(self._world)
        self.app = Starlette(
            routes=[
                *self.twilio.routes,
                *self.sendgrid.routes,
                *self.fcm.routes,
                *self.webpush.routes,
                Route("/_fake/ledger", self._show_ledger, methods=["GET"]),
                Route("/_fake/faults", self._change_faults, methods=["POST", "DELETE"]),
                Route("/_fake/callbacks", self._make_callback, methods=["POST"]),
                Route("/_fake/subscriptions", self._subscribe, methods=["POST"]),
                Route("/_fake/app", self._set_app, methods=["PUT"]),
            ]
        )
        self.url = ""
        self.host = "127.0.0.1"
        self.smtp_port = 0
        self._http = httpx.AsyncClient(timeout=10.0, trust_env=False)
        self._serving: Serving | None = None
        self._letters: asyncio.Server | None = None

    @property
    def ledger(self) -> Ledger:
        return self._world.ledger

    def on_accept(self, callback: OnAccept) -> None:
        """Call this with every accepted request, beside the answer: a customer model that reacts.

        What it raises is raised again by `stop`.
        """
        self._world.on_accept(callback)

    def fault(self, fault: Fault) -> None:
        """Add a rule; see `Fault`."""
        self._world.faults.add(fault)

    def clear_faults(self) -> None:
        self._world.faults.clear()

    def channel_settings(self) -> dict[str, dict[str, Any]]:
        """Provider → settings that lead the adapters here: what `load_channels` takes."""
        return self._world.accounts.channel_settings(self.url, self.host, self.smtp_port)

    def subscribe(self) -> dict[str, Any]:
        """A new browser's Web Push subscription, as a customer's push address."""
        return self.webpush.subscribe()

    # Callbacks to the application under test. Each returns the HTTP statuses it was answered with, one per copy.

    async def report(self, entry: LedgerEntry, kind: Report, *, machine: bool = False, reason: str = "") -> list[int]:
        """A signed status report. Raises ValueError where the provider reports no such thing."""
        if entry.provider == "sendgrid" and kind in EVENTS:
            body = self.sendgrid.event(entry, kind, machine=machine, reason=reason)
            headers = {"Content-Type": "application/json", **self.sendgrid.sign(body)}
            return await self._call(entry, self._hook("sendgrid", "events"), body, headers)
        if entry.provider == "twilio" and kind in STATUS:
            if not entry.callback_url:
                raise ValueError("the message named no status callback")
            return await self._call_form(entry, entry.callback_url, self.twilio.status(entry, kind, reason))
        raise ValueError(f"{entry.provider} does not report {kind!r}")

    async def reply(self, entry: LedgerEntry, text: str) -> list[int]:
        """A customer's answer: an inbound SMS, or an inbound letter. Letters arrive by SendGrid whoever sent ours."""
        if entry.channel == "sms":
            return await self._call_form(entry, self._hook("twilio", "inbound"), self.twilio.inbound(entry, text))
        if entry.channel != "email":
            raise ValueError(f"nobody answers a message of channel {entry.channel!r}")
        request = self.sendgrid.inbound(entry, text, self._hook("sendgrid", "inbound"))
        body = request.read()
        headers = {"Content-Type": request.headers["content-type"], **self.sendgrid.sign(body, inbound=True)}
        return await self._call(entry, str(request.url), body, headers)

    def _hook(self, provider: str, kind: str) -> str:
        if not self.app_url:
            raise ValueError("app_url is not set: nobody to call")
        return f"{self.app_url.rstrip('/')}/v1/webhooks/{provider}/{kind}"

    async def _call_form(self, entry: LedgerEntry, url: str, fields: dict[str, str]) -> list[int]:
        request = httpx.Request("POST", url, data=fields)
        # Twilio signs the address as it was given, letter by letter.
        headers = {"Content-Type": request.headers["content-type"], **self.twilio.sign(url, fields)}
        return await self._call(entry, url, request.read(), headers)

    async def _call(self, entry: LedgerEntry, url: str, body: bytes, headers: dict[str, str]) -> list[int]:
        copies = self._world.faults.copies(entry.provider, entry.to)
        answers = [await self._http.post(url, content=body, headers=headers) for _ in range(copies)]
        return [answer.status_code for answer in answers]

    # Serving.

    async def start(self, host: str = "127.0.0.1", port: int = 0, smtp_port: int = 0) -> None:
        """Listen; port 0 takes a free one. Returns when requests are answered."""
        self._serving = Serving(self.app, host, port)
        self.host, self.url = host, self._serving.url
        self.webpush.origin = self.url
        loop = asyncio.get_running_loop()
        self._letters = await loop.create_server(self._smtp.protocol, host, smtp_port)
        self.smtp_port = self._letters.sockets[0].getsockname()[1]
        await self._serving.start()

    async def stop(self) -> None:
        """Stop listening. Raises what a hook raised."""
        await self._world.close()
        if self._letters is not None:
            self._letters.close()
        if self._serving is not None:
            await self._serving.stop()
        await self._http.aclose()
        if self._world.errors:
            raise self._world.errors[0]

    async def __aenter__(self) -> ProviderFakes:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # Control from another process.

    async def _show_ledger(self, request: Request) -> Response:
        query = request.query_params
        entries = self.ledger.find(
            send_id=query.get("send_id", ""),
            provider=query.get("provider", ""),
            to=query.get("to", ""),
            after=int(query.get("after", "0")) if query.get("after", "0").isdigit() else 0,
        )
        return JSONResponse([asdict(entry) for entry in entries])

    async def _change_faults(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.clear_faults()
            return Response(status_code=204)
        try:
            self.fault(FAULT.validate_json(await request.body()))
        except ValidationError as error:
            return JSONResponse({"error": str(error)}, 422)
        return Response(status_code=204)

    async def _make_callback(self, request: Request) -> Response:
        wanted = await request.json()
        try:
            entry = self.ledger.find(send_id=wanted["send_id"])[-1]
            if wanted["kind"] == "reply":
                answers = await self.reply(entry, wanted.get("text", ""))
            else:
                machine, reason = bool(wanted.get("machine")), str(wanted.get("reason", ""))
                answers = await self.report(entry, wanted["kind"], machine=machine, reason=reason)
        except (LookupError, ValueError) as error:
            return JSONResponse({"error": f"{type(error).__name__}: {error}"}, 422)
        return JSONResponse({"answers": answers})

    async def _subscribe(self, request: Request) -> Response:
        return JSONResponse(self.subscribe(), 201)

    async def _set_app(self, request: Request) -> Response:
        self.app_url = str((await request.json())["url"])
        return Response(status_code=204)
