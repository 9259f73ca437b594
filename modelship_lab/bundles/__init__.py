"""The model bundle on disk: pack, check, run and explain, with ONNX Runtime and without torch."""
