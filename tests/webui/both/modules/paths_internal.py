import tempfile

data_path = tempfile.mkdtemp()
models_path = f"{data_path}/models"
