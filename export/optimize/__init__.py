"""Training towards int8, sparsity and clusters, by TensorFlow Model Optimization."""
