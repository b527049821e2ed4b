"""What the demo shows: lines as things happen, a bar, a table of what was learned, and a summary.

On a terminal the bar and the table stay at the bottom while lines scroll above them. Elsewhere lines are plain, and a
word about the progress goes to stderr now and then. Fed with plain records; knows nothing of Redis or HTTP.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from orchestrator.demo.customers import CHANNELS
from orchestrator.demo.tally import GROUPS, Tally, answered, on_liked

#: Lines a second, on average: a person can follow these.
LINES_TERMINAL, LINES_PLAIN = 7.0, 3.0
LEARNED = "where the last messages to each group went (nobody told us who likes what)"
_COLOURS = {"email": "cyan", "sms": "green", "push": "magenta"}
_NAMES = {"email": "email", "sms": "SMS", "push": "push"}


@dataclass(frozen=True, slots=True)
class Entered:
    """A customer entered a journey. `at` in ms UTC."""

    at: int
    customer: str
    name: str
    journey: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A message went out."""

    at: int
    send_id: str
    customer: str
    name: str
    journey: str
    message: str
    channel: str
    #: Why this channel, most telling first.
    reasons: Sequence[str]


@dataclass(frozen=True, slots=True)
class Answered:
    """Something came back from a person: `kind` is `reply`, `clicked` or `unsubscribed`."""

    at: int
    send_id: str
    customer: str
    name: str
    channel: str
    kind: str
    text: str


Record = Entered | Sent | Answered


class Screen(Protocol):
    def note(self, text: str) -> None:
        """Something about the demo itself."""
        ...

    def show(self, record: Record) -> None:
        """Something happened."""
        ...

    def progress(self, done: int, total: int, at: int) -> None:
        """`done` of `total` events are published; the clock shows `at` (ms UTC)."""
        ...

    def close(self) -> None:
        """Nothing more happens; the summary may follow."""
        ...

    def summary(self, tally: Tally, next_steps: Sequence[str]) -> None: ...


def open_screen(tally: Tally, *, as_json: bool = False, stdout: Console | None = None) -> Screen:
    """The screen for where the output goes."""
    if as_json:
        return JsonScreen()
    stdout = stdout or Console(highlight=False)
    return TerminalScreen(stdout, tally) if stdout.is_terminal else PlainScreen(stdout, Console(stderr=True))


class Pace:
    """Lets through as many lines as a person can follow, and every answer to a message that was shown."""

    def __init__(self, per_second: float, now: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._now = now
        self._tokens, self._last = per_second, now()
        self._shown: set[str] = set()
        #: Customers whose entry was shown: their messages are, too.
        self._followed: set[str] = set()

    def lets(self, record: Record) -> bool:
        now = self._now()
        self._tokens = min(self._per_second, self._tokens + (now - self._last) * self._per_second)
        self._last = now
        wanted = (isinstance(record, Answered) and record.send_id in self._shown) or (
            isinstance(record, Sent) and record.customer in self._followed
        )
        # What continues a story may overdraw a little: half a story is worse than a quick one.
        if self._tokens < (1.0 - self._per_second if wanted else 1.0):
            return False
        self._tokens -= 1.0
        if isinstance(record, Entered):
            self._followed.add(record.customer)
        elif isinstance(record, Sent):
            self._followed.discard(record.customer)
            self._shown.add(record.send_id)
        else:
            self._shown.discard(record.send_id)
        return True


def line(record: Record) -> str:
    """A record as one line, with rich markup."""
    when = f"[dim]{datetime.fromtimestamp(record.at / 1000, UTC):%d %b %H:%M}[/]"
    who = f"{escape(record.name)} ({record.customer})"
    if isinstance(record, Entered):
        return f"{when}  [blue]entered[/]  {who}: {record.journey}"
    colour = _COLOURS.get(record.channel, "white")
    channel = f"[{colour}]{_NAMES.get(record.channel, record.channel)}[/]"
    if isinstance(record, Sent):
        # What was said of the chosen channel; the line names it already.
        own = [reason.partition(": ")[2] for reason in record.reasons if reason.startswith(f"{record.channel}: ")]
        why = escape("; ".join(own[:2]))
        return f"{when}  {channel} → {who}: {record.message}" + (f" [dim]because {why}[/]" if why else "")
    said = {
        "reply": f'"{escape(record.text)}"',
        "clicked": "clicked",
        "unsubscribed": "[red]wants no more of these[/]",
    }[record.kind]
    return f"{when}  {channel} ← {who}: [bold]{said}[/]"


class TerminalScreen:
    """Bar and table at the bottom, lines above."""

    def __init__(self, console: Console, tally: Tally) -> None:
        self._console = console
        self._tally = tally
        self._pace = Pace(LINES_TERMINAL)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=None), TaskProgressColumn(), TimeElapsedColumn(),
            console=console,
        )  # fmt: skip
        self._task = self._bar.add_task("starting", total=None)
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=4, transient=True)
        self._live.start()

    def note(self, text: str) -> None:
        self._console.print(text)

    def show(self, record: Record) -> None:
        if self._pace.lets(record):
            self._console.print(line(record), no_wrap=True, overflow="ellipsis", crop=True)

    def progress(self, done: int, total: int, at: int) -> None:
        self._bar.update(self._task, completed=done, total=total, description=_date(at))

    def close(self) -> None:
        self._live.stop()

    def summary(self, tally: Tally, next_steps: Sequence[str]) -> None:
        print_summary(self._console, tally, next_steps)

    def _render(self) -> RenderableType:
        return Group("", LEARNED, learned(self._tally), self._bar)


