FORGE = False
