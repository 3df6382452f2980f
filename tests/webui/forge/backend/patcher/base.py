class ModelPatcher:
    def refresh_loras(self):
        pass
