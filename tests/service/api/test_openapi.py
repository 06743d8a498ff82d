"""The OpenAPI document: what clients are generated from, held to what the server does."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.access.keys import create
from service.jobs.keys import preview_key
from service.jobs.quotas import Quota
from service.jobs.steps import Step
from tests.service.api.harness import ListQueue, Service, running
from tests.service.api.samples import begin, succeed

ROOT = Path(__file__).parents[3]
SCHEMATHESIS = Path(__file__).with_name("schemathesis")
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_operations_have_names_that_read_as_functions(service: Service) -> None:
    names = [operation["operationId"] for _, operation in operations(service.app.openapi())]
    assert len(names) == len(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+)?", name)] == []


def test_every_error_of_every_operation_is_the_one_problem(service: Service) -> None:
    others = [
        (where, status)
        for where, operation in operations(service.app.openapi())
        for status, response in operation["responses"].items()
        if int(status) >= 400 and response["content"] != PROBLEM
    ]
    assert others == [("GET /readyz", "503")]  # which tells what is away


def test_every_reference_of_the_document_leads_to_a_component(service: Service) -> None:
    document = service.app.openapi()
    named = set(re.findall(r"'\$ref': '#/components/schemas/(\w+)'", str(document)))
    assert named >= {"Report", "Problem", "JobView"}
    assert named <= document["components"]["schemas"].keys()


class Worker(ListQueue):
    """Ends each job at once, so that all a job can have is there to be asked for."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service

    def enqueue(self, job_id: str, step: Step) -> None:
        store, storage = self._service.store, self._service.storage
        begin(store, job_id)
        storage.put(preview_key(job_id), b"a frame")
        succeed(store, storage, job_id, b"a film")


@pytest.mark.timeout(300)  # a minute where nothing else runs
def test_schemathesis_finds_nothing_that_the_document_does_not_say(service: Service, tmp_path: Path) -> None:
    service.settings = service.settings.model_copy(update={"queue_max": 1000, "auth": "keys"})
    quota = Quota(open_jobs=10**6, requests_per_minute=10**6)  # else it would meet little but 429
    key = create(service.storage, "schemathesis", "user", quota)
    service.queue = Worker(service)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SCHEMATHESIS_HOOKS": "tests.service.api.schemathesis.hooks",
    }
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", SCHEMATHESIS / "schemathesis.toml"]
    header = ["--header", f"Authorization: Bearer {key}"]
    with running(service.app) as address:
        ran = subprocess.run(
            [*command, "run", "--no-color", *header, f"{address}/openapi.json"],
            cwd=tmp_path,  # where it leaves its cache
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    assert "No issues found" in ran.stdout
