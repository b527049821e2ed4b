"""The invented customers: each with a channel of choice, the same for the same seed."""

from __future__ import annotations

from collections import Counter

import pytest

from orchestrator.contracts.receipts import FeedbackKind
from orchestrator.demo.customers import CHANNELS, LATEST, LIKED, OTHER, CustomerModel, Sent
from orchestrator.engine.answers import reply_word

PEOPLE = [str(number) for number in range(12_000, 13_500)]


@pytest.fixture(scope="module")
def model() -> CustomerModel:
    return CustomerModel(7)


def sends(channel: str, customer: str, count: int = 8) -> list[Sent]:
    return [Sent(f"send-{customer}-{channel}-{n}", customer, channel, 1_300_000_000_000) for n in range(count)]


def answered(model: CustomerModel, sent: Sent) -> bool:
    return any(
        not feedback.machine
        and (feedback.kind is FeedbackKind.CLICKED or (feedback.kind is FeedbackKind.REPLY and feedback.text != "STOP"))
        for _, feedback in model.answers(sent)
    )


def test_preferences_are_spread_and_a_liked_channel_is_open(model: CustomerModel) -> None:
    people = [model.person(customer) for customer in PEOPLE]
    likes = Counter(person.likes for person in people)
    assert {key: round(count / len(people), 1) for key, count in likes.items()} == {
        "email": 0.4, "sms": 0.3, "push": 0.2, "": 0.1,
    }  # fmt: skip
    assert all(person.likes in person.open for person in people if person.likes)
    assert all(person.open for person in people)
    assert {len(person.open) for person in people} == {1, 2, 3}


def test_people_answer_where_they_like_to(model: CustomerModel) -> None:
    tally: dict[bool, list[bool]] = {True: [], False: []}
    for customer in PEOPLE[:400]:
        person = model.person(customer)
        if person.likes:
            for channel in CHANNELS:
                tally[channel == person.likes] += [answered(model, sent) for sent in sends(channel, customer)]
    liked, other = (sum(tally[key]) / len(tally[key]) for key in (True, False))
    assert liked == pytest.approx(LIKED, abs=0.04)
    assert other == pytest.approx(OTHER, abs=0.015)


def test_answers_come_in_order_in_time_and_fit_their_channel(model: CustomerModel) -> None:
    kinds: dict[str, set[str]] = {channel: set() for channel in CHANNELS}
    for customer in PEOPLE[:400]:
        for channel in CHANNELS:
            for sent in sends(channel, customer, 3):
                answers = model.answers(sent)
                delays = [delay for delay, _ in answers]
                assert delays == sorted(delays)
                assert delays[0] > 0
                assert delays[-1] <= LATEST + 70
                assert answers[0][1].kind is FeedbackKind.DELIVERED
                assert len({feedback.id for _, feedback in answers}) == len(answers)
                for delay, feedback in answers:
                    assert feedback.send_id == sent.send_id
                    assert feedback.time == sent.at + round(delay * 1000)
                    kinds[channel].add(feedback.kind + ("-machine" if feedback.machine else ""))
    assert kinds["sms"] == {"delivered", "reply"}
    assert kinds["push"] == {"delivered", "clicked", "unsubscribed"}
    assert kinds["email"] == {
        "delivered", "opened", "opened-machine", "clicked", "clicked-machine", "reply", "unsubscribed",
    }  # fmt: skip


def test_people_leave_sms_with_a_word_the_product_understands_and_no_other_reply_is_one(
    model: CustomerModel,
) -> None:
    texts = {
        feedback.text
        for customer in PEOPLE
        for sent in sends("sms", customer)
        for _, feedback in model.answers(sent)
        if feedback.kind is FeedbackKind.REPLY
    }
    assert "STOP" in texts
    assert {text for text in texts if reply_word(text)} == {"STOP"}


def test_the_seed_decides_everything() -> None:
    def told(seed: int) -> list[object]:
        model = CustomerModel(seed)
        return [
            (model.person(customer), model.answers(sent))
            for customer in PEOPLE[:50]
            for sent in sends("email", customer, 2)
        ]

    assert told(3) == told(3)
    assert told(3) != told(4)


def test_an_answer_depends_on_its_send_only() -> None:
    forward, backward = CustomerModel(5), CustomerModel(5)
    all_sends = [sent for customer in PEOPLE[:20] for channel in CHANNELS for sent in sends(channel, customer, 2)]
    first = {sent.send_id: forward.answers(sent) for sent in all_sends}
    assert {sent.send_id: backward.answers(sent) for sent in reversed(all_sends)} == first


def test_the_country_sets_the_time_zone() -> None:
    model = CustomerModel(1)
    assert model.person("1", "Germany").time_zone == "Europe/Berlin"
    assert model.person("2", "Unspecified").time_zone == "Europe/London"
