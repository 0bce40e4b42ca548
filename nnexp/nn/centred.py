"""A network that begins at zero: what it gave at the start is subtracted from what it gives."""

from collections.abc import Sequence
from dataclasses import dataclass

from nnexp.core.component import Array
from nnexp.nn.layers import Cell, Layer, Parameter, backward, forward, learns
from nnexp.nn.network import Layout, Network, outputs, size


@dataclass(frozen=True)
class Centred(Layer):
    """Layers in succession: output = f(x, theta) - f(x, theta at the start), the latter as a prediction."""

    layers: tuple[Layer, ...] = ()

    def fan_out(self, fan_in: int) -> int:
        """Return the number of outputs of the last layer."""
        return outputs(self.layers, fan_in)

    def children(self) -> Sequence[Layer]:
        """Return the layers."""
        return self.layers

    def statistics(self, fan_in: int) -> dict[str, Parameter]:
        """Return the parameters at the start, of all layers in a row."""
        return {"start": Parameter((size(Layout.of(self.layers, fan_in).parameters),), "parameters")}

    def forward(self, x: Array, cell: Cell) -> Array:
        """Return f(x, theta) - f(x, theta at the start)."""
        cell.saved["x"] = x
        return forward(self.layers, x, cell.children) - self._at_start(cell).forward(x)

    def differentiate(self, gradient: Array, cell: Cell) -> None:
        """Write the gradients of all layers, and save dL/doutput of the first."""
        gradient = backward(self.layers[1:], gradient.copy(), cell.children[1:])
        if learns(self.layers[0]):
            self.layers[0].differentiate(gradient, cell.children[0])
        cell.saved["inner"] = gradient

    def backward(self, gradient: Array, cell: Cell) -> Array:
        """Return dL/dx of the layers, less that of the start; a network of data alone never needs it."""
        start = self._at_start(cell)
        start.forward(cell.saved["x"])
        layers, cells = zip(*start.parts(), strict=True)
        through = self.layers[0].backward(cell.saved["inner"], cell.children[0])
        return through - backward(layers, gradient, cells)

    def _at_start(self, cell: Cell) -> Network:
        """Return the layers as they were at the start."""
        layout, start = Layout.of(self.layers, cell.saved["x"].shape[-1]), cell.statistics["start"]
        return Network(self.layers, layout, start, layout.initial_statistics(start))
