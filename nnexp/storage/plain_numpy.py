"""A trained network as a short program of plain NumPy, for those who take it elsewhere.

The program does what the layers and the loss do when they predict, in the same order, so that it gives the same bits.
"""

from collections.abc import Sequence
from dataclasses import fields
from math import pi, sqrt
from pathlib import Path
from textwrap import indent

import numpy as np

from nnexp.core.component import Component
from nnexp.core.errors import UserError, on_one_line
from nnexp.core.files import write_text
from nnexp.nn.activations import GELU, SELU, Activation, Erf, Softmax
from nnexp.nn.centred import Centred
from nnexp.nn.layers import Activate, Dense, Dropout, Layer, Residual
from nnexp.nn.losses import BinaryCrossEntropy, CrossEntropy, ElementwiseLoss, KullbackLeibler, Loss
from nnexp.nn.network import Layout
from nnexp.storage.run_folder import write_parameters
from nnexp.storage.saved_model import SavedModel

WEIGHTS, PROGRAM = "network.npz", "predict.py"
SIGMOID = "1 / (1 + np.exp(-{x}))"
SOFTMAX = ["x = np.exp(x - x.max(axis=-1, keepdims=True))", "x /= x.sum(axis=-1, keepdims=True)"]
ELU = "np.where(x > 0, x, {alpha} * np.expm1(np.minimum(x, 0)))"
CUBIC = f"np.tanh({sqrt(2 / pi)!r} * (x + 0.044715 * x * x * x))"
ACTIVATIONS = {
    "Sigmoid": SIGMOID.format(x="x"),
    "Tanh": "np.tanh(x)",
    "Identity": "x",
    "ReLU": "np.maximum(x, 0.0)",
    "LeakyReLU": "(x * np.where(x > 0, 1, {slope})).astype(x.dtype)",
    "ELU": ELU,
    "SELU": f"{ELU.format(alpha=SELU.ALPHA)} * {SELU.SCALE}",
    "Softplus": "np.maximum(x, 0) + np.log1p(np.exp(-np.abs({beta} * x))) / {beta}",
    "GELU": f"x * (0.5 * (1 + {CUBIC}))",
    "SiLU": f"x * ({SIGMOID.format(x='x')})",
    "Square": "x * x",
    "Power": "np.power(x, {exponent})",
    "Sine": "np.sin({frequency} * x)",
}
"""What an activation does to x, by the name of its class, with its fields in braces."""
NORMAL = "p['{path}.gain'] * ((x - {mean}) / np.sqrt({variance} + {epsilon})) + p['{path}.shift']"
LAYERS = {
    "Scale": "{factor} * x",
    "LayerNorm": NORMAL.replace("{mean}", "x.mean(axis=-1, keepdims=True)").replace(
        "{variance}", "x.var(axis=-1, keepdims=True)"
    ),
    "BatchNorm": NORMAL.replace("{mean}", "p['{path}.mean']").replace("{variance}", "p['{path}.variance']"),
}
"""What a layer does to x, by the name of its class; `path` is its place in the network."""


def write_program(folder: Path, saved: SavedModel, title: str) -> None:
    """Write the weights and the program of a network into a folder.

    Raises UserError if the network has a component that is not of nnexp.

    Args:
        folder: The folder, which is made where it is missing.
        saved: The network.
        title: What it is called.
    """
    program = program_of(saved, title)
    about = saved.description
    arrays = saved.model.parameters()
    arrays["offset"], arrays["factor"] = (
        np.array(one, np.float64) for one in (about.scaling.offset, about.scaling.factor)
    )
    if about.target_scaling is not None:
        arrays["target_offset"] = np.array(about.target_scaling.offset, np.float64)
        arrays["target_factor"] = np.array(about.target_scaling.factor, np.float64)
    folder.mkdir(parents=True, exist_ok=True)
    write_parameters(folder / WEIGHTS, arrays)
    write_text(folder / PROGRAM, program)


def program_of(saved: SavedModel, title: str) -> str:
    """Return the program.

    Raises UserError if the network has a component that is not of nnexp.
    """
    about = saved.description
    steps = ["x = (np.asarray(x, np.float64) - p['offset']) / p['factor']"]
    dtypes = dict.fromkeys(name for name in (about.feature_dtype, about.dtype) if name != "float64")
    steps += [f"x = x.astype(np.{name})" for name in dtypes] or []
    steps += [line for place, layer in enumerate(about.layers) for line in _lines(layer, str(place), about.layout)]
    names = [feature for column in about.columns for feature in column.features]
    lines = [
        f"# {on_one_line(title)}: predicts with NumPy alone; {WEIGHTS} lies beside this file.",
        "from pathlib import Path",
        "",
        "import numpy as np",
        "",
        f"p = np.load(Path(__file__).with_name({WEIGHTS!r}))",
        *([f"FEATURES = {names}"] if names else []),
        *([f"CLASSES = np.array({list(about.classes)})"] if about.classes else []),
        "",
        "",
        f"def predict(x):  # {about.features} features of each example, as they are in the table",
        *[indent(line, "    ") for line in steps],
        *[indent(line, "    ") for line in _ending(about.loss, about.kind, scaled=about.target_scaling is not None)],
    ]
    return "\n".join(lines) + "\n"


