"""`orchestrator demo`: a year of real purchases through the whole product, on this machine, in a minute or two."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.errors import SettingsInvalid
from orchestrator.settings import Settings, load

#: The journeys that come with the package, for a demo outside a checkout.
PACKAGED = Path(__file__).parents[1] / "_data" / "journeys"

NEXT = (
    "orchestrator dev                      the same, empty and persistent: publish your own events",
    "journeys/refill_reminder.yaml         change a wait or a message, then: orchestrator journeys check",
    "orchestrator demo --seed 2            other people, other preferences",
)


def demo(
    seed: Annotated[int, typer.Option(help="Other seeds invent other people.")] = 1,
    customers: Annotated[int, typer.Option(min=1, help="How many of the 594 customers take part.")] = 100,
    days: Annotated[int, typer.Option(min=1, help="How much of the year is played.")] = 374,
    as_json: Annotated[bool, typer.Option("--json", help="Every record as a line of JSON.")] = False,
) -> None:
    """Replay real purchases in quick motion and watch who gets what, on which channel, and why."""
    try:
        import orchestrator.testing.fakes  # noqa: F401 - whether what they need is installed
    except ModuleNotFoundError as error:
        raise SettingsInvalid(
            f"the demo's fake providers need the package {error.name}",
            fix="pip install 'journey-orchestrator[testing]'",
        ) from error
    asyncio.run(_play(load(), seed, customers, days, as_json))


async def _play(settings: Settings, seed: int, customers: int, days: int, as_json: bool) -> None:
    import httpx
    from pydantic import SecretStr

    from orchestrator.demo import purchases
    from orchestrator.demo.customers import CustomerModel
    from orchestrator.demo.events import story
    from orchestrator.demo.replay import STEP, Replay
    from orchestrator.demo.screen import open_screen
    from orchestrator.demo.tally import Tally
    from orchestrator.runtime.api_keys import new_key
    from orchestrator.runtime.channels import load_channels
    from orchestrator.runtime.clock import FastClock
    from orchestrator.runtime.embedded import Embedded
    from orchestrator.runtime.signals import stop_on_signals
    from orchestrator.testing.fakes import ProviderFakes

    stop = stop_on_signals()
    model = CustomerModel(seed)
    orders = purchases.some(purchases.load(), customers=customers, days=days, seed=seed)
    told = story(orders, model)
    origin = int(orders[0].at.timestamp() * 1000) // STEP * STEP - STEP
    clock = FastClock(origin, speed=0.0)
    key, kept = new_key("demo")
    tally = Tally()
    screen = open_screen(tally, as_json=as_json)
    with tempfile.TemporaryDirectory(prefix="orchestrator-demo-") as folder:
        try:
            async with ProviderFakes(now=clock.now) as fakes:
                wanted = {name: fakes.channel_settings()[name] for name in ("sendgrid", "twilio", "fcm")}
                settings = settings.model_copy(
                    update={
                        "data": Path(folder),
                        "seed": SecretStr(f"demo-{seed}"),
                        "channels": wanted,
                        "topics": settings.topics.model_copy(update={"partitions": 2}),
                        "gateway": settings.gateway.model_copy(
                            update={"host": "127.0.0.1", "port": 0, "keys": [kept], "rate": 1e6, "burst": 1e6}
                        ),
                    }
                )
                channels = load_channels(settings.channels)
                async with (
                    Embedded(settings, clock, channels=channels, persistent=False) as embedded,
                    httpx.AsyncClient(
                        base_url=embedded.url, headers={"Authorization": f"Bearer {key}"}, timeout=30.0, trust_env=False
                    ) as http,
                ):
                    fakes.app_url = embedded.url
                    program, _ = await embedded.publish_journeys(
                        settings.journeys if settings.journeys.is_dir() else PACKAGED
                    )
                    screen.note(
                        f"{len({order.customer for order in orders})} customers, {len(told.events):,} events, "
                        f"journeys {', '.join(sorted(program.journeys))}; gateway on {embedded.url}, "
                        f"fake SendGrid, Twilio and FCM on {fakes.url}"
                    )
                    await Replay(embedded, fakes, clock, model, told.events, http, screen, tally).run(stop)
        finally:
            screen.close()
    screen.summary(tally, NEXT)
    if stop.is_set():
        raise typer.Exit(130)
