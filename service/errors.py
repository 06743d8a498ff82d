"""Every error a caller can meet, with what it means for HTTP and for retries.

    UpscaleError             code, http_status, retry, public
      InputError             4xx, never retried, its message is shown to the owner of the upload
      CapacityError          503 with Retry-After; the client comes back
      LimitReached           429 with Retry-After; the client comes back when its key may do more
      TransientError         503; we retry, with growing delays
      FaultError             500, never retried; details only in the log

`code` is stable: it ends the `type` of a problem+json answer and stands in `job.error.code`.
"""

from collections.abc import Mapping
from typing import ClassVar


class UpscaleError(Exception):
    """Base of all: `field` names the option at fault and `value` is what was sent, where there is one.

    `headers` are what HTTP wants beside the status.
    """

    code: ClassVar[str] = "internal_error"
    http_status: ClassVar[int] = 500
    retry: ClassVar[bool] = False
    public: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        value: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.field = field
        self.value = value
        self.headers = headers


class InputError(UpscaleError):
    """The upload or an option is at fault: its owner is told, nothing is retried."""

    code = "invalid_input"
    http_status = 422
    public = True


class EmptyUpload(InputError):
    """The file has no bytes, or the form has no file."""

    code = "empty_upload"


class UploadTooLarge(InputError):
    """The upload is larger than the server takes."""

    code = "upload_too_large"
    http_status = 413


class UploadTruncated(InputError):
    """The upload ended, or fell silent, before its end."""

    code = "upload_truncated"
    http_status = 400


class NotMedia(InputError):
    """The file is neither a video nor a picture, whatever its name says."""

    code = "not_media"
    http_status = 415


class BrokenMedia(InputError):
    """The file is damaged or truncated, or no frame of it can be decoded."""

    code = "broken_media"


class NoVideo(InputError):
    """The file holds sound or other streams but no video."""

    code = "no_video"


class FrameTooLarge(InputError):
    """A frame has, or declares, more pixels than the server takes."""

    code = "frame_too_large"


class TooLong(InputError):
    """The video is longer, or has more frames, than the server takes."""

    code = "too_long"


class UnsupportedMedia(InputError):
    """Understood, but we can't keep it right: refused by name instead of silently changed."""

    code = "unsupported_media"


class UnknownModel(InputError):
    """There is no model of that name."""

    code = "unknown_model"


class InvalidOption(InputError):
    """An option is unknown, out of range, sent twice, or does not fit this kind of file."""

    code = "invalid_option"


class AddressRefused(InputError):
    """The service does not call this address: it is not public, or not https."""

    code = "address_refused"


class AddressUnknown(InputError):
    """The name in the address has no number."""

    code = "address_unknown"


class UnknownJob(InputError):
    """There is no such job, or its record was removed after its time."""

    code = "unknown_job"
    http_status = 404


class JobNotFinished(InputError):
    """The result was asked for, but the job has not succeeded."""

    code = "job_not_finished"
    http_status = 409


class ResultExpired(InputError):
    """The result was deleted, or removed after `UPSCALED_RESULT_TTL_S`."""

    code = "result_expired"
    http_status = 410


class NoPreview(InputError):
    """No frame of the job is finished yet, or its worker could not store a preview."""

    code = "no_preview"
    http_status = 404


class IdempotencyConflict(InputError):
    """The `Idempotency-Key` was used before for another file or other options."""

    code = "idempotency_conflict"
    http_status = 409


class SourceUnavailable(InputError):
    """The address in `url` gave no file."""

    code = "source_unavailable"


class UnknownUpload(InputError):
    """There is no such upload, or it was removed after `UPSCALED_UPLOAD_TTL_S`."""

    code = "unknown_upload"
    http_status = 404


class UploadIncomplete(InputError):
    """A job was asked for, but bytes of the upload are still missing."""

    code = "upload_incomplete"
    http_status = 409


class CapacityError(UpscaleError):
    """The service is full for now: come back after Retry-After."""

    code = "over_capacity"
    http_status = 503
    public = True


class QueueFull(CapacityError):
    """As many jobs are waiting or running as the server takes."""

    code = "queue_full"


class TooBusy(CapacityError):
    """As many uploads are being received, or jobs followed, as this process takes."""

    code = "too_busy"


class TooManyUploads(CapacityError):
    """As many uploads are half-finished, or not yet jobs, as the server keeps."""

    code = "too_many_uploads"


class StoreFull(CapacityError):
    """The job store is nearly full: what is left is for the jobs that are there."""

    code = "store_full"


class LimitReached(UpscaleError):
    """A key's limit is reached: come back after Retry-After."""

    code = "limit_reached"
    http_status = 429
    public = True


class TooManyRequests(LimitReached):
    """The key has no request left in this minute."""

    code = "too_many_requests"


class TooManyOpenJobs(LimitReached):
    """As many jobs of the key have not ended as it may have."""

    code = "too_many_open_jobs"


class DailyLimit(LimitReached):
    """The key has used up, or would, what it may in a day (UTC): bytes, or megapixels to upscale."""

    code = "daily_limit"


class TransientError(UpscaleError):
    """Something is away for a while: we try again, and so may the client."""

    code = "temporarily_unavailable"
    http_status = 503
    retry = True


class StorageUnavailable(TransientError):
    """The storage does not answer, is full, or refuses."""

    code = "storage_unavailable"


class StorageFull(StorageUnavailable):
    """There is no room left for the upload, or there would be none."""

    code = "storage_full"
    http_status = 507


class StoreUnavailable(TransientError):
    """The job store or the task queue does not answer or takes no writes."""

    code = "store_unavailable"


class NamesUnavailable(TransientError):
    """No name server answers, so nobody can tell whether the service may call the address."""

    code = "names_unavailable"
    public = True


class ModelsNotPublished(TransientError):
    """A new installation: no worker has published the models yet, and one that is not there was named."""

    code = "models_not_published"
    public = True


class DeviceLost(TransientError):
    """The engine or its device failed: whatever ran there can run again elsewhere."""

    code = "device_lost"


class DeviceGone(DeviceLost):
    """The device takes no work from this process any more: only a new process can have it."""


class FaultError(UpscaleError):
    """Our own fault: the owner sees a fixed text, the details go to the log."""


class IllegalTransition(FaultError):
    """A job was asked for a move that its state does not have."""

    code = "illegal_transition"


class TooManyAttempts(FaultError):
    """A step was begun as often as allowed and never ended: its job fails, and the message names the step."""

    code = "too_many_attempts"
    public = True


class CheckpointInvalid(FaultError):
    """A model's files are damaged, or it did not give its known answer."""

    code = "checkpoint_invalid"


class OutputInvalid(FaultError):
    """The network gave numbers that are not finite, or the finished file did not pass its own check."""

    code = "output_invalid"
