FORGE, NEO = True, False
