"""TensorFlow Serving: configurations, warm-up, and a client."""
