"""What every process reads from its environment."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.runtime.faults import check_fault_point


class Settings(BaseSettings):
    """Settings common to all processes; each service adds its own by subclassing.

    Values come from variables named ``FAREBOX_<FIELD>``. Durations end in ``_s`` and are seconds.
    """

    model_config = SettingsConfigDict(env_prefix="FAREBOX_", extra="ignore", frozen=True)

    nats_url: str = "nats://127.0.0.1:4222"
    """Where NATS is; the user is the kind of process."""
    nats_password: SecretStr = SecretStr("")
    """Password of this process's own NATS user."""
    database_url: str = Field(default="", repr=False)
    """``postgresql://role:password@host:port/database`` of this process's own role."""
    config: Path = Path("farebox.toml")
    """The catalogue and addresses; read by processes that price, sell or serve."""
    data_dir: Path = Path(".farebox")
    """Folder for what it keeps: the journal, and ``run/`` with its ports."""
    process_name: str = ""
    """Name in logs and of the file ``<data_dir>/run/<process_name>.json``; empty: no such file."""
    health_port: int = Field(default=0, ge=0, le=65535)
    """Loopback port of health and metrics; 0 takes a free one."""
    log_level: str = "INFO"
    """Least level that is logged: DEBUG, INFO, WARNING or ERROR."""
    faults: bool = False
    """Allow ``fault_point``. Tests only."""
    fault_point: str = ""
    """``<point>`` or ``<point>:<n>``: die at the n-th pass of that point. Tests only."""

    @model_validator(mode="after")
    def _faults_must_be_allowed(self) -> Self:
        check_fault_point(self.fault_point, allowed=self.faults)
        return self
