"""Text-message parts against vectors that follow from GSM 03.38 and 03.40."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.content.sms_parts import PLAIN, sms_parts


@pytest.mark.parametrize(
    ("text", "encoding", "parts", "units"),
    [
        ("", "GSM-7", 1, 0),
        ("a" * 160, "GSM-7", 1, 160),
        ("a" * 161, "GSM-7", 2, 161),
        ("a" * 306, "GSM-7", 2, 306),
        ("a" * 307, "GSM-7", 3, 307),
        ("€" * 80, "GSM-7", 1, 160),
        ("€" * 81, "GSM-7", 2, 162),
        # The 153rd place is not enough for a character of two: it moves to the next part.
        ("a" * 152 + "€" + "a" * 152, "GSM-7", 3, 306),
        ("a" * 151 + "€" + "a" * 153, "GSM-7", 2, 306),
        ("äöüÄÖÜßàèéìòùÇØøÅåÆæÉñÑ¿¡£¥$@§\n\r", "GSM-7", 1, 32),
        ("[]{}\\~^|", "GSM-7", 1, 16),
        ("`", "UCS-2", 1, 1),
        ("ł" * 70, "UCS-2", 1, 70),
        ("ł" * 71, "UCS-2", 2, 71),
        ("ł" * 134, "UCS-2", 2, 134),
        ("ł" * 135, "UCS-2", 3, 135),
        ("a" * 69 + "’", "UCS-2", 1, 70),
        ("😀" * 35, "UCS-2", 1, 70),
        ("😀" * 36, "UCS-2", 2, 72),
        # A surrogate pair is not torn apart: 33 of them and one place that stays empty.
        ("😀" * 67, "UCS-2", 3, 134),
    ],
)
def test_vectors(text: str, encoding: str, parts: int, units: int) -> None:
    found = sms_parts(text)
    assert (found.encoding, found.parts, found.units) == (encoding, parts, units)


def test_what_made_it_ucs_2_is_named_and_has_a_plain_form() -> None:
    assert sms_parts("It’s “here”…").foreign == ("’", "“", "”", "…")
    assert sms_parts("".join(PLAIN.values())).encoding == "GSM-7"


@given(st.text())
def test_every_unit_has_room_and_no_part_is_superfluous(text: str) -> None:
    found = sms_parts(text)
    assert found.units <= found.room
    per_part = {"GSM-7": 153, "UCS-2": 67}[found.encoding]
    # At most one place of each full part stays empty.
    assert found.parts == 1 or found.units > (found.parts - 1) * (per_part - 1)
