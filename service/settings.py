"""Settings: every number and place two deployments may set differently, read once from the environment.

`Settings()` reads `UPSCALED_*`; a name nobody declared raises, so a misspelt setting is no silent default.
What the environment does not say may stand in a file, such as /run/secrets/upscaled_s3_secret_key.
Not here: constants with one right value (they stand beside their use). docs/settings.md lists them.
"""

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.auto import AUTO
from service.outgoing import networks
from service.webhooks.signing import read_secrets

ENVIRONMENT_PREFIX = "UPSCALED_"
OF_CLIENTS = frozenset({"UPSCALED_KEY"})  # what upscaled_client reads from the same environment
FORMER = frozenset({"UPSCALED_REQUEUE_AFTER_S"})  # set for earlier versions, and no mistake: it does nothing
SECRETS_DIR = Path("/run/secrets")  # where containers find them; not having it is no mistake


# What Kubernetes puts into the environment of every pod beside a Service whose name begins with `upscaled-`.
_SERVICE_LINK = re.compile(
    r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)


def _is_of_kubernetes(name: str, value: str) -> bool:
    return _SERVICE_LINK.fullmatch(name) is not None or (name.endswith("_PORT") and "://" in value)


class Settings(BaseSettings):
    """Frozen; built once when a process starts and handed down by value."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,  # it is all that was given, secrets too
        env_ignore_empty=True,
        secrets_dir=SECRETS_DIR if SECRETS_DIR.is_dir() else None,
    )

    # Where things live
    data_dir: Path = Field(
        default=Path("data"),
        description="Folder for everything one machine keeps: objects, caches, the embedded Valkey.",
    )
    redis_url: str = Field(
        default="redis://127.0.0.1:6379/0",
        description="Valkey, or Redis from 7 on, for job store and queue: no eviction, append-only file.",
    )
    queue: str = Field(
        default="upscaled",
        min_length=1,
        description="Name of the task queue that the API fills and the workers empty.",
    )
    storage: Literal["files", "s3"] = Field(
        default="files",
        description="Where uploads, parts, results and models lie: a folder, or an S3 bucket.",
    )
    s3_endpoint_url: str | None = Field(
        default=None, description="Address of an S3 server other than Amazon's, such as http://s3:8333."
    )
    s3_public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/?#\s]+/?$",
        description="Address, without a path, where clients reach the S3 server, to fetch results from it.",
    )
    s3_bucket: str = Field(default="upscaled", description="Bucket for all objects; it must exist.")
    s3_region: str = Field(default="us-east-1", description="Region the S3 requests are signed for.")
    s3_access_key: SecretStr | None = Field(
        default=None, description="S3 access key; without one, the usual AWS places are asked."
    )
    s3_secret_key: SecretStr | None = Field(
        default=None, description="S3 secret key that belongs to the access key."
    )

    # What we accept
    upload_bytes_max: int = Field(default=2 * 1024**3, gt=0, description="Largest upload in bytes.")
    upload_ttl_s: float = Field(
        default=86400.0,
        gt=0,
        description="Seconds from its beginning that an upload in pieces may take, and is kept for jobs.",
    )
    pixels_max: int = Field(default=4096 * 2304, gt=0, description="Most pixels of one input frame.")
    duration_s_max: float = Field(default=2 * 3600.0, gt=0, description="Longest input video in seconds.")
    frames_max: int = Field(default=2 * 3600 * 60, gt=0, description="Most frames of one input video.")
    queue_max: int = Field(
        default=1000, gt=0, description="Jobs not finished at one time; an upload beyond it is answered 503."
    )

    # How work is cut, leased and repeated
    lease_s: float = Field(
        default=10.0,
        gt=0,
        description="Seconds without a sign of life after which a step may go to another worker.",
    )
    attempts_max: int = Field(default=4, gt=0, description="Times one step is begun before its job fails.")
    segment_frames_max: int = Field(
        default=100, gt=0, description="Most frames of one segment: what a lost worker may cost."
    )
    segment_s_max: float = Field(default=4.0, gt=0, description="Most seconds of one segment.")
    result_ttl_s: float = Field(
        default=7 * 86400.0, gt=0, description="Seconds a finished job and its result are kept."
    )

    # The worker's device
    device: str = Field(default="auto", description="Device of a worker: auto, cpu, cuda or cuda:N.")
    precision: Literal["auto", "float32", "bfloat16", "float16", "int8"] = Field(
        default="auto",
        description="Number format of the networks; auto picks the fastest the device has units for, where a "
        "model's card says that it costs next to nothing.",
    )
    worker_streams: int = Field(default=8, gt=0, description="Steps one worker runs side by side.")
    memory_bytes_max: int | None = Field(
        default=None,
        gt=0,
        description="Bytes of memory that the streams of one worker may take together; by default three "
        "quarters of what the machine or the container has.",
    )
    batch_max: int = Field(default=8, gt=0, description="Most frames in one pass of the network.")
    tile_pixels_max: int | None = Field(
        default=None,
        gt=0,
        description="Input pixels beyond which a frame goes through the generator in tiles; by default what "
        "suits the device.",
    )
    default_video_model: str = Field(
        default=AUTO,
        description="Model of a video whose sender named none; auto takes what suits the video.",
    )
    default_image_model: str = Field(
        default=AUTO, description="Model of a picture whose sender named none, as for a video."
    )
    models_poll_s: float = Field(
        default=5.0, gt=0, description="Seconds between two looks at which version of a model is the latest."
    )

    # Where we listen and how we speak
    host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port the API listens on.")
    auth: Literal["off", "keys"] = Field(
        default="off",
        description="Whom the API lets in: with off, all who reach it; with keys, who shows one that "
        "`upscaled keys create` made.",
    )
    key_open_jobs_max: int = Field(
        default=100, gt=0, description="Jobs of one key that have not ended; an admin's has no such limits."
    )
    key_bytes_per_day: int = Field(
        default=100 * 1024**3, gt=0, description="Bytes that one key may upload in a day (UTC)."
    )
    key_megapixels_per_day: int = Field(
        default=1_000_000,
        gt=0,
        description="Megapixels, of all frames of its uploads, that one key may have upscaled in a day; a "
        "million are 26 hours of 720x576 at 25 frames a second.",
    )
    key_samples_per_day: int = Field(
        default=200, gt=0, description="Samples of videos that one key may have made in a day."
    )
    key_requests_per_minute: int = Field(
        default=1200, gt=0, description="Requests that one key may make in a minute."
    )
    host_names: str = Field(
        default="",
        description="Names with a dot, separated by commas, by which clients may call the API, such as "
        "upscaled.example.com; localhost, other names without a dot and addresses in numbers go without.",
    )
    api_processes: int = Field(
        default=1, gt=0, description="Processes that answer requests on the API's port."
    )
    webhook_secrets: SecretStr | None = Field(
        default=None,
        description="What messages to webhooks are signed with, `whsec_` and base64; of two with a comma "
        "between them both sign, and the newer comes first. Without one there are no webhooks. "
        "`upscaled webhooks new-secret` makes one.",
    )
    outgoing_allowed: str = Field(
        default="",
        description="Networks, such as 10.0.0.0/8, separated by commas, that webhooks may call and `url=` "
        "fetch from though they are not public, and by http; all others need https and a public address.",
    )
    metrics_host: str = Field(
        default="127.0.0.1",
        description="Address where a worker shows its metrics; 0.0.0.0 for a Prometheus elsewhere.",
    )
    metrics_port: int = Field(
        default=9108, ge=1, le=65535, description="Port where a worker shows its metrics."
    )
    log_format: Literal["auto", "json", "human"] = Field(
        default="auto", description="Form of log lines; auto is human on a terminal and JSON elsewhere."
    )
    traces: Literal["off", "otlp"] = Field(
        default="off",
        description="With otlp, spans of requests and all steps go by OTLP over HTTP to where the standard "
        "`OTEL_EXPORTER_OTLP_ENDPOINT` says, by default port 4318 of this machine.",
    )

    @property
    def host_name_list(self) -> tuple[str, ...]:
        return tuple(name.strip().lower() for name in self.host_names.split(",") if name.strip())

    @property
    def webhook_keys(self) -> tuple[bytes, ...]:
        """Of the secrets; none where there are no webhooks."""
        return read_secrets(self.webhook_secrets.get_secret_value()) if self.webhook_secrets else ()

    @property
    def objects_dir(self) -> Path:
        """Root of the file storage."""
        return self.data_dir / "objects"

    @property
    def cache_dir(self) -> Path:
        """What a worker may lose at any time: fetched inputs, parts being written."""
        return self.data_dir / "cache"

    @property
    def valkey_dir(self) -> Path:
        """The append-only file of the embedded Valkey."""
        return self.data_dir / "valkey"

    @model_validator(mode="after")
    def _refuse_unknown_environment(self) -> Self:
        known = {ENVIRONMENT_PREFIX + name.upper() for name in type(self).model_fields}
        known |= OF_CLIENTS | FORMER
        unknown = sorted(
            name
            for name in os.environ
            if name.upper().startswith(ENVIRONMENT_PREFIX)
            and name.upper() not in known
            and not _is_of_kubernetes(name.upper(), os.environ[name])
        )
        if unknown:
            raise ValueError(f"unknown settings in the environment: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _check_limits_against_each_other(self) -> Self:
        if (self.s3_access_key is None) != (self.s3_secret_key is None):
            raise ValueError("s3_access_key and s3_secret_key belong together: set both or neither")
        networks(self.outgoing_allowed)
        self.webhook_keys  # noqa: B018 - raises ValueError
        return self

    @model_validator(mode="after")
    def _require_what_traces_need(self) -> Self:
        if self.traces != "off" and not _is_installed("opentelemetry.exporter.otlp.proto.http"):
            raise ValueError(f"traces={self.traces} needs more packages: pip install 'upscaled[traces]'")
        return self


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package above it
        return False
