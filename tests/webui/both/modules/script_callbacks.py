from types import SimpleNamespace

_before_ui, _app_started, _model_loaded, _cfg_denoiser, _cfg_denoised, _after_cfg = [], [], [], [], [], []
callback_map = {
    "callbacks_cfg_denoiser": _cfg_denoiser,
    "callbacks_cfg_denoised": _cfg_denoised,
    "callbacks_cfg_after_cfg": _after_cfg,
}
on_before_ui, on_app_started, on_model_loaded = _before_ui.append, _app_started.append, _model_loaded.append
on_cfg_denoiser, on_cfg_denoised, on_cfg_after_cfg = _cfg_denoiser.append, _cfg_denoised.append, _after_cfg.append


class CFGDenoiserParams(SimpleNamespace):
    """x, image_cond, sigma, text_cond, text_uncond, denoiser: a callback may put others in their place."""


class CFGDenoisedParams(SimpleNamespace):
    """x, inner_model"""


class AfterCFGCallbackParams(SimpleNamespace):
    """x"""


def before_ui_callback():
    for callback in _before_ui:
        callback()


def app_started_callback(demo, app):
    for callback in _app_started:
        callback(demo, app)


def cfg_denoiser_callback(params):
    for callback in _cfg_denoiser:
        callback(params)


def cfg_denoised_callback(params):
    for callback in _cfg_denoised:
        callback(params)


def cfg_after_cfg_callback(params):
    for callback in _after_cfg:
        callback(params)
