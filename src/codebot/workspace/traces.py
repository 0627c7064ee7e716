"""What in a change names this service's own gateway: it is there in a box, and nowhere else.

A lock file or a setting with such an address in it works for nobody who takes the change over.
"""

from collections.abc import Iterator, Sequence

from codebot.domain.box import PROXY_PORT
from codebot.workspace.leaks import Leak

ADDRESSES = tuple(f"{host}:{PROXY_PORT}".encode() for host in ("127.0.0.1", "localhost"))
AUTHORITY_FILE = b"/run/registries.pem"
_KIND = "this service's own gateway"


def find_traces(content: bytes, authority: Sequence[bytes]) -> Iterator[Leak]:
    r"""Give each kind of trace once; `authority` are pieces of the certificate that boxes trust.

    >>> [trace.line for trace in find_traces(b"a\nproxy = http://127.0.0.1:3128\n", ())]
    [2]
    """
    for words in (*ADDRESSES, AUTHORITY_FILE, *authority):
        at = content.find(words)
        if at >= 0:
            yield Leak(_KIND, content.count(b"\n", 0, at) + 1, words.decode("latin-1"))
