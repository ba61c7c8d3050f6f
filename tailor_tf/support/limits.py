"""Limits of what is read from files and requests, far above all that this project writes.

What is larger is refused before memory is taken for it. A few kilobytes can declare a tensor, an
image or a text of many gigabytes.
"""

KIB, MIB = 2**10, 2**20

JSON_BYTES = 16 * MIB  # descriptions: manifests, metadata of packs and artifacts
RECORD_BYTES = 128 * MIB  # records, which may hold images of every class
DEPTH = 200  # of nested objects and arrays in JSON
DIGITS = 20  # of a whole number in JSON
HEADER_BYTES = 16 * MIB  # of safetensors files: names and shapes of tensors, and metadata

SIDE = 4096  # pixels of a side of a network's input, and of the square that it is cut from
CLASSES = 100_000
BLOCKS = 1000  # of a universal network
CHANNELS = 16_384  # of a layer of a universal network, and other numbers in its description
WIDTH = 8  # factor of the numbers of channels of a wide ResNet

REQUEST_PIXELS = 64 * MIB  # of all images of a request, before and after scaling
SQUARE_PIXELS = 16 * MIB  # of all squares of a request, which a network reads at once

TENSOR_BYTES = 1024 * MIB  # of all tensors that a TFLite file asks LiteRT for

# Of an image that is decoded; of a larger one only the header is read. Programs set it to their
# --max_pixels.
PIXELS = 64 * MIB
MOST_PIXELS = 512 * MIB // 3  # TensorFlow decodes JPEG files of 512 MiB at most

REPLY_BYTES = 16 * MIB  # of a server to a request; --max_reply of pipelines.predict replaces it
