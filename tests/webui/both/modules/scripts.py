from types import SimpleNamespace

from modules import errors

AlwaysVisible = object()
scripts_data = []


class PostSampleArgs:
    def __init__(self, samples):
        self.samples = samples


class Script:
    args_from = args_to = None
    infotext_fields = paste_field_names = None
    filename = "test"

    def title(self):
        raise NotImplementedError

    def show(self, is_img2img):
        return True

    def ui(self, is_img2img):
        return []

    def setup(self, p, *args): ...

    def before_process(self, p, *args): ...

    def process(self, p, *args): ...

    def before_process_batch(self, p, *args, **kwargs): ...

    def after_extra_networks_activate(self, p, *args, **kwargs): ...

    def process_batch(self, p, *args, **kwargs): ...

    def before_hr(self, p, *args): ...

    def process_before_every_sampling(self, p, *args, **kwargs): ...

    def post_sample(self, p, ps, *args): ...

    def postprocess_batch(self, p, *args, **kwargs): ...

    def postprocess_image_after_composite(self, p, pp, *args): ...

    def postprocess(self, p, processed, *args): ...


class ScriptRunner:
    """Hooks in order; what one raises is printed, and the job goes on without it."""

    def __init__(self, alwayson_scripts):
        self.alwayson_scripts, self.selectable_scripts = alwayson_scripts, []

    def run(self, hook, p, *extra, **kwargs):
        for script in self.alwayson_scripts:
            try:
                arguments = p.script_args[script.args_from : script.args_to]
                getattr(script, hook)(p, *extra, *arguments, **kwargs)
            except Exception as error:
                errors.report(f"Error running {hook}: {script.filename}", exc_info=error)


class MaskBlendArgs(SimpleNamespace):
    pass
