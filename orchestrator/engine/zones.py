"""Whose clock: the customer's time zone, and how we know it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal
from zoneinfo import ZoneInfo

from orchestrator.engine.local_time import zone
from orchestrator.engine.state import Customer
from orchestrator.language.program import Policy

#: `stated` by her or the shop's systems, read from the country of her `address` or `phone`, or the policy's `default`.
Provenance = Literal["stated", "address", "phone", "default"]

#: country, calling code, zone: countries that live by one clock. Others (US, BR, RU, AU, ES, PT …) tell nothing.
_COUNTRIES = """
AE 971 Asia/Dubai, AT 43 Europe/Vienna, BE 32 Europe/Brussels, BG 359 Europe/Sofia, CH 41 Europe/Zurich,
CZ 420 Europe/Prague, DE 49 Europe/Berlin, DK 45 Europe/Copenhagen, EE 372 Europe/Tallinn, EG 20 Africa/Cairo,
FI 358 Europe/Helsinki, FR 33 Europe/Paris, GB 44 Europe/London, GR 30 Europe/Athens, HK 852 Asia/Hong_Kong,
HR 385 Europe/Zagreb, HU 36 Europe/Budapest, IE 353 Europe/Dublin, IL 972 Asia/Jerusalem, IN 91 Asia/Kolkata,
IS 354 Atlantic/Reykjavik, IT 39 Europe/Rome, JP 81 Asia/Tokyo, KE 254 Africa/Nairobi, KR 82 Asia/Seoul,
LT 370 Europe/Vilnius, LU 352 Europe/Luxembourg, LV 371 Europe/Riga, MT 356 Europe/Malta, NG 234 Africa/Lagos,
NL 31 Europe/Amsterdam, NO 47 Europe/Oslo, PH 63 Asia/Manila, PK 92 Asia/Karachi, PL 48 Europe/Warsaw,
RO 40 Europe/Bucharest, SA 966 Asia/Riyadh, SE 46 Europe/Stockholm, SG 65 Asia/Singapore, SI 386 Europe/Ljubljana,
SK 421 Europe/Bratislava, TH 66 Asia/Bangkok, TR 90 Europe/Istanbul, TW 886 Asia/Taipei, UA 380 Europe/Kyiv,
ZA 27 Africa/Johannesburg
"""
_ROWS = [row.split() for row in _COUNTRIES.replace("\n", " ").split(",")]
_OF_COUNTRY = {country: name for country, _, name in _ROWS}
_OF_CODE = {code: name for _, code, name in _ROWS}


def zone_of(customer: Customer, policy: Policy) -> ZoneInfo:
    """The zone her clock is read in."""
    return _found(customer.time_zone, _country(customer), _phone(customer), policy.time_zone)[0]


def provenance_of(customer: Customer, policy: Policy) -> Provenance:
    """How that zone is known."""
    return _found(customer.time_zone, _country(customer), _phone(customer), policy.time_zone)[1]


@lru_cache(maxsize=4096)
def _found(stated: str, country: str, code: str, default: str) -> tuple[ZoneInfo, Provenance]:
    if stated:
        return zone(stated, default), "stated"
    if country in _OF_COUNTRY:
        return zone(_OF_COUNTRY[country], default), "address"
    if code:
        return zone(_OF_CODE[code], default), "phone"
    return zone("", default), "default"


def _country(customer: Customer) -> str:
    country: Any = customer.attributes.get("country")
    return country.upper() if isinstance(country, str) and len(country) == 2 else ""


def _phone(customer: Customer) -> str:
    """The calling code of her number, where its country lives by one clock. No code is the beginning of another."""
    number: Any = customer.addresses.get("phone")
    if not isinstance(number, str) or not number.startswith("+"):
        return ""
    return next((number[1:end] for end in (3, 4) if number[1:end] in _OF_CODE), "")
