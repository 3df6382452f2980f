"""W2SD in the WebUI: the always-on script."""

from modules import script_callbacks, scripts, shared
from modules.infotext_utils import PasteField
from modules.ui_components import InputAccordion

from lib_w2sd import api, hosts, ui
from lib_w2sd.hosts import checkpoints, hooks

TITLE = "W2SD"
HOST = hosts.current()
CHECKPOINTS = ui.Checkpoints(checkpoints.choices, checkpoints.refresh, checkpoints.CACHE.free)


class W2SDScript(scripts.Script):
    def title(self):
        return TITLE

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        controls = ui.build(InputAccordion, "img2img" if is_img2img else "txt2img", CHECKPOINTS)
        self.infotext_fields = [PasteField(control, read) for control, read in ui.paste_fields(controls)]
        self.paste_field_names = list(ui.infotext.LABELS)
        return controls

    def process(self, p, *args):
        hooks.before_process(p, args)

    def process_before_every_sampling(self, p, *args, **kwargs):
        hooks.before_sampling(HOST, p, args)


def add_routes(_, app):
    accounts = getattr(shared.cmd_opts, "api_auth", None)
    credentials = dict(account.split(":") for account in accounts.split(",")) if accounts else None
    api.add_routes(app, lambda: hooks.describe(HOST), credentials, checkpoints.CACHE.free)


script_callbacks.on_before_ui(lambda: hooks.add_xyz_axes(TITLE))
script_callbacks.on_app_started(add_routes)
script_callbacks.on_model_loaded(lambda _: checkpoints.on_model_loaded(HOST))
