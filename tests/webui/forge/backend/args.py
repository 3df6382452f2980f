dynamic_args = {}
