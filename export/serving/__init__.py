"""TensorFlow Serving: configurations, warm-up requests, and a client."""
