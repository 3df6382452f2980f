"""A server that answers as a WebUI with W2SD does, of pictures that cost nothing; held to a real one by
tests/live/test_evaluate.py."""

import base64
import io
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image


def picture(request: dict, w2sd) -> Image.Image:
    """Red: whether W2SD is on; green: the CFG scale; blue: the seed."""
    return Image.new("RGB", (8, 8), (200 if w2sd else 100, int(10 * request["cfg_scale"]), request["seed"] % 256))


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        self.answer(
            {"/w2sd/v1/host": {"w2sd": "0.1.0", "host": "fake"}, "/w2sd/v1/trace": self.server.trace}[self.path]
        )

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        if self.server.fails_after is not None and len(self.server.requests) > self.server.fails_after:
            return self.answer({"error": "HTTPException", "detail": "", "errors": "W2SD: no more"}, 422)
        args = request.get("alwayson_scripts", {}).get("W2SD", {}).get("args")
        file = io.BytesIO()
        picture(request, args).save(file, "PNG")
        if args:
            evaluations = [{"kind": "step", "rows": 40}, {"kind": "weak", "rows": 20}, {"kind": "measure", "rows": 7}]
            reflections = [{"effective_cfg": 9.0 if args[0].get("measure") else None}, {}]
            self.server.trace = {"passes": [{"evaluations": evaluations, "reflections": reflections}]}
        self.answer({"images": [base64.b64encode(file.getvalue()).decode()]})

    def answer(self, told, status=200):
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(fails_after=None):
    """Within, a server with url, requests (all that came) and fails_after (how many it answers well)."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.trace, server.requests, server.fails_after = {"passes": []}, [], fails_after
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
