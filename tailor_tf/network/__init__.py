"""Description of networks in Keras alone: graph, layers, blocks, weights, costs."""
