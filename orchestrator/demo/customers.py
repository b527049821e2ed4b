"""Invented: the people behind the customer numbers, and how they answer. A pure function of the seed.

Everybody has one channel they like to answer on, which nobody tells the product: it has to find out. Preferences,
rates and delays are made up and claim nothing about real people.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from math import exp
from statistics import NormalDist
from typing import Literal

from orchestrator.contracts.receipts import Feedback, FeedbackKind

Channel = Literal["email", "sms", "push"]
CHANNELS: tuple[Channel, ...] = ("email", "sms", "push")

#: How many prefer which channel; "" answers little, and on any.
PREFERENCES: tuple[tuple[Channel | Literal[""], float], ...] = (
    ("email", 0.36),
    ("sms", 0.30),
    ("push", 0.24),
    ("", 0.10),
)
#: Chance of an answer to one message: on the liked channel, on another one, and of people who like none.
LIKED, OTHER, NONE = 0.6, 0.03, 0.06
#: Chance that a channel that is not the liked one is open to us (an address and a marketing consent).
OPEN = {"email": 0.95, "sms": 0.75, "push": 0.65}
#: Median minutes until a person answers.
MINUTES = {"email": 170.0, "sms": 14.0, "push": 6.0}
#: Nobody answers later than this.
LATEST = 3 * 86_400.0
#: Share of mailboxes that fetch images by themselves, and of those that follow links by themselves.
MACHINE_OPENS, MACHINE_CLICKS = 0.5, 0.04
#: Chance that a message is not reacted to but ends the consent: on the liked channel, on another one.
LEAVES_LIKED, LEAVES_OTHER = 0.002, 0.012

_NAMES = (
    "Ada Alma Amir Anna Ben Bo Carla Chloe Daan David Dina Elif Emma Erik Eva Farid Finn Grace Greta Hana Hugo "
    "Ida Ines Iris Ivan Jack Jana Joan Jonas Kai Lara Lea Leo Lina Luis Maya Mia Milo Nils Nina Noah Nora Omar "
    "Otto Paul Petra Rosa Ruth Sam Sara Tara Theo Tom Uma Vera Wim Yara Zoe"
)
FIRST_NAMES = tuple(_NAMES.split())

TIME_ZONES = {
    "United Kingdom": "Europe/London",
    "EIRE": "Europe/Dublin",
    "Channel Islands": "Europe/Jersey",
    "Germany": "Europe/Berlin",
    "France": "Europe/Paris",
    "Belgium": "Europe/Brussels",
    "Netherlands": "Europe/Amsterdam",
    "Switzerland": "Europe/Zurich",
    "Austria": "Europe/Vienna",
    "Spain": "Europe/Madrid",
    "Portugal": "Europe/Lisbon",
    "Italy": "Europe/Rome",
    "Malta": "Europe/Malta",
    "Greece": "Europe/Athens",
    "Cyprus": "Asia/Nicosia",
    "Denmark": "Europe/Copenhagen",
    "Norway": "Europe/Oslo",
    "Sweden": "Europe/Stockholm",
    "Finland": "Europe/Helsinki",
    "Poland": "Europe/Warsaw",
    "Japan": "Asia/Tokyo",
    "Singapore": "Asia/Singapore",
    "Australia": "Australia/Sydney",
    "USA": "America/New_York",
    "Canada": "America/Toronto",
    "Israel": "Asia/Jerusalem",
}

REPLIES = (
    "Yes please, the same again.",
    "Thanks, I was about to run out!",
    "How long is delivery at the moment?",
    "Good timing. Is there a larger size?",
    "Can I get it in red?",
    "Will order tonight.",
    "Not this month, but thank you for asking.",
)


@dataclass(frozen=True, slots=True)
class Person:
    """One invented person. `likes` and `answers` are hidden from the product."""

    customer: str
    first_name: str
    time_zone: str
    #: Channels with an address and a marketing consent.
    open: tuple[Channel, ...]
    likes: Channel | Literal[""]
    #: Chance of an answer to one message on each channel.
    answers: dict[str, float]


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that reached its provider. `at` in ms UTC."""

    send_id: str
    customer: str
    channel: str
    at: int


