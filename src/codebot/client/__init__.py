"""The service from outside: what a command asks of it over HTTP, as any client would."""
