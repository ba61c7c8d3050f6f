"""The program that trains with TensorFlow Model Optimization, in a process of its own.

Started as `python -m export.optimize.worker FOLDER`, it does the assignment in the folder. The rest
of the project does not import it, as it alone uses tf-keras.
"""
