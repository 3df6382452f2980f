import tempfile

data_path = tempfile.mkdtemp()
