"""What a network is, in Keras alone: graph, layers, blocks, weights, costs."""
