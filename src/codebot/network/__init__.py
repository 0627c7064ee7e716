"""How the service reaches out: its HTTP clients, its proxies, why a connection failed."""
