from contextlib import nullcontext

import torch

device = torch.device("cpu")


def autocast(disable=False):
    return nullcontext()
