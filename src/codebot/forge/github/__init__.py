"""GitHub, by App or token, github.com and Enterprise Server."""
