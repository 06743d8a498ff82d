"""Settings come from the environment, checked."""

import pytest
from pydantic import ValidationError

from service.settings import ENVIRONMENT_PREFIX, Settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    import os

    for name in list(os.environ):
        if name.startswith(ENVIRONMENT_PREFIX):
            monkeypatch.delenv(name)


def test_the_environment_sets_what_it_names(monkeypatch):
    monkeypatch.setenv("UPSCALED_PORT", "8080")
    monkeypatch.setenv("UPSCALED_STORAGE", "s3")
    monkeypatch.setenv("UPSCALED_S3_ACCESS_KEY", "key")
    monkeypatch.setenv("UPSCALED_S3_SECRET_KEY", "secret")
    settings = Settings()
    assert (settings.port, settings.storage) == (8080, "s3")
    assert settings.s3_secret_key.get_secret_value() == "secret"


def test_a_misspelt_setting_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("UPSCALED_PROT", "8080")
    with pytest.raises(ValidationError, match="UPSCALED_PROT"):
        Settings()


def test_a_setting_that_an_earlier_version_had_stops_no_start(monkeypatch):
    monkeypatch.setenv("UPSCALED_REQUEUE_AFTER_S", "15")
    assert "requeue_after_s" not in Settings().model_dump()


def test_an_empty_variable_means_the_default(monkeypatch):
    monkeypatch.setenv("UPSCALED_PORT", "")
    assert Settings().port == 8000


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 0},
        {"port": 65536},
        {"storage": "ftp"},
        {"lease_s": 0},
        {"upload_bytes_max": -1},
        {"precision": "int4"},
        {"s3_public_url": "s3.example.org"},
        {"s3_public_url": "https://example.org/s3"},  # a proxy that takes the path off breaks the signature
        {"s3_access_key": "alone"},
        {"s3_secret_key": "alone"},
        {"unknown": 1},
    ],
)
def test_values_that_cannot_work_are_refused(wrong):
    with pytest.raises(ValidationError):
        Settings(**wrong)


OF_KUBERNETES = {
    "UPSCALED_API_SERVICE_HOST": "10.0.0.1",
    "UPSCALED_API_SERVICE_PORT": "80",
    "UPSCALED_API_SERVICE_PORT_HTTP": "80",
    "UPSCALED_API_PORT": "tcp://10.0.0.1:80",
    "UPSCALED_API_PORT_80_TCP": "tcp://10.0.0.1:80",
    "UPSCALED_API_PORT_80_TCP_PROTO": "tcp",
    "UPSCALED_API_PORT_80_TCP_PORT": "80",
    "UPSCALED_API_PORT_80_TCP_ADDR": "10.0.0.1",
}


def test_what_kubernetes_says_of_our_services_is_no_setting(monkeypatch):
    for name, value in OF_KUBERNETES.items():
        monkeypatch.setenv(name, value)
    assert Settings().port == 8000


def test_a_misspelt_port_is_no_word_of_kubernetes(monkeypatch):
    monkeypatch.setenv("UPSCALED_METRIC_PORT", "9000")
    with pytest.raises(ValidationError, match="UPSCALED_METRIC_PORT"):
        Settings()


def test_settings_do_not_change():
    with pytest.raises(ValidationError):
        Settings().port = 1


def test_secrets_are_not_shown():
    settings = Settings(s3_access_key="visible-key", s3_secret_key="visible-secret")
    assert "visible" not in repr(settings)
    assert "visible" not in settings.model_dump_json()


def test_every_setting_is_described_once_and_in_a_sentence():
    descriptions = {name: field.description for name, field in Settings.model_fields.items()}
    assert all(text and text.endswith(".") for text in descriptions.values()), descriptions
    assert len(set(descriptions.values())) == len(descriptions)


def test_everything_of_one_machine_lies_below_one_folder(tmp_path):
    settings = Settings(data_dir=tmp_path)
    places = {settings.objects_dir, settings.cache_dir, settings.valkey_dir}
    assert len(places) == 3
    assert all(place.parent == tmp_path for place in places)


def test_a_secret_may_stand_in_a_file_and_the_environment_goes_before_it(tmp_path, monkeypatch):
    (tmp_path / "upscaled_s3_access_key").write_text("key-of-file\n")
    (tmp_path / "upscaled_s3_secret_key").write_text("secret-of-file")
    (tmp_path / "s3.json").write_text("what others keep there")
    read = Settings(_secrets_dir=tmp_path)
    assert read.s3_access_key.get_secret_value() == "key-of-file"
    monkeypatch.setenv("UPSCALED_S3_SECRET_KEY", "secret-of-environment")
    assert Settings(_secrets_dir=tmp_path).s3_secret_key.get_secret_value() == "secret-of-environment"


@pytest.mark.parametrize(
    ("name", "value"),
    [("outgoing_allowed", "10.0.0.0/33"), ("outgoing_allowed", "intranet"), ("webhook_secrets", "hunter2")],
)
def test_what_can_not_be_read_later_is_refused_at_the_start_and_secrets_are_not_shown(name, value):
    with pytest.raises(ValidationError) as refused:
        Settings(**{name: value})
    assert "hunter2" not in str(refused.value)
