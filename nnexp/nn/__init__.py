"""The mathematics of a fully connected network: activations, losses, initializers, layers, and their composition.

Here and in `optim` and `data`, the fields of a component are explained in its file under `conf/`.
"""
