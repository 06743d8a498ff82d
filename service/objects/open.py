"""The storage that the settings name. One for a process: its client is shared by all threads."""

from service.objects.base import Storage
from service.objects.files import FileStorage
from service.settings import Settings


def open_storage(settings: Settings) -> Storage:
    if settings.storage == "files":
        return FileStorage(settings.objects_dir)
    from service.objects.s3 import S3Storage  # noqa: PLC0415 - boto3 takes half a second that one machine can save

    return S3Storage(
        bucket=settings.s3_bucket,
        region=settings.s3_region,
        endpoint_url=settings.s3_endpoint_url,
        public_url=settings.s3_public_url,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key,
    )
