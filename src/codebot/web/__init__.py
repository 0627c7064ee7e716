"""Pages for people, and the static files they need."""
