"""The name that a TLS client asks for, read by OpenSSL from its first message."""

import ssl

LONGEST_HELLO = 16 * 1024
"""Bytes; browsers send below 2 KiB, post-quantum keys included."""


class HelloReader:
    """Reads a ClientHello that comes in pieces; nothing is answered, no certificate is needed."""

    def __init__(self) -> None:
        """Have read nothing yet."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sni_callback = self._note
        self._incoming = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, ssl.MemoryBIO(), server_side=True)
        self.is_complete = False
        self.name: str | None = None

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; say whether more are needed. What is no TLS is complete at once."""
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return not self.is_complete
        except ssl.SSLError:
            self.is_complete = True
        return False

    def _note(self, _: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int:
        self.is_complete = True
        self.name = None if name is None else name.lower()
        return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR  # the handshake is somebody else's
