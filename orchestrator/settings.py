"""All settings, from `orchestrator.toml` and `ORCHESTRATOR_*` variables (which win). The only reader of either.

A nested setting's variable joins with two underscores: `ORCHESTRATOR_KAFKA__BOOTSTRAP`. Secrets are SecretStr and may
come as files: `ORCHESTRATOR_SECRETS_DIR` names a folder whose file names are variable names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from orchestrator.errors import SettingsInvalid

FILE = "orchestrator.toml"


class Kafka(BaseModel):
    bootstrap: str = Field(default="127.0.0.1:9092", description="host:port of brokers, separated by commas.")
    group: str = Field(default="orchestrator-worker", description="Consumer group of the workers.")
    session_timeout: float = Field(
        default=10.0, description="Seconds after which a silent worker loses its partitions."
    )
    security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: str = "SCRAM-SHA-512"
    username: str = ""
    password: SecretStr = SecretStr("")
    ca_file: Path | None = None


class Topics(BaseModel):
    events: str = Field(default="events", description="The log the workers read. LogAppendTime.")
    sources: list[str] = Field(
        default=["source-events"], description="Topics upstream systems write to; ingest reads them."
    )
    dead: str = Field(default="dead-letters", description="What could not be read or applied, with the reason.")
    sends: str = Field(default="sends", description="Journal of claims, written before a provider is called.")
    decisions: str = Field(default="decisions", description="Every decision with its reasons.")
    partitions: int = Field(default=8, description="Partitions of `events`; fixed at first start.")
    replication: int = Field(default=1, description="Replicas of each topic; 3 in production.")
    retention: float = Field(
        default=7 * 86_400.0, description="Seconds a topic keeps records: at least the age of the oldest Redis backup."
    )


class Redis(BaseModel):
    url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"), description="redis://, rediss:// or unix:// URL."
    )
    timeout: float = Field(default=5.0, description="Seconds before a command is given up.")


class ApiKey(BaseModel):
    name: str
    sha256: str = Field(description="SHA-256 of the key, hex: the key itself is never stored.")


class Gateway(BaseModel):
    host: str = "127.0.0.1"
    port: int = 8080
    public_url: str = Field(
        default="http://127.0.0.1:8080", description="How providers reach us; webhook signatures cover it."
    )
    keys: list[ApiKey] = Field(default=[], description="Keys that may publish. Two at a time allow a rotation.")
    rate: float = Field(default=2_000.0, gt=0, description="Events per second and key, on average.")
    burst: float = Field(default=10_000.0, ge=1, description="Events a key may send at once.")


class Worker(BaseModel):
    max_batch: int = Field(default=4_000, description="Records applied in one commit at most.")
    max_consecutive_poison: int = Field(default=1_000, description="Bad records in a row that stop the worker.")
    watchdog: float = Field(
        default=60.0, description="Seconds without progress, with lag, after which the process exits."
    )
    tick: float = Field(default=0.25, description="Seconds between clock ticks.")
    source_stall: float = Field(
        default=300.0, description="Seconds a stuck source may hold the clock before it is ignored."
    )


class Dispatcher(BaseModel):
    concurrency: int = Field(default=32, description="Provider calls at a time.")
    claim: float = Field(
        default=60.0, description="Seconds after which a claimed send of a dead dispatcher is unknown."
    )
    fold_window: float = Field(
        default=86_400.0, description="Seconds of the journal that a restarted or restored Redis is told again."
    )
    reconcile_after: float = Field(
        default=900.0, description="Seconds to wait for a callback before an unknown is looked up."
    )
    rates: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default={}, description="Provider → calls per second, for all dispatchers together. Not named: unlimited."
    )


class Settings(BaseSettings):
    """Everything an installation may set."""

    model_config = SettingsConfigDict(
        env_prefix="ORCHESTRATOR_", env_nested_delimiter="__", extra="forbid", toml_file=FILE, validate_default=True
    )

    journeys: Path = Field(default=Path("journeys"), description="Folder of journey files.")
    publish_ask_above: int = Field(
        default=10_000, ge=0, description="People a publication may reach, by its estimate, without a question."
    )
    data: Path = Field(default=Path(".data"), description="Folder of the embedded mode's Redis and journal.")
    seed: SecretStr = Field(
        default=SecretStr("change-me"),
        description="Installation secret: seeds draws, keys address hashes and signed links.",
    )
    kafka: Kafka = Kafka()
    topics: Topics = Topics()
    redis: Redis = Redis()
    gateway: Gateway = Gateway()
    worker: Worker = Worker()
    dispatcher: Dispatcher = Dispatcher()
    #: provider → its own settings; a provider without an entry is off. Checked by the adapter's Settings model.
    channels: dict[str, dict[str, Any]] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, file_secret_settings, TomlConfigSettingsSource(settings_cls)


def load(file: Path | None = None, **overrides: Any) -> Settings:
    """The settings of this process; `ORCHESTRATOR_CONFIG` may name the file. Raises SettingsInvalid."""
    secrets = os.environ.get("ORCHESTRATOR_SECRETS_DIR")
    named = os.environ.get("ORCHESTRATOR_CONFIG")
    file = file or (Path(named) if named else None)
    try:
        if file is not None:
            if not file.exists():
                raise SettingsInvalid(f"no settings file {file}", fix="name an existing file or leave --config away")

            class FromFile(Settings):
                model_config = SettingsConfigDict(toml_file=file)

            return FromFile(_secrets_dir=secrets, **overrides)
        return Settings(_secrets_dir=secrets, **overrides)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise SettingsInvalid(
            f"settings do not fit: {faults}", fix=f"correct {FILE} or the ORCHESTRATOR_ variable"
        ) from None
