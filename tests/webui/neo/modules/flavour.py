FORGE = NEO = True
