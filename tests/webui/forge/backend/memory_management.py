def get_free_memory(device):
    return 1 << 30


def load_models_gpu(models, memory_required=0): ...


def soft_empty_cache(): ...
