def merge_lora_to_weight(patches, weight, key="online_lora", computation_dtype=None):
    """In place, as the host's: of the kinds of patches only "diff"."""
    for strength, (kind, (diff, *_)), *_ in patches:
        assert kind == "diff"
        weight += strength * diff
    return weight
