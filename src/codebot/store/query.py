"""Reads as statements: made once, and asked with the names of their parameters."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.dialects import sqlite
from sqlalchemy.sql import Select

_DIALECT = sqlite.dialect(paramstyle="named")


class Query:
    """A select, and its SQL text for SQLite, whose driver is called directly."""

    __slots__ = ("_constants", "select", "sql")

    def __init__(self, select: Select[Any]) -> None:
        """Compile it; parameters keep the names of its `bindparam`s."""
        compiled = select.compile(dialect=_DIALECT)
        self.select = select
        self.sql = str(compiled)
        self._constants = {n: v for n, v in compiled.params.items() if v is not None}

    def bind(self, parameters: Mapping[str, object]) -> dict[str, object]:
        """Give the parameters together with the constants that SQLAlchemy bound itself."""
        return {**self._constants, **parameters}
