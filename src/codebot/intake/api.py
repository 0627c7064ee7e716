"""The application: routes, gate and document put together."""

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from codebot.intake import frozen, v1
from codebot.intake.bodies import json_response
from codebot.intake.gate import Gate
from codebot.intake.problems import routing_problem
from codebot.intake.service import Service


def build_api(service: Service) -> Starlette:
    """Give the ASGI application of a service. Pages may be added to it: the gate covers them."""
    api = Starlette(
        routes=[
            *frozen.operations.routes,
            *v1.operations.routes,
            Route("/openapi.json", _show_document),
        ],
        exception_handlers={HTTPException: routing_problem},
    )
    api.router.redirect_slashes = False
    api.state.service = service
    api.add_middleware(Gate, keys=service.keys)
    return api


async def _show_document(_: Request) -> Response:
    """Show the OpenAPI document; who asks first waits for it to be made, and nobody else does."""
    return json_response(await asyncio.to_thread(_document))


def _document() -> Mapping[str, Any]:
    # With FastAPI and every schema: 0.5 s and 15 MB that a service begins without.
    from codebot.intake.openapi import openapi_document

    return openapi_document()
