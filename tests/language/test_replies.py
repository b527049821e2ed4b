"""What the first rules read in an answer: English, German and Polish, digits, stars and signs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.language.replies import CHOICES, INTENTS, MOODS, read_reply


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("Remind me next week", "later"),
        ("not now please", "later"),
        ("I still have enough", "later"),
        ("Später bitte", "later"),
        ("nächste Woche", "later"),
        ("nie teraz, za tydzień", "later"),
        ("Później", "later"),
        ("No thanks", "decline"),
        ("no", "decline"),
        ("Nein danke!", "decline"),
        ("Kein Interesse", "decline"),
        ("nie, dziękuję", "decline"),
        ("nie chcę", "decline"),
        ("Yes please", "accept"),
        ("OK", "accept"),
        ("ja, gerne", "accept"),
        ("Tak, poproszę", "accept"),
        ("How long does it last?", "question"),
        ("Kann ich das umtauschen?", "question"),
        ("Czy macie też niebieskie", "question"),
        ("It arrived broken, I want a refund", "complaint"),
        ("Die Tasse ist kaputt", "complaint"),
        ("Przyszło uszkodzone", "complaint"),
        ("The weather is blue", None),
        ("Was great, thank you all", None),
    ],
)
def test_intent(text: str, intent: str | None) -> None:
    assert read_reply(text).get("intent") == intent


@pytest.mark.parametrize(
    ("text", "mood"),
    [
        ("I love it", "happy"),
        ("very good!", "happy"),
        ("not bad", "happy"),
        ("Sehr gut, danke", "happy"),
        ("świetny produkt", "happy"),
        ("jestem zadowolona", "happy"),
        ("Not happy at all", "unhappy"),
        ("terrible", "unhappy"),
        ("Bin nicht zufrieden", "unhappy"),
        ("niezadowolony", "unhappy"),
        ("źle", "unhappy"),
        ("👎", "unhappy"),
        ("😍", "happy"),
        ("5/5", "happy"),
        ("2 stars", "unhappy"),
        ("geht so", "neutral"),
        ("w porządku", "neutral"),
        ("I bought three", None),
    ],
)
def test_mood(text: str, mood: str | None) -> None:
    assert read_reply(text).get("mood") == mood


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("4", 4),
        ("4/5", 4),
        ("3 out of 5", 3),
        ("5 Sterne", 5),
        ("1 gwiazdka", 1),
        ("⭐⭐⭐", 3),
        ("****", 4),
        ("12", None),
        ("I bought 3 of them last year", None),
        ("my order 4711 came on 2 March", None),
        ("4.5", None),
        ("10/5", None),
    ],
)
def test_rating(text: str, rating: int | None) -> None:
    assert read_reply(text).get("rating") == rating


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("email", "email"),
        ("E-Mail bitte", "email"),
        ("mejlem", "email"),
        ("lieber per SMS", "sms"),
        ("text message", "sms"),
        ("the app please", "push"),
        ("less often", "less_often"),
        ("rzadziej proszę", "less_often"),
        ("zu viele Mails, weniger bitte", "less_often"),
        ("blue", None),
    ],
)
def test_choice(text: str, choice: str | None) -> None:
    assert read_reply(text).get("choice") == choice


@given(st.text(max_size=3_000))
def test_any_text_gives_known_words_and_never_raises(text: str) -> None:
    found = read_reply(text)
    assert set(found) <= {"intent", "mood", "rating", "choice"}
    assert found.get("intent", "later") in INTENTS
    assert found.get("mood", "happy") in MOODS
    assert found.get("choice", "sms") in CHOICES
    assert found.get("rating", 1) in range(1, 6)
