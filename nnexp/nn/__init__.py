"""The mathematics of a fully connected network: activations, losses, initializers, layers, and their composition."""