@dataclass(slots=True)
class CustomerModel:
    """All invented people of one seed. The same seed gives the same people and the same answers to the same sends."""

    seed: int = 1
    _known: dict[str, Person] = field(default_factory=dict, repr=False)

    def person(self, customer: str, country: str = "United Kingdom") -> Person:
        """Who a customer is. The country (of the data) counts at the first call for this customer."""
        found = self._known.get(customer)
        if found is None:
            found = self._known[customer] = self._invent(customer, country)
        return found

    def _invent(self, customer: str, country: str) -> Person:
        likes = self._preference(self._chance("likes", customer))
        rates: dict[str, float] = {}
        for channel in CHANNELS:
            mean = NONE if not likes else LIKED if channel == likes else OTHER
            # People differ: between 0.6 and 1.4 times the group's rate.
            rates[channel] = mean * (0.6 + 0.8 * self._chance("rate", customer, channel))
        opens = tuple(c for c in CHANNELS if c == likes or self._chance("open", customer, c) < OPEN[c])
        return Person(
            customer=customer,
            first_name=FIRST_NAMES[int(self._chance("name", customer) * len(FIRST_NAMES))],
            time_zone=TIME_ZONES.get(country, "Europe/London"),
            open=opens or ("email",),
            likes=likes,
            answers=rates,
        )

    def answers(self, sent: Sent) -> list[tuple[float, Feedback]]:
        """What comes back, as (seconds after the send, feedback), in the order of time.

        Delivery and the machines' opens and clicks are the mailbox's; opens, clicks, replies and unsubscribes the
        person's. A reply of STOP is how people leave SMS.
        """
        person = self.person(sent.customer)

        def chance(what: str) -> float:
            return self._chance(what, sent.send_id)

        came: list[tuple[float, FeedbackKind, bool, str]] = []
        arrived = 1.0 + 20.0 * chance("delivery")
        came.append((arrived, FeedbackKind.DELIVERED, False, ""))
        if sent.channel == "email":
            if chance("machine open") < MACHINE_OPENS:
                came.append((arrived + 1.0 + 30.0 * chance("machine open delay"), FeedbackKind.OPENED, True, ""))
            if chance("machine click") < MACHINE_CLICKS:
                came.append((arrived + 2.0 + 5.0 * chance("machine click delay"), FeedbackKind.CLICKED, True, ""))
        delay = self._delay(sent)
        answer = chance("answer")
        rate = person.answers.get(sent.channel, 0.0)
        leaves = LEAVES_LIKED if sent.channel == person.likes else LEAVES_OTHER
        if answer < rate:
            if sent.channel == "email":
                came.append((delay, FeedbackKind.OPENED, False, ""))
            came.append((delay + 5.0 + 60.0 * chance("reading"), *self._response(sent)))
        elif answer > 1.0 - leaves:
            left = (
                (FeedbackKind.REPLY, False, "STOP") if sent.channel == "sms" else (FeedbackKind.UNSUBSCRIBED, False, "")
            )
            came.append((delay, *left))
        elif sent.channel == "email" and chance("open") < 0.25:
            came.append((delay, FeedbackKind.OPENED, False, ""))
        came.sort(key=lambda item: item[0])
        return [
            (
                seconds,
                Feedback(
                    kind=kind,
                    id=f"{sent.send_id}-{kind}{'-machine' if machine else ''}",
                    send_id=sent.send_id,
                    time=sent.at + round(seconds * 1000),
                    machine=machine,
                    text=text,
                ),
            )
            for seconds, kind, machine, text in came
        ]

    def _response(self, sent: Sent) -> tuple[FeedbackKind, bool, str]:
        """A click or words: SMS has no link to click, a push has no way to write back."""
        writes = sent.channel == "sms" or (sent.channel == "email" and self._chance("writes", sent.send_id) < 0.25)
        if not writes:
            return FeedbackKind.CLICKED, False, ""
        return FeedbackKind.REPLY, False, REPLIES[int(self._chance("words", sent.send_id) * len(REPLIES))]

    def _delay(self, sent: Sent) -> float:
        """Log-normal around the channel's median."""
        spread = NormalDist().inv_cdf(min(max(self._chance("delay", sent.send_id), 0.001), 0.999))
        return min(60.0 + 60.0 * MINUTES.get(sent.channel, 60.0) * exp(1.1 * spread), LATEST)

    @staticmethod
    def _preference(chance: float) -> Channel | Literal[""]:
        for channel, share in PREFERENCES:
            chance -= share
            if chance < 0:
                return channel
        return ""

    def _chance(self, *names: str) -> float:
        """A number in [0, 1) that is the same whenever the same is asked."""
        text = "\0".join((str(self.seed), *names)).encode()
        return int.from_bytes(blake2b(text, digest_size=8).digest(), "big") / 2.0**64
