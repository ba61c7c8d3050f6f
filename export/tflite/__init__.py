"""TFLite files: of one task, and of many over shared kernels."""
