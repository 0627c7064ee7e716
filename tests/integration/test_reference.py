"""The documents agree with the code and with each other."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from codebot.forge.github.checks import CREDENTIAL, INSTALLATION, PERMISSIONS
from codebot.intake.openapi import openapi_document
from codebot.sandbox.marks import MARK
from codebot.settings.table import BY_NAME

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
NOT_OURS = {"CODEBOT_URL", "CODEBOT_API_KEY", "CODEBOT_REPOSITORY", "CODEBOT_DESCRIPTION"} | {
    "GITHUB_ENV",
    "GITHUB_STEP_SUMMARY",
    MARK,
}
"""Variables of the callers in the examples, of the runner that they run on, and within boxes."""
A_BLOCK = re.compile(r"(?ms)^```(?P<kind>\w*).*?\n(?P<text>.*?)^```$")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_generated_part_is_up_to_date(generate: ModuleType) -> None:
    stale = [name_of(page) for page in generate.write(DOCS, check=True)]
    assert stale == [], "run .venv/bin/python docs/generate.py"


def test_a_part_that_drifted_is_found_and_written_anew(
    generate: ModuleType, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text("By hand.\n<!-- begin settings -->\nold\n<!-- end settings -->\nBy hand.\n")

    assert generate.write(tmp_path, check=True) == [page]
    assert "old" in page.read_text()
    assert generate.write(tmp_path, check=False) == [page]
    assert generate.write(tmp_path, check=True) == []
    text = page.read_text()
    assert text.startswith("By hand.\n<!-- begin settings -->\n|")
    assert text.endswith("|\n<!-- end settings -->\nBy hand.\n")
    assert "CODEBOT_API_KEYS" in text


def test_every_code_of_the_symptoms_is_an_error_that_exists(generate: ModuleType) -> None:
    told = generate._symptoms((DOCS / generate.SYMPTOMS).read_text())
    assert set(told) == {kind.code for kind in generate._tree(generate.errors.CodebotError)}


def test_everything_that_the_doctor_looks_at_is_among_the_symptoms(
    generate: ModuleType, tmp_path: Path
) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "codebot", "doctor"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    looked_at = {*re.findall(r"(?m)^\S+ +([^:]+):", said), CREDENTIAL, PERMISSIONS, INSTALLATION}
    page = (DOCS / generate.SYMPTOMS).read_text()

    assert len(looked_at) > 10
    assert {name for name in looked_at if f"`{name}`" not in page} == set()


def test_every_route_is_described_by_hand_too() -> None:
    described = (DOCS / "reference/http.md").read_text()
    for path, operations in openapi_document()["paths"].items():
        for method in operations:
            assert f"`{method.upper()} {path}" in described


def test_every_key_of_an_answer_is_in_the_http_reference() -> None:
    described = (DOCS / "reference/http.md").read_text()
    schemas = openapi_document()["components"]["schemas"]
    keys = {key for schema in schemas.values() for key in schema.get("properties", {})}
    assert {key for key in keys if not re.search(rf"\b{key}\b", described)} == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"\b(?:CODEBOT|GITHUB|ANTHROPIC)_[A-Z_]+[A-Z]\b", page.read_text()))
    is_known = {name for name in named if name in BY_NAME or name.removesuffix("_FILE") in BY_NAME}
    assert named - is_known - NOT_OURS == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_json_and_yaml_block_can_be_read(page: Path) -> None:
    for block in A_BLOCK.finditer(page.read_text()):
        if block["kind"] == "json":
            json.loads(block["text"])
        elif block["kind"] == "yaml":
            assert isinstance(yaml.safe_load(block["text"]), dict)
