from contextlib import nullcontext

import torch

device = cpu = torch.device("cpu")


def autocast(disable=False):
    return nullcontext()
