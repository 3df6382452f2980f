FORGE = True
