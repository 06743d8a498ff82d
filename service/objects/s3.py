"""Storage in an S3 bucket, for many machines: Amazon's, SeaweedFS and whatever else speaks the protocol.

Only put, get, head, list, delete, multipart uploads and presigned addresses are used. Objects larger than one
part go up in parts, as their bytes come by, so memory stays level.
"""

import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import SecretStr
from urllib3.exceptions import HTTPError

from service.errors import StorageUnavailable
from service.objects.base import CHUNK_BYTES, NotFound, OnChunk, check_key, check_prefix, chunks_of, nothing
from service.objects.s3_errors import code_of, unavailable, working
from service.objects.s3_growing import S3Growing
from service.objects.s3_writer import S3Writer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CONNECTIONS_MAX = 32  # boto3's own pool of 10 is fewer than the threads of a worker or an API process
_DELETE_PAGE = 1000  # keys S3 takes in one request to delete
_CONDITION_TRIES = 5

_TAKEN = frozenset({"412", "PreconditionFailed"})
_BUSY = frozenset({"409", "ConditionalRequestConflict", "OperationAborted"})


class S3Storage:
    """One for a process: boto3's clients may be shared by threads, its sessions may not."""

    def __init__(
        self,
        *,
        bucket: str,
        region: str,
        endpoint_url: str | None = None,
        public_url: str | None = None,
        access_key: SecretStr | None = None,
        secret_key: SecretStr | None = None,
    ) -> None:
        self._bucket = bucket
        session = boto3.session.Session(
            region_name=region,
            aws_access_key_id=_reveal(access_key),
            aws_secret_access_key=_reveal(secret_key),
        )
        self._client: S3Client = session.client(
            "s3",
            endpoint_url=endpoint_url,
            config=Config(
                connect_timeout=3,
                read_timeout=30,
                max_pool_connections=_CONNECTIONS_MAX,
                retries={"mode": "standard", "total_max_attempts": 3},
                # By default boto3 adds checksums (since 1.36), which other stores keep as part of the body.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": "path" if endpoint_url else "auto"},
            ),
        )
        # A signature covers the host's name, so what clients are sent is signed for the name that they use.
        # This one never connects.
        self._signer: S3Client | None = None
        if public_url is not None:
            self._signer = session.client(
                "s3",
                endpoint_url=public_url.rstrip("/"),
                config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
            )

    def close(self) -> None:
        self._client.close()
        if self._signer is not None:
            self._signer.close()

    def put(self, key: str, data: bytes | Iterable[bytes]) -> None:
        with self.writer(key) as writer:
            for chunk in (data,) if isinstance(data, bytes) else data:
                writer.write(chunk)
            writer.commit()

    def put_if_absent(self, key: str, data: bytes) -> bool:
        for _ in range(_CONDITION_TRIES):
            try:
                self._client.put_object(Bucket=self._bucket, Key=check_key(key), Body=data, IfNoneMatch="*")
            except ClientError as error:
                if code_of(error) in _TAKEN:
                    return False
                if code_of(error) not in _BUSY:
                    raise unavailable(error) from error
            except (BotoCoreError, HTTPError) as error:
                raise unavailable(error) from error
            else:
                return True
        raise StorageUnavailable(f"The storage could not decide whether {key!r} exists.")

    def put_file(self, key: str, path: Path, *, on_chunk: OnChunk = nothing) -> None:
        self.put(key, chunks_of(path, on_chunk))

    def copy(self, source: str, target: str) -> None:
        with working(source):  # large ones in parts, which boto3 sees to
            self._client.copy(
                {"Bucket": self._bucket, "Key": check_key(source)}, self._bucket, check_key(target)
            )

    def writer(self, key: str) -> S3Writer:
        return S3Writer(self._client, self._bucket, check_key(key))

    def grow(self, key: str, token: str | None = None) -> S3Growing:
        return S3Growing(self._client, self._bucket, check_key(key), token)

    def get(self, key: str) -> bytes:
        return b"".join(self.open(key))

    def open(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        size_bytes = self.stat(key)
        stop = size_bytes if stop is None else min(stop, size_bytes)
        # S3 has no empty range: it answers 416 where a file answers nothing.
        if start >= stop:
            return iter(())
        return self._stream(key, start, stop)

    def link(
        self, key: str, *, method: Literal["GET", "HEAD"], life_s: int, media_type: str, disposition: str
    ) -> str | None:
        if self._signer is None:
            return None
        with working(key):
            return self._signer.generate_presigned_url(
                "get_object" if method == "GET" else "head_object",
                Params={
                    "Bucket": self._bucket,
                    "Key": check_key(key),
                    "ResponseContentType": media_type,
                    "ResponseContentDisposition": disposition,
                },
                ExpiresIn=life_s,
            )

    def fetch(self, key: str, path: Path, *, on_chunk: OnChunk = nothing) -> None:
        aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("xb") as file:
                for chunk in self.open(key):
                    on_chunk()
                    file.write(chunk)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)

    def stat(self, key: str) -> int:
        with working(key):
            return self._client.head_object(Bucket=self._bucket, Key=check_key(key))["ContentLength"]

    def exists(self, key: str) -> bool:
        try:
            self.stat(key)
        except NotFound:
            return False
        return True

    def list(self, prefix: str) -> Iterator[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        with working(prefix):
            for page in pages:
                for entry in page.get("Contents", []):
                    yield entry["Key"]

    def delete(self, key: str) -> None:
        with working(key):
            self._client.delete_object(Bucket=self._bucket, Key=check_key(key))

    def delete_prefix(self, prefix: str) -> None:
        keys = list(self.list(check_prefix(prefix)))
        for first in range(0, len(keys), _DELETE_PAGE):
            page = keys[first : first + _DELETE_PAGE]
            with working(prefix):
                answer = self._client.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in page], "Quiet": True}
                )
            if answer.get("Errors"):
                raise StorageUnavailable(f"The storage kept objects under {prefix!r}.")

    def discard_unfinished(self, prefix: str, older_than_s: float) -> int:
        begun_before = time.time() - older_than_s
        discarded = 0
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._bucket, Prefix=prefix
        )
        with working(prefix):
            for page in pages:
                for upload in page.get("Uploads", []):
                    is_ours = upload["Key"].startswith(prefix)  # some servers pass over the prefix
                    if is_ours and upload["Initiated"].timestamp() < begun_before:
                        self._client.abort_multipart_upload(
                            Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                        )
                        discarded += 1
        return discarded

    def free_bytes(self) -> int | None:
        return None

    def ping(self) -> None:
        with working("ping"):
            self._client.put_object(Bucket=self._bucket, Key="ping", Body=b"")

    def _stream(self, key: str, start: int, stop: int) -> Iterator[bytes]:
        """The connection may break at any byte: then go on from there, a few times."""
        for attempts_left in (2, 1, 0):
            try:
                for chunk in self._read(key, start, stop):
                    start += len(chunk)
                    yield chunk
            except StorageUnavailable:
                if attempts_left == 0:
                    raise
            else:
                return

    def _read(self, key: str, start: int, stop: int) -> Iterator[bytes]:
        with working(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=key, Range=f"bytes={start}-{stop - 1}")
            with closing(answer["Body"]) as body:
                for chunk in body.iter_chunks(CHUNK_BYTES):
                    start += len(chunk)
                    yield chunk
        if start != stop:
            raise StorageUnavailable(f"The storage sent too little of {key!r}.")


def _reveal(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
