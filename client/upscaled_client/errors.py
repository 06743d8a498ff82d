"""What can go wrong, each error with a message of one line for a person."""

from upscaled_client.records import Job


class UpscaledError(Exception):
    """Base of all."""


class Unreachable(UpscaledError):
    """The server could not be reached, or could not take the request, for as long as we were patient."""


class Refused(UpscaledError):
    """The server answered that it will not.

    status         of HTTP
    type           a path that explains the problem, stable, such as "/problems/unknown_model"; None where a
                   proxy answered
    field, value   what was at fault
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        type: str | None = None,  # noqa: A002 - as RFC 9457 names it
        field: str | None = None,
        value: object = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.field = field
        self.value = value


class JobFailed(UpscaledError):
    """The job is over and has no result: it failed, was cancelled, or its result was removed."""

    def __init__(self, message: str, job: Job) -> None:
        super().__init__(message)
        self.job = job


class ResultDamaged(UpscaledError):
    """What arrived is not what the server made; nothing was left of it."""
