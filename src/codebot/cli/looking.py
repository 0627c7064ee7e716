"""`codebot doctor`: what is missing on this machine, or for one repository."""

import os
import sys
from dataclasses import replace
from pathlib import Path

from codebot.cli.call import CONFIGURATION, DONE, FAILED, Call, read
from codebot.settings import Command, Settings
from codebot.telemetry.style import LogLevel


def doctor(call: Call) -> int:
    """Say what must be there and is not, and how to mend it."""
    import asyncio

    from codebot.app.checks import check_parts
    from codebot.doctor import as_line, examine, is_healthy
    from codebot.telemetry.log import configure

    reading = read(call, Command.DOCTOR)
    if call.arguments.repository is not None:
        return _rehearse(call, reading.checked())
    configure(  # what goes wrong is told by the findings
        level=LogLevel.ERROR,
        format=reading.settings.log_format,
        redactor=call.redactor,
        stream=sys.stderr,
    )
    findings = asyncio.run(examine(reading, check_parts))
    for finding in findings:
        print(call.redactor(as_line(finding)))
    if reading.problems:
        return CONFIGURATION
    return DONE if is_healthy(findings) else FAILED


def _rehearse(call: Call, settings: Settings) -> int:
    """Say whether changes of one repository would be truly tested here."""
    from codebot.app.rehearse import rehearse_repository
    from codebot.cli.ending import run_until_told
    from codebot.doctor import as_line
    from codebot.intake.findings import findings_of, told_output
    from codebot.intake.progress import LONGEST_REASON, plain
    from codebot.intake.prompt_file import located
    from codebot.telemetry.log import configure

    configure(  # what goes wrong is told by the findings
        level=LogLevel.DEBUG if call.arguments.debug else LogLevel.ERROR,
        format=settings.log_format,
        redactor=call.redactor,
        stream=sys.stderr,
    )

    def show(text: str) -> None:
        print(call.redactor(plain(text, LONGEST_REASON)), flush=True)

    given = os.fsencode(call.arguments.repository).decode(errors="replace")
    url = located({"repository_url": given}, Path.cwd()).get("repository_url", given)
    found = run_until_told(rehearse_repository(settings, url, redactor=call.redactor, show=show))
    show("")
    for finding in findings_of(found):
        shown = replace(finding, detail=plain(finding.detail, LONGEST_REASON))
        print(call.redactor(as_line(shown)), flush=True)
    for line in told_output(found):
        show(f"      {line}")
    show("")
    show(f"A change would be truly tested here: {'yes' if found.is_truly_tested else 'NO'}")
    return DONE if found.is_truly_tested else FAILED
