def get_attr_with_parent(model, weight):
    """(module, the parameter's name in it, the parameter)."""
    *path, name = weight.split(".")
    for part in path:
        model = getattr(model, part)
    return model, name, getattr(model, name)


def nested_move_to_device(value, **kwargs):
    return value


def load_torch_file(path): ...
