"""The process that serves one deployment version: a bundle, ONNX Runtime and an HTTP address."""
