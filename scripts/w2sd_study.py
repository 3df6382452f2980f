"""W2SD in the WebUI: the script "is it better on my checkpoint?" in the list of scripts."""

from lib_w2sd.hosts.compatibility import requirements

if not requirements.lacks():
    from dataclasses import fields

    from modules import scripts, shared

    from lib_w2sd import hosts
    from lib_w2sd.evaluate import page as controls
    from lib_w2sd.hosts.models import rewards
    from lib_w2sd.hosts.request import page, refusal, study

    PRESETS = {name: preset for name, preset in page.presets_of(hosts.current()).items() if not preset.halves_steps}

    class W2SDStudy(scripts.Script):
        def title(self):
            return "W2SD: is it better on my checkpoint?"

        def ui(self, is_img2img):
            tab = "img2img" if is_img2img else "txt2img"

            def folder(name):
                return study.folder(shared.opts.outdir_grids or getattr(shared.opts, f"outdir_{tab}_grids"), name)

            return controls.build(tab, rewards.choices, list(PRESETS), folder)

        @refusal.refusing()
        def run(self, p, *args):
            return study.run(p, study.Choices(*args[: len(fields(study.Choices))]), PRESETS)
