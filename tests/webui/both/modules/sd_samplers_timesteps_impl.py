from tests.samplers import ddim, ddim_cfgpp, plms, unipc  # noqa: F401
