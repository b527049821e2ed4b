"""The fakes in a process of their own. The first line on stdout is JSON: url, smtp, and settings for the channels."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from pathlib import Path

from orchestrator.testing.fakes.providers import ProviderFakes


async def _run(arguments: argparse.Namespace) -> None:
    fakes = ProviderFakes(app_url=arguments.app_url, ledger_file=arguments.ledger)
    await fakes.start(port=arguments.port, smtp_port=arguments.smtp_port)
    ended = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, ended.set)
    ready = {
        "url": fakes.url,
        "smtp": {"host": fakes.host, "port": fakes.smtp_port},
        # The secrets in here open nothing but this process.
        "channels": fakes.channel_settings(),
    }
    print(json.dumps(ready), flush=True)
    await ended.wait()
    await fakes.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m orchestrator.testing.fakes", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="HTTP port; 0 takes a free one")
    parser.add_argument("--smtp-port", type=int, default=0, help="SMTP port; 0 takes a free one")
    parser.add_argument("--app-url", default="", help="public URL of the application that gets the callbacks")
    parser.add_argument("--ledger", type=Path, default=None, help="append every accepted request to this file")
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
