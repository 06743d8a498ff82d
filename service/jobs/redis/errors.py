"""What the client of Valkey raises, as the error of a store."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from service.errors import StoreUnavailable

# Replies of a server that runs but takes no writes now; every other reply of error is a mistake of ours. The
# client has classes for some, and others begin with their name.
_REFUSALS = (redis.OutOfMemoryError, redis.ReadOnlyError)
_REFUSAL_NAMES = ("MISCONF", "NOREPLICAS", "MASTERDOWN")


@contextmanager
def answering() -> Iterator[None]:
    """Turn what the client raises when the server is away, or takes no writes, into StoreUnavailable."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise StoreUnavailable("The job store does not answer.") from error
    except redis.ResponseError as error:
        if not isinstance(error, _REFUSALS) and not str(error).startswith(_REFUSAL_NAMES):
            raise
        raise StoreUnavailable("The job store takes no writes.") from error
