"""The documents agree with the code and with each other."""

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from codebot.intake.openapi import openapi_document

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
A_LINK = re.compile(r"\[[^\]]*\]\((?!https?:)(?P<page>[^)#]*)(?:#(?P<heading>[^)]*))?\)")
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
def test_every_link_leads_somewhere(page: Path, generate: ModuleType) -> None:
    for target, heading in links_of(page):
        assert target.exists(), f"{name_of(page)} links to {target}"
        if heading:
            assert heading in headings_of(target, generate), f"{name_of(page)} links to {heading}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_json_and_yaml_block_can_be_read(page: Path) -> None:
    for block in A_BLOCK.finditer(page.read_text()):
        if block["kind"] == "json":
            json.loads(block["text"])
        elif block["kind"] == "yaml":
            assert isinstance(yaml.safe_load(block["text"]), dict)


def links_of(page: Path) -> Iterator[tuple[Path, str | None]]:
    for link in A_LINK.finditer(A_BLOCK.sub("", page.read_text())):
        target = page.parent / link["page"] if link["page"] else page
        yield target.resolve(), link["heading"]


def headings_of(page: Path, generate: ModuleType) -> set[str]:
    text = A_BLOCK.sub("", page.read_text())
    return {generate.anchor(heading) for heading in re.findall(r"(?m)^#+ (.+)$", text)}