class PlainScreen:
    """Lines for a file or a pipe."""

    def __init__(self, stdout: Console, stderr: Console) -> None:
        self._stdout, self._stderr = stdout, stderr
        self._pace = Pace(LINES_PLAIN)
        self._tenths = 0

    def note(self, text: str) -> None:
        self._stderr.print(text, soft_wrap=True)

    def show(self, record: Record) -> None:
        if self._pace.lets(record):
            self._stdout.print(line(record), soft_wrap=True)

    def progress(self, done: int, total: int, at: int) -> None:
        tenths = done * 10 // max(total, 1)
        if tenths > self._tenths:
            self._tenths = tenths
            self._stderr.print(f"{tenths * 10} % of the events, {_date(at)}", soft_wrap=True)

    def close(self) -> None:
        """Nothing to close."""

    def summary(self, tally: Tally, next_steps: Sequence[str]) -> None:
        print_summary(self._stdout, tally, next_steps)


class JsonScreen:
    """Every record as one line of JSON on stdout, and the summary as the last one."""

    def __init__(self, stdout: Console | None = None) -> None:
        self._stdout = stdout or Console(highlight=False)

    def note(self, text: str) -> None:
        """Not data."""

    def show(self, record: Record) -> None:
        self._print({"record": type(record).__name__.lower(), **asdict(record)})

    def progress(self, done: int, total: int, at: int) -> None:
        """Not data."""

    def close(self) -> None:
        """Nothing to close."""

    def summary(self, tally: Tally, next_steps: Sequence[str]) -> None:
        self._print({"record": "summary", **figures(tally)})

    def _print(self, value: dict[str, Any]) -> None:
        self._stdout.out(json.dumps(value, ensure_ascii=False), highlight=False)


def learned(tally: Tally) -> Table:
    """Where each group's messages went lately; `LEARNED` is its heading."""
    table = Table()
    table.add_column("")
    for channel in CHANNELS:
        table.add_column(_NAMES[channel], justify="right")
    for likes, name in GROUPS.items():
        shares = tally.shares(likes)
        cells = [f"[bold {_COLOURS[c]}]{shares[c]:.0%}[/]" if c == likes else f"{shares[c]:.0%}" for c in CHANNELS]
        table.add_row(name, *cells)
    return table


def figures(tally: Tally) -> dict[str, Any]:
    """The numbers of the summary."""
    first, last = tally.thirds()
    return {
        "entered": tally.entered,
        "sent": len(tally.messages),
        "answered": answered(tally.messages).hits,
        "replies": tally.replies,
        "withheld": tally.withheld,
        "left": sum(message.left for message in tally.messages),
        "answer_rate": {"first_third": answered(first).share, "last_third": answered(last).share},
        "channels": {
            channel: {
                "sent": answered(tally.messages, channel).count,
                "first_third": answered(first, channel).share,
                "last_third": answered(last, channel).share,
            }
            for channel in CHANNELS
        },
        "on_liked_channel": {
            likes: {"first_third": on_liked(first, likes).share, "last_third": on_liked(last, likes).share}
            for likes in GROUPS
            if likes
        },
    }


def print_summary(console: Console, tally: Tally, next_steps: Sequence[str]) -> None:
    """What came of it, in numbers, and what to do next."""
    found = figures(tally)
    console.print()
    console.print(
        f"[bold]{found['entered']:,} journeys entered, {found['sent']:,} messages sent, "
        f"{found['answered']:,} answered.[/] "
        f"{found['withheld']:,} were decided but not sent (holdouts), {found['left']:,} cost us a channel.",
        soft_wrap=True,
    )
    console.print(
        "\nanswered, of the messages sent, in the first and in the last third of each customer's messages:",
        soft_wrap=True,
    )
    table = Table()
    for name in ("channel", "sent", "first third", "last third"):
        table.add_column(name, justify="left" if name == "channel" else "right")
    for channel in CHANNELS:
        row = found["channels"][channel]
        table.add_row(_NAMES[channel], f"{row['sent']:,}", f"{row['first_third']:.1%}", f"{row['last_third']:.1%}")
    rate = found["answer_rate"]
    table.add_row("all", f"{found['sent']:,}", f"{rate['first_third']:.1%}", f"{rate['last_third']:.1%}", style="bold")
    console.print(table)
    console.print(
        "\nmessages that went out on the channel the customer likes (nobody told us which), where there was a choice:",
        soft_wrap=True,
    )
    table = Table()
    for name in ("customers who", "first third", "last third"):
        table.add_column(name, justify="left" if name == "customers who" else "right")
    for likes, row in found["on_liked_channel"].items():
        table.add_row(GROUPS[likes], f"{row['first_third']:.0%}", f"{row['last_third']:.0%}")
    console.print(table)
    console.print(
        "Purchases are real (Online Retail, CC BY 4.0, examples/online_retail/README.md). Names, addresses, consents, "
        "views, categories and answers are invented.",
        style="dim",
        soft_wrap=True,
    )
    console.print("[bold]Next:[/]")
    for step in next_steps:
        console.print(f"  {step}", soft_wrap=True)


def _date(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1000, UTC):%d %b %Y}"
