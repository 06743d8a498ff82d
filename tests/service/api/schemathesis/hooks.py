"""What our document can't say in JSON Schema: how media begin, which options go together, which models exist,
which addresses are called, and how long results are kept.

Files are pictures here, so of the options are left those that pictures take: every such upload must be taken.
"""

from typing import Any

import schemathesis
from hypothesis import strategies as st

from service.api.catalogue import BASELINE
from service.formats import FORMATS, NOT_FOR
from service.settings import Settings
from tests.service.api.samples import png

RESULT_TTL_S = Settings.model_fields["result_ttl_s"].default

schemathesis.openapi.format("binary", st.just(png()))
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")


@schemathesis.hook
def before_load_schema(_context: schemathesis.HookContext, document: dict[str, Any]) -> None:
    paths = document["paths"]
    forms = [
        paths[path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        for path in ("/upscale", "/estimate")
    ]
    body = paths["/jobs/{job_id}/rerun"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    for form in forms:
        form["oneOf"] = form["oneOf"][:1]
        for name in ("upload", "url"):
            del form["properties"][name]
    begin = paths["/uploads"]["post"]["parameters"]
    (length,) = (each for each in begin if each["name"] == "Upload-Length")
    length["schema"]["maximum"] = 1000
    for properties in (*(form["properties"] for form in forms), body["properties"]):
        for name in (*NOT_FOR["image"], "size", "width", "height", "webhook"):  # `scale` says how large
            del properties[name]
        properties["format"] = {"enum": list(FORMATS["image"])}
        properties["model"] = {"enum": [BASELINE]}
        properties["ttl"] = {"type": "number", "exclusiveMinimum": 0, "maximum": RESULT_TTL_S}
