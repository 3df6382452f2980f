"""Routes beside the host's own API. Settings go in through /sdapi/v1/txt2img, as for any always-on script."""

import inspect
import json
from secrets import compare_digest

from .. import __version__
from ..method.trace import Trace
from .forecast import forecast
from .settings import schema

# The host's own way to free memory: what we hold goes with it.
UNLOAD = "/sdapi/v1/unload-checkpoint"
# Bytes of a question to estimate: many times the longest prompts.
LARGEST = 2**18


def add_routes(app, describe_host, facts, credentials: "dict | None" = None, free_memory=lambda: None) -> None:
    """Add GET /w2sd/v1/schema, /w2sd/v1/trace and /w2sd/v1/host, and POST /w2sd/v1/free and /w2sd/v1/estimate, to the
    host's application.

    Where the page asks for a login (--gradio-auth), all of them do; the API's credentials are as good as one. Where
    only the API asks (--api-auth), the page has none to give, and estimate, which is the page's, is open as the page
    is: it tells nothing but what a request would cost.

    describe_host  describe_host() -> dict: which host this is, and the parts of it that W2SD relies on
    facts          forecast.Facts of this host
    free_memory    drops what is kept in memory (weak checkpoint, reward); also called when the host is asked to unload
                   its own
    credentials    user -> password where the host's API asks for them (--api-auth); then these routes do too
    """
    from fastapi import Depends, HTTPException, Request
    from fastapi.security import HTTPBasic

    asked, (user_of, may_see) = Depends(HTTPBasic(auto_error=False)), page_login(app)
    logged_in = Depends(user_of)

    def of_the_api(given) -> bool:
        expected = credentials and given and credentials.get(given.username)
        return bool(expected) and compare_digest(given.password.encode(), expected.encode())

    def refuse():
        # Without the header a browser does not ask for a name and password of its own.
        asks = {"WWW-Authenticate": "Basic"} if credentials else None
        raise HTTPException(401, "Incorrect username or password", asks)

    # Older versions of FastAPI do not find what an annotation in quotes names here.
    def authorised(given=asked, user=logged_in):
        page_is_open = may_see(None)
        if not of_the_api(given) and (credentials if page_is_open else not may_see(user)):
            refuse()

    def as_the_page(given=asked, user=logged_in):
        if not may_see(user) and not of_the_api(given):
            refuse()

    def trace():
        return Trace.last.as_dict() if Trace.last else {"passes": []}

    def host():
        return {"w2sd": __version__, **describe_host()}

    def free():
        free_memory()
        return {}

    async def question(request: Request) -> bytes:
        """The body, counted as it comes."""
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > LARGEST:
                raise HTTPException(413, f"W2SD: a request to be estimated has at most {LARGEST} bytes.")
        return bytes(body)

    # As all of these it is no coroutine: it runs in a thread, and the WebUI answers others meanwhile.
    def estimate(body: bytes = Depends(question)):
        try:
            return forecast(facts, json.loads(body))
        # Not the page's, but somebody's own; what is nested too deeply, and numbers beyond all counting, among them.
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            why = f"{type(error).__name__}: {error}"[:200]
            raise HTTPException(422, f"W2SD: this is no request to be estimated: {why}") from error

    for path, endpoint, method, guard in (
        ("schema", schema, "GET", authorised),
        ("trace", trace, "GET", authorised),
        ("host", host, "GET", authorised),
        ("free", free, "POST", authorised),
        ("estimate", estimate, "POST", as_the_page),
    ):
        guarded = {"tags": ["W2SD"], "dependencies": [Depends(guard)]}
        app.add_api_route(f"/w2sd/v1/{path}", endpoint, methods=[method], **guarded)
    for route in app.routes:
        if getattr(route, "path", None) == UNLOAD:
            route.app = preceded_by(free_memory, route.app)


def page_login(app) -> tuple:
    """The page's own login, as Gradio's route for that has it (3.41 to 6): a dependency that gives the user's name or
    None, and may_see(user); may_see(None) is whether the page is open."""
    from fastapi import HTTPException

    check = next((r.endpoint for r in routes_of(app) if getattr(r, "path", "").endswith("/login_check")), None)
    if check is None:  # --nowebui; whatever else it is, where a login is asked for nobody has given it
        return (lambda: None), (lambda user: getattr(app, "auth", None) is None)

    def may_see(user) -> bool:
        try:
            check(user)
        except HTTPException:
            return False
        return True

    return inspect.signature(check).parameters["user"].default.dependency, may_see


def routes_of(app):
    """All routes; newer versions of FastAPI keep those of a router that was included in it."""
    for route in app.routes:
        yield route
        if inner := getattr(route, "original_router", None):
            yield from routes_of(inner)


def preceded_by(action, app):
    """The ASGI application `app`; before each of its good answers goes out, `action()`: who has the answer can count on
    it."""

    from fastapi.concurrency import run_in_threadpool

    async def both(scope, receive, send):
        async def acting(message):
            if message["type"] == "http.response.start" and message["status"] < 300:
                await run_in_threadpool(action)
            await send(message)

        await app(scope, receive, acting)

    return both
