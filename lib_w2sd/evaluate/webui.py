"""A running WebUI's API, as much of it as a pair of pictures needs. Nothing but Python's own library."""

import base64
import io
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

from PIL import Image

from ..errors import W2SDError
from .ways import facts_of


class WebUIError(W2SDError):
    """The WebUI did not draw; the text says what it answered."""


@dataclass
class Drawn:
    picture: Image.Image
    seconds: float
    facts: dict  # of a picture with W2SD, see ways.facts_of; else empty


class WebUI:
    """url: as the browser has it; user: "name:password" where --api-auth asks for one."""

    def __init__(self, url: str, user: str = "", timeout: float = 3600.0):
        self.url, self.timeout = url.rstrip("/"), timeout
        self.headers = {"Content-Type": "application/json"}
        if user:
            self.headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()

    def ask(self, path: str, body: "dict | None" = None):
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.url + path, data, self.headers)
        try:
            with urllib.request.urlopen(asked, timeout=self.timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise WebUIError(f"{self.url}{path} answered {error.code}: {_said(error)}") from error
        except (OSError, ValueError) as error:
            raise WebUIError(f"{self.url}{path}: {error}. Is the WebUI running, with --api?") from error

    def check(self) -> dict:
        """What W2SD says of the WebUI. Raises WebUIError where it is not there, or cannot work."""
        told = self.ask("/w2sd/v1/host")
        if told.get("missing"):
            raise WebUIError(f"{self.url} lacks what W2SD needs: {told['missing']}")
        return told

    def draw(self, request: dict, w2sd: "dict | None") -> Drawn:
        asked = {**request, "save_images": False, "send_images": True}
        if w2sd is not None:
            settings = {**w2sd, "enabled": True, "comparison": False}
            asked["alwayson_scripts"] = {**request.get("alwayson_scripts", {}), "W2SD": {"args": [settings]}}
        begun = time.perf_counter()
        answer = self.ask("/sdapi/v1/txt2img", asked)
        seconds = time.perf_counter() - begun
        if not answer.get("images"):
            raise WebUIError(f"{self.url} answered without a picture: was it interrupted?")
        picture = Image.open(io.BytesIO(base64.b64decode(answer["images"][0].partition(",")[2] or answer["images"][0])))
        facts = facts_of(self.ask("/w2sd/v1/trace")["passes"]) if w2sd is not None else {}
        return Drawn(picture.convert("RGB"), seconds, facts)


def _said(error) -> str:
    text = error.read().decode(errors="replace")
    try:
        told = json.loads(text)
    except ValueError:
        return text[:500]
    return str(told.get("errors") or told.get("detail") or told)[:500] if isinstance(told, dict) else text[:500]
