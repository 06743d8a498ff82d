"""Every error a caller can meet, with what it means for HTTP and for retries.

    UpscaleError             code, http_status, retry, public
      InputError             4xx, never retried, its message is shown to the owner of the upload
      CapacityError          503 with Retry-After; the client comes back
      TransientError         503; we retry, with growing delays
      FaultError             500, never retried; details only in the log

`code` is stable: it ends the `type` of a problem+json answer and stands in `job.error.code`.
"""

from typing import ClassVar


class UpscaleError(Exception):
    """Base of all: `field` names the option at fault and `value` is what was sent, where there is one."""

    code: ClassVar[str] = "internal_error"
    http_status: ClassVar[int] = 500
    retry: ClassVar[bool] = False
    public: ClassVar[bool] = False

    def __init__(self, message: str, *, field: str | None = None, value: object = None) -> None:
        super().__init__(message)
        self.field = field
        self.value = value


class InputError(UpscaleError):
    """The upload or an option is at fault: its owner is told, nothing is retried."""

    code = "invalid_input"
    http_status = 422
    public = True


class EmptyUpload(InputError):
    code = "empty_upload"


class UploadTooLarge(InputError):
    code = "upload_too_large"
    http_status = 413


class UploadTruncated(InputError):
    code = "upload_truncated"
    http_status = 400


class NotMedia(InputError):
    code = "not_media"
    http_status = 415


class BrokenMedia(InputError):
    code = "broken_media"


class NoVideo(InputError):
    code = "no_video"


class FrameTooLarge(InputError):
    code = "frame_too_large"


class TooLong(InputError):
    code = "too_long"


class UnsupportedMedia(InputError):
    """Understood, but we can't keep it right: refused by name instead of silently changed."""

    code = "unsupported_media"


class UnknownModel(InputError):
    code = "unknown_model"


class InvalidOption(InputError):
    code = "invalid_option"


class UnknownJob(InputError):
    code = "unknown_job"
    http_status = 404


class JobNotFinished(InputError):
    code = "job_not_finished"
    http_status = 409


class ResultExpired(InputError):
    code = "result_expired"
    http_status = 410


class IdempotencyConflict(InputError):
    code = "idempotency_conflict"
    http_status = 409


class CapacityError(UpscaleError):
    code = "over_capacity"
    http_status = 503
    public = True


class QueueFull(CapacityError):
    code = "queue_full"


class TransientError(UpscaleError):
    code = "temporarily_unavailable"
    http_status = 503
    retry = True


class StorageUnavailable(TransientError):
    code = "storage_unavailable"


class StoreUnavailable(TransientError):
    code = "store_unavailable"


class DeviceLost(TransientError):
    """The engine or its device failed: whatever ran there can run again elsewhere."""

    code = "device_lost"


class FaultError(UpscaleError):
    """Our own fault: the owner sees a fixed text, the details go to the log."""


class IllegalTransition(FaultError):
    code = "illegal_transition"


class TooManyAttempts(FaultError):
    """A step was begun as often as allowed and never ended: its job fails, and the message names the step."""

    code = "too_many_attempts"
    public = True


class CheckpointInvalid(FaultError):
    code = "checkpoint_invalid"


class OutputInvalid(FaultError):
    code = "output_invalid"
