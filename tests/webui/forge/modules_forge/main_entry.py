module_list = {}
