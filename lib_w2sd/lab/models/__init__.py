"""The lab's small models: data, networks, training, weights, samplers, scores."""
