"""SavedModels for TensorFlow Serving: of one task, and of many over shared kernels."""
