"""Fake providers: Twilio, SendGrid, FCM, Web Push and SMTP in one process, for tests and demos without any account.

Requests are checked against the providers' own contracts and answered as the providers answer. What was accepted stands
in a ledger; callbacks are signed; faults follow rules. Needs the extra `testing`.

    async with ProviderFakes(app_url="http://127.0.0.1:8080") as fakes:
        channels = load_channels(fakes.channel_settings())
        ...
        entry = fakes.ledger.one(send_id)
        await fakes.report(entry, "delivered")

In another process: `python -m orchestrator.testing.fakes`.
"""

from orchestrator.testing.fakes.faults import Fault
from orchestrator.testing.fakes.ledger import Ledger, LedgerEntry
from orchestrator.testing.fakes.providers import ProviderFakes

__all__ = ["Fault", "Ledger", "LedgerEntry", "ProviderFakes"]
