"""A way off PyTorch: ONNX, TFLite, C, and what runs them."""
