"""What our document can't say in JSON Schema: how media begin, which options go together, which models exist.

Files are pictures here, so of the options are left those that pictures take: every such upload must be taken.
"""

from typing import Any

import schemathesis
from hypothesis import strategies as st

from service.api.catalogue import BASELINE
from service.formats import FORMATS, NOT_FOR
from tests.service.api.samples import png

schemathesis.openapi.format("binary", st.just(png()))


@schemathesis.hook
def before_load_schema(_context: schemathesis.HookContext, document: dict[str, Any]) -> None:
    form = document["paths"]["/upscale"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    for name in (*NOT_FOR["image"], "size", "width", "height"):  # `scale` says how large
        del form["properties"][name]
    form["properties"]["format"]["enum"] = list(FORMATS["image"])
    form["properties"]["model"] = {"enum": [BASELINE]}