def _lines(layer: Layer, path: str, layout: Layout) -> Sequence[str]:
    """Return the lines of one layer; `layout` is that of the whole network."""
    if isinstance(layer, Activate):
        return _activation(layer.activation)
    if isinstance(layer, Dense):
        weighted = [f"x = x @ p['{path}.weight']"]
        return [*weighted, f"x = x + p['{path}.bias']"] if layer.bias else weighted
    if isinstance(layer, Residual):
        around = f"around_{path.replace('.', '_')}"
        return [f"{around} = x", *_inner(layer, path, layout), f"x = {around} + x"]
    if isinstance(layer, Centred):
        inner = [indent(line, "    ") for line in (*_inner(layer, path, layout), "return x")]
        return ["def network(x, p):", *inner, *_start(path, layout), "x = network(x, p) - network(x, start)"]
    if isinstance(layer, Dropout):
        return []
    return [f"x = {_known(LAYERS, layer).format(path=path, **_values(layer))}"]


def _inner(layer: Layer, path: str, layout: Layout) -> list[str]:
    """Return the lines of the layers within one."""
    return [line for place, one in enumerate(layer.children()) for line in _lines(one, f"{path}.{place}", layout)]


def _start(path: str, layout: Layout) -> list[str]:
    """Return the lines that take the arrays at the start of the layers within a centred one."""
    inner, others = (
        [slot for slot in slots if slot.title.startswith(f"{path}.")]
        for slots in (layout.parameters, layout.statistics)
    )
    begins = {slot.title: slot.begin - inner[0].begin for slot in inner}
    numbers = {slot.title: slot.start for slot in others if slot.start != "parameters"}
    one = f"p['{path}.start'][begin:begin + p[name].size].reshape(p[name].shape)"
    return [f"start = {{name: {one} for name, begin in {begins}.items()}} | {numbers}"]


def _activation(activation: Activation) -> Sequence[str]:
    if isinstance(activation, Softmax):
        return SOFTMAX
    if isinstance(activation, GELU) and activation.approximate == "none":
        return ["from scipy.special import ndtr", "x = x * ndtr(x)"]
    if isinstance(activation, Erf):
        return ["from scipy.special import erf", "x = erf(x)"]
    return [f"x = {_known(ACTIVATIONS, activation).format(**_values(activation))}"]


def _ending(loss: Loss, kind: str, *, scaled: bool) -> Sequence[str]:
    """Return the lines from the outputs of the last layer to the predictions."""
    if kind == "regression":
        return ["return x * p['target_factor'] + p['target_offset']" if scaled else "return x"]
    if kind != "classification":
        return ["return x  # the embedding"]
    if isinstance(loss, BinaryCrossEntropy):
        halves = [SIGMOID.format(x=f"({sign}x)") for sign in ("-", "")]
        return [
            f"probabilities = np.concatenate([{', '.join(halves)}], axis=-1)",
            "return CLASSES[(x[..., 0] > 0).astype(int)], probabilities",
        ]
    if isinstance(loss, (CrossEntropy, KullbackLeibler)):
        return ["decided = CLASSES[x.argmax(axis=-1)]", *SOFTMAX, "return decided, x"]
    if not isinstance(loss, ElementwiseLoss):
        raise _unknown(loss)
    return [
        "one = x.shape[-1] == 1",
        "decided = CLASSES[(x[..., 0] > 0.5).astype(int) if one else x.argmax(axis=-1)]",
        "x = np.clip(x, 0, 1)",
        "return decided, np.concatenate([1 - x, x], axis=-1) if one else x",
    ]


def _known(table: dict[str, str], component: Component) -> str:
    name = type(component).__name__
    if name not in table or not type(component).__module__.startswith("nnexp."):
        raise _unknown(component)
    return table[name]


def _unknown(component: Component) -> UserError:
    return UserError(f"export: must be a network of components of nnexp, and {type(component).__name__} is none")


def _values(component: Component) -> dict[str, object]:
    return {one.name: repr(getattr(component, one.name)) for one in fields(component)}
