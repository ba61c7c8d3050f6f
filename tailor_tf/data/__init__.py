"""Image-classification tasks: sources of images, splits, preprocessing and batches."""
