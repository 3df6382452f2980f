def state_dict_prefix_replace(state_dict, replacements):
    return state_dict
