"""Make the bucket that the settings name, unless it is there: `python -m service.objects.bucket`.

For an S3 server of one's own that starts empty. Amazon's buckets are made by hand, with their policies.
"""

import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from service.settings import Settings

_OURS_ALREADY = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}


def main() -> int:
    settings = Settings()
    assert settings.s3_access_key is not None
    assert settings.s3_secret_key is not None
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=settings.s3_endpoint_url,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key.get_secret_value(),
        aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
        config=Config(retries={"mode": "standard", "total_max_attempts": 5}, s3={"addressing_style": "path"}),
    )
    try:
        client.create_bucket(Bucket=settings.s3_bucket)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in _OURS_ALREADY:
            raise
    print(f"bucket {settings.s3_bucket} is there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
