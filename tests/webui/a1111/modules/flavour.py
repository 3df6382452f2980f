FORGE = NEO = False
