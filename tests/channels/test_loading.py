"""Adapters from settings: what is wrong is named, secrets never are."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest
from channel_tools import Channels
from pydantic import BaseModel

from orchestrator.errors import SettingsInvalid
from orchestrator.runtime import channels as loading
from orchestrator.runtime.channels import load_channels
from orchestrator.testing.fakes import ProviderFakes


async def test_all_of_ours_load(fakes: ProviderFakes) -> None:
    config = {**fakes.channel_settings(), "console": {}, "console_sms": {}, "console_push": {}}
    loaded = load_channels(config)
    assert set(loaded) == set(config)
    for provider, channel in loaded.items():
        assert channel.name == provider
        await channel.close()


def test_nothing_configured_is_nothing_loaded() -> None:
    assert load_channels({}) == {}


def test_an_unknown_provider() -> None:
    with pytest.raises(SettingsInvalid, match=r"channels\.pigeon: no such provider.*known are console.*sendgrid"):
        load_channels({"pigeon": {}})


def test_every_fault_at_once_and_no_secret() -> None:
    config = {
        "pigeon": {},
        "twilio": {"account_sid": "SECRET-1", "auth_token": {"SECRET-2": 1}, "colour": "SECRET-3"},
        "sendgrid": {"api_key": "SECRET-4", "sender": "SECRET-5", "event_public_keys": ["SECRET-6"]},
        "webpush": {"private_key": "SECRET-7", "subject": "SECRET-8"},
        "fcm": {"service_account": '{"private_key": "SECRET-9"}'},
        "smtp": {"host": "h", "password": ["SECRET-10"], "sender": "a@b.example", "port": 99_999},
    }
    with pytest.raises(SettingsInvalid) as refused:
        load_channels(config)
    text = str(refused.value)
    assert "SECRET" not in text
    for name in (
        "channels.pigeon",
        "channels.twilio.account_sid",
        "channels.twilio.auth_token",
        "channels.twilio.colour",
        "channels.sendgrid.sender",
        "channels.sendgrid.event_public_keys",
        "channels.webpush.private_key",
        "channels.webpush.subject",
        "channels.fcm: ",
        "channels.smtp.password",
        "channels.smtp.port",
    ):
        assert name in text


def test_credentials_do_not_travel_in_the_clear(fakes: ProviderFakes) -> None:
    settings = fakes.channel_settings()
    for provider in ("sendgrid", "twilio", "fcm"):
        for url in (
            "http://api.provider.example",
            "ftp://127.0.0.1",
            "api.provider.example",
            "http://127.0.0.1.evil.example",
        ):
            with pytest.raises(SettingsInvalid, match=rf"channels\.{provider}\.base_url: is not an https:// address"):
                load_channels({provider: {**settings[provider], "base_url": url}})
    with pytest.raises(SettingsInvalid, match=r"channels\.smtp: a password is not sent unencrypted"):
        load_channels({"smtp": {**settings["smtp"], "host": "mail.provider.example"}})


def test_secrets_are_typed_as_secrets(fakes: ProviderFakes, channels: Channels) -> None:
    """No secret of a provider appears when its settings are shown."""
    for provider, values in fakes.channel_settings().items():
        shown = repr(type(channels[provider]).Settings.model_validate(values))
        for name, value in values.items():
            if name in ("api_key", "auth_token", "password", "private_key", "service_account"):
                assert str(value) not in shown


class _Half:
    name = "half"
    Settings = BaseModel


def test_what_is_no_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(value: str, name: str = "half") -> Any:
        entries = [EntryPoint(name, one, loading.GROUP) for one in value.split(",")]
        return lambda group: entries

    monkeypatch.setattr(loading, "entry_points", found(f"{__name__}:_Half"))
    with pytest.raises(SettingsInvalid, match=r"has no channel, address, build, send"):
        load_channels({"half": {}})
    monkeypatch.setattr(loading, "entry_points", found("no_such_module:X"))
    with pytest.raises(SettingsInvalid, match=r"channels\.half: no_such_module:X cannot be imported"):
        load_channels({"half": {}})
    monkeypatch.setattr(loading, "entry_points", found("one:X,two:X"))
    with pytest.raises(SettingsInvalid, match=r"two packages bring this provider: one:X, two:X"):
        load_channels({"half": {}})
    monkeypatch.setattr(loading, "entry_points", found("orchestrator_channels.console:Console"))
    with pytest.raises(SettingsInvalid, match="calls itself 'console'"):
        load_channels({"half": {}})
