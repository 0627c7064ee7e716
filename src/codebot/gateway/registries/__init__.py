"""The registries under their real names: the far end of TLS, one table, a cache on disk."""
