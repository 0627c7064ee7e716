import os
import subprocess
import sys

import pytest

SECRET = "canary-environment-5e1f"
BECOME_ORDINARY = """
import ctypes, os, sys
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # a change of user hides a process by itself
"""
WAIT = "print('up', flush=True); sys.stdin.read()"
HIDE = "hide_environment()\n"
LOOK = BECOME_ORDINARY + "print(open(f'/proc/{sys.argv[1]}/environ').read())"


@pytest.mark.parametrize(("hide", "is_seen"), [("", True), (HIDE, False)], ids=["open", "hidden"])
def test_a_process_of_the_same_user_sees_no_environment_of_the_service(
    hide: str, *, is_seen: bool
) -> None:
    imports = "from codebot.sandbox.privacy import hide_environment\n"
    with subprocess.Popen(
        [sys.executable, "-c", imports + BECOME_ORDINARY + hide + WAIT],
        env=dict(os.environ) | {"MODEL_KEY": SECRET},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == b"up\n"
        look = subprocess.run(
            [sys.executable, "-c", LOOK, str(service.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (SECRET in look.stdout) is is_seen
