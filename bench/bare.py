"""The endpoint that Codebot is compared with: the least that FastAPI does for such a request.

It checks six fields with pydantic and answers; it has no keys, no log, no store, and forgets.
"""

import sys
from uuid import uuid4

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel

app = FastAPI()


class Submission(BaseModel):
    """The body of a submit."""

    repository_url: str
    description: str
    ticket_id: str | None = None
    ticket_summary: str | None = None
    test_command: str | None = None
    base_branch: str | None = None


@app.post("/api/tasks/submit")
async def submit(task: Submission) -> JSONResponse:
    """Answer as Codebot does, with nothing done."""
    del task
    body = {"task_id": str(uuid4()), "status": "pending", "message": "Task queued successfully"}
    return JSONResponse(body, 202)


@app.get("/api/tasks/{task_id}/status")
async def status(task_id: str) -> JSONResponse:
    """Answer as Codebot does, with nothing looked up."""
    body = {
        "task_id": task_id,
        "status": "pending",
        "submitted_at": "2025-11-03T12:00:05Z",
        "started_at": None,
        "completed_at": None,
    }
    return JSONResponse(body)


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
