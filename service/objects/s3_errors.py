"""What boto3 raises, as the errors of a storage."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from urllib3.exceptions import HTTPError

from service import metrics
from service.errors import StorageUnavailable
from service.objects.base import NotFound

_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})


@contextmanager
def working(key: str) -> Iterator[None]:
    """Turn what boto3 raises into the errors of a storage."""
    try:
        yield
    except ClientError as error:
        if code_of(error) in _MISSING:
            raise NotFound(f"There is no object {key!r}.", field="key", value=key) from error
        raise unavailable(error) from error
    except (BotoCoreError, HTTPClientError, HTTPError) as error:
        raise unavailable(error) from error


def unavailable(error: Exception) -> StorageUnavailable:
    """The error to raise instead, counted."""
    metrics.STORAGE_ERRORS.inc()
    return StorageUnavailable(f"The storage does not work: {error}")


def code_of(error: ClientError) -> str:
    """S3's name of the error, "" where it gave none."""
    return error.response.get("Error", {}).get("Code", "")
