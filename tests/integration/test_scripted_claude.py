"""The real Claude Code plays a whole script: it reads, edits, tests, and resumes."""

import asyncio
import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any

import claude_agent_sdk
import pytest

from codebot.domain.budget import Caps
from codebot.domain.ports import GatewayAccess
from codebot.domain.run import RunId
from codebot.domain.task import TaskId
from codebot.gateway.gateway import Gateway
from codebot.gateway.scripted import ScriptedUpstream
from codebot.telemetry.redaction import Redactor

GENEROUS = Caps(max_turns=100, max_budget_usd=10.0)
CLAUDE = Path(claude_agent_sdk.__file__).parent / "_bundled" / "claude"
SCHEMA = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
TURNS = [
    {
        "text": "I read the code.",
        "tools": [{"name": "Read", "input": {"file_path": "{cwd}/cart.py"}}],
    },
    {
        "text": "It forgets the quantity.",
        "tools": [
            {
                "name": "Edit",
                "input": {
                    "file_path": "{cwd}/cart.py",
                    "old_string": "price for",
                    "new_string": "price * quantity for",
                },
            }
        ],
    },
    {"tools": [{"name": "Bash", "input": {"command": f"{sys.executable} -m unittest"}}]},
    {"structured": {"title": "Count quantities"}},
    {"text": "Another look.", "tools": [{"name": "Bash", "input": {"command": "echo again"}}]},
    {"structured": {"title": "Second round"}},
]
CART = "def total(items):\n    return sum(price for price, quantity in items)\n"
TESTS = (
    "import unittest, cart\n"
    "class Cart(unittest.TestCase):\n"
    "    def test_total(self):\n"
    "        self.assertEqual(cart.total([(2, 3)]), 6)\n"
)


async def claude(tree: Path, access: GatewayAccess, *args: str) -> list[dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        CLAUDE, "-p", "--output-format", "stream-json", "--verbose",
        "--permission-mode", "bypassPermissions", "--setting-sources", "",
        "--strict-mcp-config", "--tools", "Bash,Edit,Read", "--json-schema", json.dumps(SCHEMA),
        *args,
        cwd=tree,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tree.parent / "home"),
            "ANTHROPIC_AUTH_TOKEN": access.token.reveal(),
            "ANTHROPIC_BASE_URL": access.url,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "IS_SANDBOX": "1",
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )  # fmt: skip
    out, _ = await process.communicate(b"Mend the total.\n")
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.timeout(60)
async def test_claude_code_plays_a_script_to_its_end_and_on_after_resuming(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tmp_path / "home").mkdir()
    (tree / "cart.py").write_text(CART)
    (tree / "test_cart.py").write_text(TESTS)
    (tmp_path / "turns.json").write_text(json.dumps({"turns": TURNS}))
    gateway = Gateway(ScriptedUpstream(tmp_path / "turns.json"), redactor=Redactor())
    await gateway.start()
    access = gateway.admit(RunId("run-1"), TaskId("task-1"), GENEROUS)
    session = str(uuid.uuid4())
    try:
        first = await claude(tree, access, "--session-id", session)
        turns_of_first = gateway.usage(access).turns
        second = await claude(tree, access, "--resume", session)
    finally:
        metered = (await gateway.dismiss(access)).metered
        await gateway.close()

    assert first[-1]["structured_output"] == {"title": "Count quantities"}
    assert "price * quantity for" in (tree / "cart.py").read_text()
    assert "Ran 1 test" in json.dumps(first)
    assert turns_of_first == 4
    assert second[-1]["structured_output"] == {"title": "Second round"}
    assert "Another look." in json.dumps(second)
    assert metered.usage.turns == 6
    assert (metered.errors, metered.usage.cost_usd) == ({}, 0.0)
    assert first[-1]["total_cost_usd"] == 0
