"""W2SD in the WebUI: the always-on script. In a WebUI that lacks what it needs, one that says so."""

from lib_w2sd import hosts
from lib_w2sd.hosts.compatibility import requirements, unavailable

LACKS = requirements.lacks()

if LACKS:
    W2SDScript = unavailable.script(LACKS)
    unavailable.add_routes(LACKS)
else:
    from modules import script_callbacks, scripts, shared
    from modules.infotext_utils import PasteField
    from modules.ui_components import InputAccordion

    from lib_w2sd.hosts.models import checkpoints
    from lib_w2sd.hosts.request import arguments, comparison, hooks, page
    from lib_w2sd.page import accordion as ui
    from lib_w2sd.page import api, grid, infotext

    HOST = hosts.current()

    LISTS = page.lists(HOST)
    PAGE = page.page(HOST)

    class W2SDScript(scripts.Script):
        def title(self):
            return arguments.TITLE

        def show(self, is_img2img):
            # Every host asks this before it makes any script's controls; with --nowebui that is before on_before_ui.
            hooks.add_xyz_axes(LISTS)
            return scripts.AlwaysVisible

        def ui(self, is_img2img):
            controls = ui.build(InputAccordion, "img2img" if is_img2img else "txt2img", LISTS, PAGE)
            self.infotext_fields = [PasteField(control, read) for control, read in ui.paste_fields(controls)]
            self.paste_field_names = list(infotext.LABELS)
            return controls

        def after_component(self, component, **kwargs):
            """The grid's button waits for the host's X/Y/Z plot, which is made after this script's controls."""
            tab = "img2img" if self.is_img2img else "txt2img"
            parts = grid.parts(tab)
            if kwargs.get("elem_id") in parts:
                found = self.__dict__.setdefault("grid_parts", {})
                found[kwargs["elem_id"]] = component
                if len(found) == len(parts):
                    grid.connect(tab, *(found[part] for part in parts))
                    found.clear()

        def setup(self, p, *args):
            comparison.ask(p)

        def before_process(self, p, *args):
            hooks.before_request(p, args)

        def process(self, p, *args):
            hooks.before_process(HOST, p, args)

        def process_batch(self, p, *args, **kwargs):
            HOST.before_encoding(p)

        def process_before_every_sampling(self, p, *args, **kwargs):
            # With x alone: ersatzForge calls this again when a refiner has taken over, in the middle of the sampling.
            if set(kwargs) != {"x"}:
                hooks.before_sampling(HOST, p, args)

        def post_sample(self, p, ps, *args):
            hooks.after_sampling(p, args)

        def postprocess_image_after_composite(self, p, pp, *args):
            comparison.note(p, pp.image)

        def postprocess(self, p, processed, *args):
            comparison.add(p, processed)
            hooks.after_request(p)

    def free_memory():
        for of in LISTS.values():
            if of.free:
                of.free()

    def add_routes(_, app):
        accounts = getattr(shared.cmd_opts, "api_auth", None)
        credentials = dict(account.split(":") for account in accounts.split(",")) if accounts else None
        api.add_routes(app, lambda: hooks.describe(HOST), PAGE.facts, credentials, free_memory)

    script_callbacks.on_before_ui(lambda: hooks.add_xyz_axes(LISTS))
    script_callbacks.on_app_started(add_routes)
    script_callbacks.on_model_loaded(lambda _: checkpoints.on_model_loaded(HOST))
