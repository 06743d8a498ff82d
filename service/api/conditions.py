"""Conditional requests (RFC 9110): what `If-None-Match` says about an ETag of ours."""


def names(header: str | None, etag: str) -> bool:
    """Whether the header names this ETag, so that the client has the bytes already."""
    if header is None:
        return False
    named = {one.strip().removeprefix("W/") for one in header.split(",")}
    return etag in named or "*" in named
