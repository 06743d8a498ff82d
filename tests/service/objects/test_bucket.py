"""The bucket of a new S3 server is made once, by whoever starts first."""

import pytest

from service.objects import bucket
from service.objects.open import open_storage
from service.settings import Settings


def test_a_bucket_is_made_where_there_is_none_and_left_alone_where_there_is(s3_server, monkeypatch):
    for name, value in {
        "STORAGE": "s3",
        "S3_ENDPOINT_URL": s3_server.endpoint_url,
        "S3_BUCKET": "made-by-a-test",
        "S3_ACCESS_KEY": s3_server.access_key,
        "S3_SECRET_KEY": s3_server.secret_key,
    }.items():
        monkeypatch.setenv(f"UPSCALED_{name}", value)
    assert bucket.main() == 0
    storage = open_storage(Settings())
    storage.put("kept", b"1")
    assert bucket.main() == 0
    assert storage.get("kept") == b"1"
    storage.close()


def test_keys_that_are_wrong_are_no_bucket(s3_server, monkeypatch):
    monkeypatch.setenv("UPSCALED_S3_ENDPOINT_URL", s3_server.endpoint_url)
    monkeypatch.setenv("UPSCALED_S3_BUCKET", "never-made")
    monkeypatch.setenv("UPSCALED_S3_ACCESS_KEY", "stranger")
    monkeypatch.setenv("UPSCALED_S3_SECRET_KEY", "stranger")
    with pytest.raises(Exception, match="InvalidAccessKeyId"):
        bucket.main()
