"""Routes beside the host's own API. Settings go in through /sdapi/v1/txt2img, as for any always-on script."""

from secrets import compare_digest

from .. import __version__
from ..method.trace import Trace
from .forecast import forecast
from .settings import schema

# The host's own way to free memory: what we hold goes with it.
UNLOAD = "/sdapi/v1/unload-checkpoint"


def add_routes(app, describe_host, facts, credentials: "dict | None" = None, free_memory=lambda: None) -> None:
    """Add GET /w2sd/v1/schema, /w2sd/v1/trace and /w2sd/v1/host, and POST /w2sd/v1/free and /w2sd/v1/estimate, to the
    host's application. The last is the page's, and open as the host's own progress is: it tells nothing but what a
    request would cost.

    describe_host  describe_host() -> dict: which host this is, and the parts of it that W2SD relies on
    facts          forecast.Facts of this host
    free_memory    drops what is kept in memory (weak checkpoint, reward); also called when the host is asked to unload
                   its own
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

    def free():
        free_memory()
        return {}

    for path, endpoint in (("schema", schema), ("trace", trace), ("host", host)):
        app.add_api_route(f"/w2sd/v1/{path}", endpoint, methods=["GET"], tags=["W2SD"], **guard)
    app.add_api_route("/w2sd/v1/free", free, methods=["POST"], tags=["W2SD"], **guard)

    async def estimate(request: dict):
        try:
            return forecast(facts, request)
        except (AttributeError, TypeError, ValueError) as error:  # not the page's, but somebody's own
            raise HTTPException(422, f"W2SD: this is no request to be estimated: {error}") from error

    app.add_api_route("/w2sd/v1/estimate", estimate, methods=["POST"], tags=["W2SD"])
    for route in app.routes:
        if getattr(route, "path", None) == UNLOAD:
            route.app = followed_by(free_memory, route.app)


def followed_by(action, app):
    """The ASGI application `app`; after each request that it answers well, `action()`."""

    async def both(scope, receive, send):
        answered = []

        async def noting(message):
            if message["type"] == "http.response.start":
                answered.append(message["status"])
            await send(message)

        await app(scope, receive, noting)
        if answered and answered[0] < 300:
            action()

    return both
