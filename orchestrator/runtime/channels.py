"""Finding and making the channel adapters an installation is configured for. They arrive by entry point, ours too."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import SettingsInvalid
from orchestrator.ports import Channel

#: The entry-point group; an entry point's name is the provider's name.
GROUP = "orchestrator.channels"


def load_channels(config: Mapping[str, Mapping[str, Any]]) -> dict[str, Channel[Any]]:
    """Provider name → adapter, for every provider in the settings' `channels`.

    Raises SettingsInvalid with every fault at once: an unknown provider, an adapter that cannot be imported, settings
    that do not fit. Values are never shown, for they may be secrets.
    """
    installed: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        installed.setdefault(entry.name, []).append(entry)
    channels: dict[str, Channel[Any]] = {}
    faults: list[str] = []
    for provider, values in config.items():
        try:
            channels[provider] = _load(provider, values, installed)
        except SettingsInvalid as fault:
            faults.append(str(fault))
    if faults:
        raise SettingsInvalid("; ".join(faults))
    return channels


def _load(provider: str, values: Mapping[str, Any], installed: Mapping[str, list[EntryPoint]]) -> Channel[Any]:
    found = installed.get(provider, [])
    if not found:
        raise SettingsInvalid(
            f"channels.{provider}: no such provider is installed", fix=f"known are {', '.join(sorted(installed))}"
        )
    if len({entry.value for entry in found}) > 1:
        raise SettingsInvalid(
            f"channels.{provider}: two packages bring this provider: {', '.join(entry.value for entry in found)}",
            fix="uninstall one of them",
        )
    try:
        adapter = found[0].load()
    except (ImportError, AttributeError) as error:
        raise SettingsInvalid(
            f"channels.{provider}: {found[0].value} cannot be imported: {error}", fix="install what the provider needs"
        ) from error
    missing = [name for name in _MEMBERS if not hasattr(adapter, name)]
    if missing or adapter.name != provider:
        wrong = f"has no {', '.join(missing)}" if missing else f"calls itself {adapter.name!r}"
        raise SettingsInvalid(f"channels.{provider}: {found[0].value} {wrong}", fix="see channels/README.md")
    try:
        settings = adapter.Settings.model_validate(dict(values))
    except ValidationError as error:
        raise SettingsInvalid(_faults(provider, error)) from None
    channel: Channel[Any] = adapter(settings)
    return channel


_MEMBERS = ("name", "channel", "address", "Settings", "build", "send", "verify", "parse", "close")


def _faults(provider: str, error: ValidationError) -> str:
    """Every fault with the setting's full name, without the value."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(
        f"{'.'.join(['channels', provider, *map(str, fault['loc'])])}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in faults
    )
