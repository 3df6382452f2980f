"""The WebUI's XYZ script, asked through the API."""

from .conftest import Picture


class Axes:
    """Axes go in by their index in the script's lists, which differ from WebUI to WebUI."""

    def __init__(self, webui):
        self.webui = webui
        info = next(i for i in webui.get("/sdapi/v1/script-info") if i["name"] == "x/y/z plot" and not i["is_img2img"])
        self.labels, self.defaults = info["args"][0]["choices"], [arg["value"] for arg in info["args"]]

    def grid(self, *axes, w2sd=None, **payload):
        args = []
        for label, values in (*axes, *[("Nothing", "")] * (3 - len(axes))):
            # Axes with choices read the list, the others the text.
            args += [self.labels.index(label), values, values.split(",")]
        # legend, lone images, sub grids, keep seeds, vary seeds x y z, margin, as CSV
        args += [True, True, False, False, False, False, False, 0, False]
        args += self.defaults[len(args) :]  # Forge Neo has one more
        return self.webui.request(w2sd, script_name="x/y/z plot", script_args=args, **payload)


def cells(answer, count: int) -> tuple:
    """The last `count` pictures of an answer, and their infotexts."""
    assert answer.status_code == 200, answer.text[:2000]
    made = Picture(answer.json())
    return made.images[-count:], made.info["infotexts"][-count:]
