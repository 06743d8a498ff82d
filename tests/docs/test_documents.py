"""Documents that draw or list what the code has: they must agree with it."""

import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import service
from service.api.problems import answering
from service.errors import UpscaleError
from service.settings import FORMER, OF_CLIENTS, Settings

CLASSES = (UpscaleError, *UpscaleError.__subclasses__())
ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.mark.parametrize("script", ["drawings.py", "models_docs.py", "settings_docs.py"])
def test_what_a_script_writes_into_the_documents_is_up_to_date(script: str):
    command = [sys.executable, ROOT / "scripts" / script, "--check"]
    check = subprocess.run(command, capture_output=True, text=True, check=False)
    assert check.returncode == 0, f"{check.stderr}\nrun: make docs"


def test_every_setting_says_what_it_is():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_page_of_errors_lists_every_code_with_its_status():
    listed = re.findall(r"^\| `(\w+)` \| (\d{3}) \|", (DOCS / "errors.md").read_text(), re.MULTILINE)
    assert len(listed) == len(set(listed)), "a code is listed twice"
    raised = {(error.code, str(error.http_status)) for error in errors_that_are_raised()}
    assert set(listed) == raised


def test_every_setting_that_a_page_names_exists():
    known = {f"UPSCALED_{name.upper()}" for name in Settings.model_fields} | OF_CLIENTS | FORMER
    for page in pages():
        assert set(re.findall(r"UPSCALED_[A-Z0-9_]*[A-Z0-9]", page.read_text())) <= known, page.name


def test_every_link_between_pages_leads_somewhere():
    for page in pages():
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def errors_that_are_raised() -> Iterator[type[UpscaleError]]:
    """All but those that only sort others, wherever declared, and the base, for what nobody foresaw."""
    for module in pkgutil.walk_packages(service.__path__, "service."):
        importlib.import_module(module.name)
    yield UpscaleError
    for error in answering.known_errors():
        if error.__module__.startswith("service.") and error not in CLASSES:
            yield error


def pages() -> list[Path]:
    return [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "client").glob("*.md")]
