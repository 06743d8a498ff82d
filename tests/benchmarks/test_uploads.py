"""Uploads that are cut, by every client: the API killed at a third of the way, the line at two."""

from pathlib import Path

import pytest

from benchmarks.uploads import CLIENTS, ROOT, measure, write_film

SIZE_BYTES = 40 << 20  # pieces of all clients, and more than one part on S3


@pytest.mark.integration
@pytest.mark.parametrize(("client", "storage"), [*((client, "files") for client in CLIENTS), ("tuspy", "s3")])
def test_a_large_upload_lives_through_a_killed_api_and_a_cut_line(
    client: str, storage: str, tmp_path: Path
) -> None:
    if client == "tus-js-client" and not (ROOT / "client/typescript/node_modules" / client).exists():
        pytest.skip("there is no tus-js-client: scripts/typescript --install gets it where npm is at hand")
    film = tmp_path / "film.mp4"
    digest = write_film(film, SIZE_BYTES)
    row = measure(client, storage, film, digest, tmp_path)
    assert row.is_right
    assert row.sent_ratio > 1  # something was lost on the way, and not all of it
    assert row.sent_ratio < 3
    assert row.peak_mib - row.at_rest_mib < SIZE_BYTES / (1 << 20)
