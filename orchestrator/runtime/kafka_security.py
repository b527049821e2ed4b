"""How we log in to Kafka: one setting, told to each client library in its own words."""

from __future__ import annotations

import ssl
from typing import Any

from orchestrator.errors import SettingsInvalid
from orchestrator.settings import Kafka


def tls_context(kafka: Kafka) -> ssl.SSLContext | None:
    """The context of an encrypted connection; None for a plain one. Certificates and host names are always checked."""
    if "SSL" not in kafka.security:
        return None
    if kafka.ca_file is not None and not kafka.ca_file.is_file():
        raise SettingsInvalid(f"no file {kafka.ca_file}", fix="correct kafka.ca_file")
    return ssl.create_default_context(cafile=None if kafka.ca_file is None else str(kafka.ca_file))


def client_security(kafka: Kafka) -> dict[str, Any]:
    """Keyword arguments that aiokafka and kafka-python both take."""
    arguments: dict[str, Any] = {"security_protocol": kafka.security}
    context = tls_context(kafka)
    if context is not None:
        arguments["ssl_context"] = context
    if "SASL" in kafka.security:
        arguments |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.username,
            "sasl_plain_password": kafka.password.get_secret_value(),
        }
    return arguments
