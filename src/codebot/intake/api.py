"""The application: routes, gate and document put together."""

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from codebot.intake import frozen, v1
from codebot.intake.gate import Gate
from codebot.intake.openapi import openapi_document
from codebot.intake.problems import routing_problem
from codebot.intake.service import Service


def build_api(service: Service) -> FastAPI:
    """Give the ASGI application of a service. Pages may be added to it: the gate covers them."""
    api = FastAPI(
        # Not `include_router`: that matches every request twice.
        routes=[*frozen.router.routes, *v1.router.routes],
        title="Codebot",
        version=service.version,
        docs_url=None,  # FastAPI's page loads its script from a CDN; ours is in codebot.web
        redoc_url=None,
        redirect_slashes=False,
    )
    api.state.service = service
    api.add_middleware(Gate, keys=service.keys)
    api.add_exception_handler(HTTPException, routing_problem)
    api.openapi = openapi_document  # type: ignore[method-assign]
    return api
