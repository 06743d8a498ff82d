"""A growing object in an S3 bucket: a multipart upload whose parts are all of one size. See growing.py.

S3 takes no part below 5 MiB but the last, and a request may end anywhere. What does not fill a part yet lies
in an object of its own beside the key, named by the parts before it and by its size: of several the largest
that follows the last part counts, so that no late writer makes anything shorter, and one whose part was
stored meanwhile counts no more. Parts begin at multiples of their size, so whoever writes one again writes
the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from service.objects.base import NotFound
from service.objects.s3_errors import code_of, working
from service.objects.s3_writer import PART_BYTES

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef


class S3Growing:
    def __init__(self, client: "S3Client", bucket: str, key: str, token: str | None = None) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._token = token if token is not None else self._begin()

    @property
    def token(self) -> str:
        return self._token

    def size(self) -> int:
        parts = self._parts()
        return len(parts) * PART_BYTES + self._tail_bytes(len(parts))

    def append(self, offset: int) -> "S3Appending":
        return S3Appending(self, offset)

    def finish(self) -> None:
        try:
            parts = self._parts()
        except NotFound:
            with working(self._key):
                self._client.head_object(Bucket=self._bucket, Key=self._key)  # finished before
            return
        tail = self.read_tail(len(parts), self._tail_bytes(len(parts)))
        if not parts:  # S3 completes no upload without one
            with working(self._key):
                self._client.put_object(Bucket=self._bucket, Key=self._key, Body=tail)
            self.abandon()
            return
        if tail:
            parts.append({"PartNumber": len(parts) + 1, "ETag": self.send_part(len(parts), tail)})
        with self._there():
            self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=self._token,
                MultipartUpload={"Parts": parts},
            )
        self._delete_tails()

    def abandon(self) -> None:
        try:
            with self._there():
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._token)
        except NotFound:
            pass
        self._delete_tails()

    def send_part(self, index: int, data: bytes) -> str:
        """Its ETag."""
        with self._there():
            part = self._client.upload_part(
                Bucket=self._bucket, Key=self._key, UploadId=self._token, PartNumber=index + 1, Body=data
            )
        return part["ETag"]

    def read_tail(self, index: int, size_bytes: int) -> bytes:
        if not size_bytes:
            return b""
        with working(self._key):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._tail_key(index, size_bytes))
            return answer["Body"].read()

    def put_tail(self, index: int, data: bytes) -> None:
        with working(self._key):
            self._client.put_object(Bucket=self._bucket, Key=self._tail_key(index, len(data)), Body=data)

    def drop_tails(self, *, index: int, size_bytes: int) -> None:
        """Those that a larger one, or a part, took the place of."""
        with working(self._key):
            for key in self._tails():
                if self._numbers(key) < (index, size_bytes):
                    self._client.delete_object(Bucket=self._bucket, Key=key)

    def _begin(self) -> str:
        with working(self._key):
            begun = self._client.create_multipart_upload(Bucket=self._bucket, Key=self._key)
        return begun["UploadId"]

    def _parts(self) -> list["CompletedPartTypeDef"]:
        """All but a last one that is shorter: it was sent to finish, and that did not come about."""
        pages = self._client.get_paginator("list_parts").paginate(
            Bucket=self._bucket, Key=self._key, UploadId=self._token
        )
        with self._there():
            found = [part for page in pages for part in page.get("Parts", [])]
        whole = [part for part in found if part["Size"] == PART_BYTES]
        return [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in whole]

    def _tail_bytes(self, index: int) -> int:
        with working(self._key):
            return max((size for at, size in map(self._numbers, self._tails()) if at == index), default=0)

    def _tails(self) -> Iterator[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._tails_prefix
        )
        for page in pages:
            for entry in page.get("Contents", []):
                yield entry["Key"]

    def _delete_tails(self) -> None:
        with working(self._key):
            for key in self._tails():
                self._client.delete_object(Bucket=self._bucket, Key=key)

    @property
    def _tails_prefix(self) -> str:
        return f"{self._key}.tails/"

    def _tail_key(self, index: int, size_bytes: int) -> str:
        return f"{self._tails_prefix}{index:06d}-{size_bytes}"

    def _numbers(self, key: str) -> tuple[int, int]:
        index, _, size_bytes = key.removeprefix(self._tails_prefix).partition("-")
        return int(index), int(size_bytes)

    @contextmanager
    def _there(self) -> Iterator[None]:
        """As NotFound what S3 says of an upload that was completed or given up."""
        with working(self._key):
            try:
                yield
            except ClientError as error:
                if code_of(error) != "NoSuchUpload":
                    raise
                raise NotFound(f"{self._key!r} grows no more.", field="key", value=self._key) from error


class S3Appending:
    """Holds less than two parts in memory."""

    def __init__(self, growing: S3Growing, offset: int) -> None:
        self._growing = growing
        self._index, left = divmod(offset, PART_BYTES)
        self._kept = left  # bytes that lie in a tail already
        self._buffer = bytearray(growing.read_tail(self._index, left))

    def write(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= PART_BYTES:
            self._growing.send_part(self._index, bytes(self._buffer[:PART_BYTES]))
            del self._buffer[:PART_BYTES]
            self._index, self._kept = self._index + 1, 0

    def close(self) -> None:
        if len(self._buffer) > self._kept:
            self._growing.put_tail(self._index, bytes(self._buffer))
        self._growing.drop_tails(index=self._index, size_bytes=len(self._buffer))
