"""The trial of the sandbox that comes before any work: it holds, or nothing starts."""

from codebot.app.parts import Parts
from codebot.domain.ports import Finding
from codebot.errors import SandboxUnavailable


async def require_sandbox(parts: Parts) -> list[Finding]:
    """Give what a real trial shows; raises `SandboxUnavailable` when the sandbox does not hold."""
    findings = [*await parts.sandbox.check(), parts.ground.chosen.finding()]
    for finding in findings:
        if finding.required and not finding.ok:
            raise SandboxUnavailable(finding.detail, hint=finding.remedy)
    return findings
