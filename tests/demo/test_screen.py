"""What the demo counts and shows, fed with made-up records."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from orchestrator.demo.screen import (
    Answered,
    Entered,
    JsonScreen,
    Pace,
    PlainScreen,
    Record,
    Sent,
    TerminalScreen,
    figures,
    learned,
    line,
    open_screen,
)
from orchestrator.demo.tally import Message, Tally, answered, on_liked

AT = 1_304_251_200_000  # 1 May 2011, 12:00 UTC


def entered(customer: str = "14911") -> Entered:
    return Entered(AT, customer, "Ada", "refill_reminder")


def sent(send_id: str = "s-1", customer: str = "14911") -> Sent:
    reasons = ["sms: the best expected answer", "sms: expects 40% answers", "email: no consent"]
    return Sent(AT, send_id, customer, "Ada", "refill_reminder", "refill_last_call", "sms", reasons)


def reply(send_id: str = "s-1", kind: str = "reply", text: str = "Yes [bold]please[/]") -> Answered:
    return Answered(AT, send_id, "14911", "Ada", "sms", kind, text)


def message(n: int, channel: str, likes: str, *, hit: bool = False) -> Message:
    return Message(f"s-{n}", f"c-{n % 10}", "j", channel, likes, AT + n, answered=hit)


def filled(messages: list[Message]) -> Tally:
    tally = Tally()
    for one in messages:
        tally.sent(one)
    return tally


def console(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=160, highlight=False)


def text_of(target: Console) -> str:
    assert isinstance(target.file, io.StringIO)
    return target.file.getvalue()


def plain(record: Record) -> str:
    target = console()
    target.print(line(record), soft_wrap=True)
    return text_of(target).strip()


def test_lines_say_who_what_where_and_why() -> None:
    assert plain(entered()) == "01 May 12:00  entered  Ada (14911): refill_reminder"
    why = "the best expected answer; expects 40% answers"
    assert plain(sent()) == f"01 May 12:00  SMS → Ada (14911): refill_last_call because {why}"
    assert plain(reply(kind="clicked")) == "01 May 12:00  SMS ← Ada (14911): clicked"
    assert plain(reply(kind="unsubscribed")) == "01 May 12:00  SMS ← Ada (14911): wants no more of these"


def test_what_a_customer_wrote_is_shown_as_written() -> None:
    assert plain(reply()) == '01 May 12:00  SMS ← Ada (14911): "Yes [bold]please[/]"'


def test_thirds_and_shares() -> None:
    """Each of ten customers has three messages: by email, push and SMS."""
    early = [message(n, "email", "sms", hit=n == 0) for n in range(10)]
    middle = [message(n, "push", "sms") for n in range(10, 20)]
    late = [message(n, "sms", "sms", hit=n < 28) for n in range(20, 30)]
    # Whoever has too few messages to compare is in neither third, and what was no choice is not counted as one.
    alone, forced = Message("s-x", "c-x", "j", "sms", "sms", AT), message(5, "push", "sms")
    forced.choice = False
    tally = filled([*early, *middle, *late])
    assert tally.thirds() == (early, late)
    tally.sent(alone)
    assert tally.thirds() == (early, late)
    assert on_liked([forced, *late], "sms").count == 10
    tally = filled([*early, *middle, *late])
    found = figures(tally)
    assert found["answer_rate"] == {"first_third": 0.1, "last_third": 0.8}
    assert found["on_liked_channel"]["sms"] == {"first_third": 0.0, "last_third": 1.0}
    assert found["channels"]["sms"] == {"sent": 10, "first_third": 0.0, "last_third": 0.8}
    assert tally.shares("sms", last=20) == {"email": 0.0, "sms": 0.5, "push": 0.5}
    assert tally.shares("email") == {"email": 0.0, "sms": 0.0, "push": 0.0}
    assert on_liked(tally.messages, "sms").share == pytest.approx(1 / 3)
    assert answered(tally.messages, "email").hits == 1


def test_nothing_at_all_has_numbers_too() -> None:
    assert figures(Tally())["answer_rate"] == {"first_third": 0.0, "last_third": 0.0}


class Hand:
    """A clock moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_pace_is_a_persons() -> None:
    hand = Hand()
    pace = Pace(5.0, hand)
    shown = 0
    for step in range(1_000):
        hand.now = step / 100
        shown += pace.lets(entered(f"c-{step}"))
    assert 45 <= shown <= 60


def test_a_story_that_began_is_told_to_its_end() -> None:
    hand = Hand()
    pace = Pace(2.0, hand)
    assert pace.lets(entered("ada"))
    assert pace.lets(sent("s-0", "bob"))
    assert not pace.lets(sent("s-2", "carl"))
    assert pace.lets(sent("s-1", "ada"))
    assert not pace.lets(reply("s-2"))
    hand.now = 2.0
    assert pace.lets(reply("s-1"))
    assert pace.lets(reply("s-0"))


def test_without_a_terminal_lines_are_plain_and_progress_is_apart() -> None:
    out, err = console(), console()
    screen = PlainScreen(out, err)
    screen.note("starting")
    screen.show(sent())
    for done in range(101):
        screen.progress(done, 100, AT)
    screen.close()
    tally = filled([message(n, "sms", "sms", hit=True) for n in range(6)])
    tally.entered = 7
    screen.summary(tally, ["do this next"])
    assert "SMS → Ada" in text_of(out)
    assert text_of(err).count("% of the events") == 10
    assert "7 journeys entered, 6 messages sent, 6 answered" in text_of(out)
    assert text_of(out).rstrip().endswith("do this next")
    assert "Purchases are real" in text_of(out)
    assert "\x1b" not in text_of(out)


def test_a_terminal_has_a_bar_and_the_table_of_what_was_learned() -> None:
    out = console(terminal=True)
    tally = filled([message(n, "push", "push") for n in range(4)])
    screen = open_screen(tally, stdout=out)
    assert isinstance(screen, TerminalScreen)
    try:
        screen.progress(50, 100, AT)
        screen.show(sent())
    finally:
        screen.close()
    shown = text_of(out)
    assert "Ada (14911)" in shown
    assert "50%" in shown
    assert "like push" in shown
    assert "100%" in shown


def test_where_the_output_goes_decides() -> None:
    assert isinstance(open_screen(Tally(), stdout=console()), PlainScreen)
    assert isinstance(open_screen(Tally(), as_json=True), JsonScreen)


def test_json_is_one_record_a_line_and_never_wraps() -> None:
    out = console()
    screen = JsonScreen(out)
    screen.note("not data")
    screen.show(reply(text="x" * 400))
    screen.progress(1, 2, AT)
    screen.summary(Tally(), [])
    first, last = map(json.loads, text_of(out).splitlines())
    assert first["record"] == "answered"
    assert first["text"] == "x" * 400
    assert last["record"] == "summary"


def test_the_table_has_a_row_for_each_group() -> None:
    out = console()
    out.print(learned(filled([message(1, "email", "")])))
    assert all(name in text_of(out) for name in ("like email", "like sms", "like push", "like none"))
