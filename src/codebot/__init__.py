"""Codebot: a coding task goes in, a tested pull request comes out."""
