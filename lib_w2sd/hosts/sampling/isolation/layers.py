"""A network's layers: what others have put in their functions' place, hooked into them or done to their weights."""

import torch

from .whose import is_theirs, written_in

# By what A1111 knows which LoRAs it has merged into a layer; it does so within a call.
MERGED = "network_current_names"


class Layers:
    """Those of a network, and what others have put in the place of their functions, or hooked into them."""

    def __init__(self, network: torch.nn.Module):
        self._modules = list(network.modules())
        self._layers = [vars(layer) for layer in self._modules]
        self._weighted = [own for own in self._layers if own["_parameters"]]
        self._types = {type(layer) for layer in self._modules if not type(layer).__module__.startswith("torch.")}

    def functions(self) -> list:
        return self.of_others()[0]

    def of_others(self) -> "tuple[list, list]":
        """(functions of others, the layers that they may keep something on: the whole network, and those whose
        functions theirs stand in the place of)."""
        by_type = {one: [vars(one).get(name) for name in ("forward", "inner_forward")] for one in self._types}
        theirs = {one for one, functions in by_type.items() if any(map(_is_anothers, functions))}
        functions, layers = [function for one in theirs for function in by_type[one]], [self._modules[0]]
        # Thousands of layers, asked about at every evaluation: nearly all of them hold nothing.
        for layer, own in zip(self._modules, self._layers):
            if own["_forward_pre_hooks"] or own["_forward_hooks"] or "forward" in own:
                found = [one for one in self._own(layer) if _is_anothers(one)]
                functions += found
                if found:
                    layers.append(layer)
        layers += [layer for layer in self._modules if type(layer) in theirs] if theirs else []
        return [one for one in dict.fromkeys(functions) if _is_anothers(one)], list(dict.fromkeys(layers))

    def are_heard(self) -> bool:
        """Whether others have hooked into layers: they hear of every call that is made, and of no other."""
        hooks = (
            hook
            for own in self._layers
            for kind in ("_forward_pre_hooks", "_forward_hooks")
            for hook in own[kind].values()
        )
        return any(map(_is_anothers, hooks))

    @staticmethod
    def _own(layer: torch.nn.Module) -> list:
        """Hooks, and what stands in the place of the forward of the layer's class."""
        found = [*layer._forward_pre_hooks.values(), *layer._forward_hooks.values()]
        if "forward" in vars(layer):
            below = getattr(layer.forward, "original", layer.forward)  # an overlay of ours
            found += [below] if getattr(below, "__func__", below) is not type(layer).forward else []
        return found

    def as_they_are(self):
        """What puts the layers' functions back."""
        before = [own.get("forward") for own in self._layers]

        def put_back():
            for own, forward in zip(self._layers, before):
                if own.get("forward") is not forward:
                    own.update(forward=forward) if forward else own.pop("forward")

        return put_back

    def weights_as_they_are(self):
        """What puts the tensors back that are the layers' weights. Others change them as a call begins, and remember
        that they have (CD Tuner): they would do it twice."""
        before = [(dict(own["_parameters"]), own.get(MERGED)) for own in self._weighted]

        def put_back():
            for own, (weights, merged) in zip(self._weighted, before):
                now = own["_parameters"]
                if own.get(MERGED) == merged and any(now.get(name) is not one for name, one in weights.items()):
                    now.update(weights)

        return put_back


def _is_anothers(function) -> bool:
    return function is not None and is_theirs(written_in(function))
