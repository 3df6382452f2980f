"""GET routes beside the host's own API. Settings go in through /sdapi/v1/txt2img, as for any always-on script."""

from secrets import compare_digest

from . import __version__
from .settings import schema
from .trace import Trace


def add_routes(app, describe_host, credentials: "dict | None" = None) -> None:
    """Add /w2sd/v1/schema, /w2sd/v1/trace and /w2sd/v1/host to the host's FastAPI application.

    describe_host  describe_host() -> dict: which host this is, and the parts of it that W2SD relies on
    credentials    user -> password where the host's API asks for them (--api-auth); then these routes do too
    """
    from fastapi import Depends, HTTPException
    from fastapi.security import HTTPBasic, HTTPBasicCredentials

    asked = Depends(HTTPBasic())

    def authorised(given: HTTPBasicCredentials = asked):
        expected = credentials.get(given.username)
        if expected is None or not compare_digest(given.password.encode(), expected.encode()):
            raise HTTPException(401, "Incorrect username or password", {"WWW-Authenticate": "Basic"})

    def trace():
        return Trace.last.as_dict() if Trace.last else {"passes": []}

    def host():
        return {"w2sd": __version__, **describe_host()}

    guard = {"dependencies": [Depends(authorised)]} if credentials else {}
    for path, endpoint in (("schema", schema), ("trace", trace), ("host", host)):
        app.add_api_route(f"/w2sd/v1/{path}", endpoint, methods=["GET"], tags=["W2SD"], **guard)
