"""A GitHub with a memory, on loopback, that keeps to GitHub's own description of its API.

It holds Apps' installations, tokens that expire, repositories and pull requests; it can be told
to fail. Every request and every answer of its own is checked against the description; what
breaks it, or is not in it, is a violation, and a violation fails the test (see `server`).
"""

from fakes.github.faults import Fault
from fakes.github.server import FakeGitHub, private_key
from fakes.github.world import Pull, Repository

__all__ = ["FakeGitHub", "Fault", "Pull", "Repository", "private_key"]
