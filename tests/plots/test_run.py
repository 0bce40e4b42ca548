"""The figures of every kind of run: which there are, that nothing in them is cut off, and what they show."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from nnexp.config.compose import compose_experiment
from nnexp.core.task import Task
from nnexp.data.dataset import Data
from nnexp.nn.architectures import MLP
from nnexp.nn.initializers import Normal
from nnexp.nn.losses import BinaryCrossEntropy, Contrastive, Loss, MeanSquaredError, Triplet
from nnexp.optim.optimizers import SGD
from nnexp.optim.schedules import Constant
from nnexp.plots.classes import roc
from nnexp.plots.run import Figures, curves, run_figures
from nnexp.plots.style import BAD, GOOD, class_colours, finish, styled
from nnexp.training.history import History, Outcome
from nnexp.training.loop import train
from nnexp.training.model import Trained
from nnexp.training.predictions import ClassPredictions, Embeddings, NumberPredictions, Predictions, predict
from nnexp.training.stack import Recipe
from nnexp.training.trainer import Trainer
from tests.conftest import make_data, make_data_for

Made = tuple[Recipe, Data, Trainer]


class Finished(NamedTuple):
    trained: Trained
    outcome: Outcome
    predictions: Predictions | None

    def figures(self) -> Figures:
        return run_figures(self.trained, self.outcome, self.predictions)

    def draw(self, name: str) -> Figure:
        with styled():
            return self.figures()[name]()


def composed(*overrides: str) -> Callable[[], Made]:
    def make() -> Made:
        experiment = compose_experiment(overrides)
        data = experiment.dataset.load()
        return experiment.recipe(data), data, experiment.trainer

    return make


def own(data: Data, loss: Loss, snapshots: tuple[int, ...] = ()) -> Callable[[], Made]:
    layers = MLP(outputs=2 if loss.views > 1 else None).layers(data.train.x.shape[-1], loss.outputs(data.task))
    trainer = Trainer(epochs=3, snapshots=snapshots)
    return lambda: (Recipe(layers, Normal(0.5), loss, SGD(0.1), Constant(), 0), data, trainer)


LONG_NAMES = Task(("not to be seen anywhere", "seen by more than one person"))
COLUMNS = Task(kind="regression", columns=("a target", "another target", "the last one"))
TWO_LONG = replace(make_data(30, 2, 2), task=LONG_NAMES)
EMBEDDING = ("dataset.count=80", "architecture.outputs=2", "trainer.epochs=3")
SINE = ("experiment=sine", "trainer.epochs=20", "trainer.batch_size=50")
CANCER = ("dataset=breast_cancer", "trainer.epochs=3")
PAIRS, TRIPLETS = (make_data_for(Task(kind=kind), views, 9, 4) for kind, views in (("pairs", 2), ("triplets", 3)))  # type: ignore[arg-type]

ALWAYS = {"curves", "layers"}
IMAGES = {*ALWAYS, "samples", "first_layer"}
CLASSES = {*IMAGES, "confusion_matrix", "predictions"}
TABLE = {*ALWAYS, "confusion_matrix"}
PLANE = {*TABLE, "decision_regions"}
NUMBERS = {*ALWAYS, "residuals"}

RUNS: dict[str, tuple[Callable[[], Made], set[str]]] = {
    "two digits": (composed("trainer.epochs=3"), {*CLASSES, "roc"}),
    "ten digits": (composed("experiment=digits", "trainer.epochs=8"), CLASSES),
    "a validation part": (composed(*CANCER, "dataset.validation_size=0.2"), {*TABLE, "roc"}),
    "no metric": (composed(*CANCER, "trainer.metrics=[]"), {*TABLE, "roc"}),
    "digits, distilled": (composed("experiment=distillation", "dataset.trees=5", "trainer.epochs=3"), CLASSES),
    "spiral": (composed("experiment=spiral", "trainer.epochs=200"), {*PLANE, "snapshots"}),
    "spiral of 25 arms": (
        composed("experiment=spiral", "dataset.arms=25", "dataset.points=10", "trainer.epochs=101"),
        {*PLANE, "snapshots"},
    ),
    "moons": (composed("dataset=moons", "trainer.epochs=3"), {*PLANE, "roc"}),
    "moons at five times": (
        composed("dataset=moons", "trainer.epochs=9", "trainer.snapshots=[1,2,3,5,9]"),
        {*PLANE, "roc", "snapshots"},
    ),
    "long names of classes": (own(TWO_LONG, BinaryCrossEntropy(), (1, 2)), {*PLANE, "roc", "snapshots"}),
    "heart, by iterations": (composed("experiment=heart", "trainer.iterations=100"), {*TABLE, "roc"}),
    "wine": (composed("dataset=wine", "loss=sparse_categorical_cross_entropy", "trainer.epochs=3"), TABLE),
    "breast_cancer": (composed(*CANCER), {*TABLE, "roc"}),
    "sine": (composed(*SINE, "trainer.snapshots=[]"), {*NUMBERS, "fit"}),
    "sine at three times": (composed(*SINE, "trainer.snapshots=[1,10,20]"), {*NUMBERS, "fit", "snapshots"}),
    "diabetes": (composed("dataset=diabetes", "loss=mean_squared_error", "trainer.epochs=3"), NUMBERS),
    "several targets": (own(make_data_for(COLUMNS, 1, 30, 5), MeanSquaredError()), NUMBERS),
    "several targets of one feature": (
        own(make_data_for(COLUMNS, 1, 30, 1), MeanSquaredError(), (1, 2)),
        {*NUMBERS, "fit", "snapshots"},
    ),
    "triplets": (composed("dataset=triplets", "loss=triplet", *EMBEDDING), {*IMAGES, "embedding"}),
    "pairs": (composed("dataset=pairs", "loss=contrastive", *EMBEDDING), {*IMAGES, "embedding"}),
    "pairs of flowers in 3 dimensions": (
        composed("dataset=pairs", "dataset.source=iris", "loss=contrastive", *EMBEDDING, "architecture.outputs=3"),
        {*ALWAYS, "embedding"},
    ),
    "pairs on a line": (
        composed("dataset=pairs", "loss=contrastive", *EMBEDDING, "architecture.outputs=1"),
        {*IMAGES, "embedding"},
    ),
    "pairs without labels": (own(PAIRS, Contrastive()), ALWAYS),
    "triplets without labels": (own(TRIPLETS, Triplet()), ALWAYS),
    "no activations": (composed("architecture=logistic", "trainer.epochs=3"), {*CLASSES, "roc"}),
    "eleven layers": (composed(*CANCER, "architecture=uniform", "architecture.depth=10"), {*TABLE, "roc"}),
    "fifty layers": (
        composed(*CANCER, "architecture=uniform", "architecture.depth=49", "initializer=he_normal"),
        {*TABLE, "roc"},
    ),
    "one evaluation": (composed(*CANCER, "trainer.epochs=1"), {*TABLE, "roc"}),
    "diverged at once": (composed("architecture.activation=relu", "initializer.scale=1e200"), {"samples"}),
    "diverged after a while": (
        composed("dataset=diabetes", "loss=mean_squared_error", "architecture=logistic", "optimizer.learning_rate=5"),
        ALWAYS,
    ),
    "huge weights": (composed(*CANCER, "initializer.scale=1e200"), {*TABLE, "roc"}),
}
"""A run of every kind, and its figures; a new kind of data adds an entry."""
UNUSUAL = {"two digits", "a validation part", "no metric", "heart, by iterations", "diabetes", "no activations"}
UNUSUAL |= {"eleven layers", "fifty layers", "one evaluation", "diverged after a while", "huge weights"}
"""Runs whose curves and layers look like those of no other; drawing those of all takes too long."""
IMAGE_LIKE = {"samples", "predictions", "first_layer"}
every_run = pytest.mark.parametrize("name", RUNS)


@cache
def finished(name: str) -> Finished:
    recipe, data, trainer = RUNS[name][0]()
    (outcome,) = train([recipe], data, trainer, "float64", watch_layers=True)
    trained = Trained.of(recipe, outcome.learned, data)
    return Finished(trained, outcome, predict(trained) if outcome.diverged_step is None else None)


@every_run
def test_a_run_has_the_figures_that_fit_it(name: str) -> None:
    assert set(finished(name).figures()) == RUNS[name][1]


@every_run
def test_every_figure_is_labelled_and_nothing_is_cut_off_or_covered(name: str) -> None:
    for title, draw in finished(name).figures().items():
        if title in ALWAYS and name not in UNUSUAL:
            continue
        with styled():
            figure = draw()
            finish(figure)
            canvas = FigureCanvasAgg(figure)
            figure.draw_without_rendering()
        assert_labelled(figure, title)
        assert_tidy(figure, canvas.get_renderer(), title)  # type: ignore[no-untyped-call]


def assert_labelled(figure: Figure, name: str) -> None:
    assert figure.get_suptitle() or all(axes.get_title() for axes in drawn(figure)[:1]), name
    if name not in IMAGE_LIKE:
        assert drawn(figure)
        for axes in drawn(figure):
            assert axes.get_ylabel(), name
            assert axes.get_xlabel() or axes.yaxis.get_ticks_position() == "right", name


def drawn(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.axison]


def assert_tidy(figure: Figure, renderer: RendererAgg, name: str) -> None:
    """Find no text outside of the canvas, and no two of axes, title and legend on each other, but for a pixel."""
    axes = [one for one in figure.axes if one.axison or one.has_data()]
    boxes = [part.get_tightbbox(renderer) for part in (*axes, *figure.legends, *figure.texts)]
    for box in boxes:
        assert box is not None
        assert box.x0 > -1, name
        assert box.y0 > -1, name
        assert box.x1 < figure.bbox.x1 + 1, name
        assert box.y1 < figure.bbox.y1 + 1, name
    for one, other in combinations([box for box in boxes if box is not None], 2):
        shared = Bbox.intersection(one, other)
        assert shared is None or min(shared.width, shared.height) < 2, name


@pytest.mark.parametrize("name", ["two digits", "a validation part", "sine", "heart, by iterations", "triplets"])
def test_the_curves_are_the_history(name: str) -> None:
    history = finished(name).outcome.history
    loss, other = finished(name).draw("curves").axes
    metric = next(key for key in history.metrics if not key.endswith("/loss")).partition("/")[2]
    for axes, key in ((loss, "loss"), (other, metric)):
        lines = {str(line.get_label()).split(" (mean")[0]: line for line in axes.lines[: len(history.parts())]}
        assert set(lines) == set(history.parts())
        for part, line in lines.items():
            np.testing.assert_array_equal(line.get_xydata(), np.c_[history.times, history.metrics[f"{part}/{key}"]])
        assert axes.lines[-1].get_xdata()[0] == history.times[history.best()]  # type: ignore[index]
        assert axes.get_xlabel() == history.unit


def test_an_r2_far_below_0_does_not_hide_the_others() -> None:
    r2 = {f"{part}/r2": np.array([-50.0, 0.3, 0.5]) for part in ("train", "test")}
    loss = {f"{part}/loss": np.array([5.0, 2.0, 1.0]) for part in ("train", "test")}
    with styled():
        axes = curves(History(np.array([1, 2, 3]), loss | r2), "numbers").axes[1]
    assert axes.get_ylim()[0] == -1
    assert 0.5 <= axes.get_ylim()[1] < 1


@pytest.mark.parametrize("name", ["moons at five times", "sine at three times"])
def test_there_is_a_panel_for_every_snapshot(name: str) -> None:
    titles = [axes.get_title() for axes in drawn(finished(name).draw("snapshots"))]
    history = finished(name).outcome.history
    losses = {time: history.metrics["test/loss"][history.times == time][0] for time in finished(name).outcome.snapshots}
    assert titles == [
        f"after {time} epoch{'s' if time > 1 else ''}, test/loss {loss:.3g}" for time, loss in losses.items()
    ]


def test_a_legend_lies_where_a_grid_has_no_panel() -> None:
    figure = finished("moons at five times").draw("snapshots")
    free = next(axes for axes in figure.axes if not axes.axison).get_position()
    x, y = figure.legends[0].get_bbox_to_anchor().transformed(figure.transFigure.inverted()).p0
    assert free.x0 < x < free.x1
    assert free.y0 < y < free.y1
    assert figure.subplotpars.right * figure.get_figwidth() > figure.get_figwidth() - 0.4


def test_regions_have_the_colour_of_the_class_that_is_decided_for() -> None:
    trained = finished("spiral").trained
    (axes,) = finished("spiral").draw("decision_regions").axes
    (image,) = axes.images
    x, shades = trained.data.train.x, 1 - np.asarray(image.get_array())
    left, right, bottom, top = image.get_extent()
    row, column = ((200 * (x - (left, bottom)) / (right - left, top - bottom)).astype(int)[:, axis] for axis in (1, 0))
    with styled():
        colours = 1 - class_colours(3)
    seen = (shades[row, column] @ (colours / np.linalg.norm(colours, axis=1, keepdims=True)).T).argmax(axis=1)
    assert image.origin == "lower"
    assert (seen == trained.decide(x)).mean() > 0.95
    assert sum(len(np.asarray(line.get_xydata())) for line in axes.lines) == 600


@pytest.mark.parametrize("name", ["ten digits", "two digits", "digits, distilled"])
def test_images_are_coloured_by_whether_they_are_recognised(name: str) -> None:
    predictions = finished(name).predictions
    assert isinstance(predictions, ClassPredictions)
    figure, wrong = finished(name).draw("predictions"), int((predictions.predicted != predictions.labels).sum())
    (axes,) = figure.axes
    colours = [text.get_color() for text in axes.texts]
    assert 0 < wrong < len(predictions.labels)
    assert colours == [BAD] * min(wrong, 5) + [GOOD] * (10 - min(wrong, 5))
    assert f"{wrong} of {len(predictions.labels)} test examples wrong" in figure.get_suptitle()
    texts = [text.get_text() for text in axes.texts[: min(wrong, 5)]]
    confidence = [float(text.split()[-1]) for text in texts]
    assert confidence == sorted(confidence, reverse=True)
    for text, image in zip(texts, axes.images, strict=False):
        _, _, true, _, predicted = text.splitlines()[0].replace(",", "").split()
        matching = (predictions.labels == int(true)) & (predictions.predicted == int(predicted))
        raw = finished(name).trained.data.scaling.undo(finished(name).trained.data.test.x[matching])
        assert (raw.reshape(-1, 8, 8) == image.get_array()).all(axis=(1, 2)).any()


def test_the_cells_of_the_confusion_matrix_are_its_counts() -> None:
    predictions = finished("ten digits").predictions
    assert isinstance(predictions, ClassPredictions)
    axes = finished("ten digits").draw("confusion_matrix").axes[0]
    counted = {text.get_position(): int(text.get_text()) for text in axes.texts}
    pairs = list(zip(predictions.predicted.tolist(), predictions.labels.tolist(), strict=True))
    assert counted == {(x, y): pairs.count((x, y)) for x in range(10) for y in range(10)}


def test_the_roc_curve_goes_from_corner_to_corner() -> None:
    points = finished("breast_cancer").draw("roc").axes[0].lines[0].get_xydata()
    assert isinstance(points, np.ndarray)
    assert points[[0, -1]].tolist() == [[0, 0], [1, 1]]
    assert (np.diff(points, axis=0) >= 0).all()


def test_without_both_classes_in_the_test_part_there_is_no_roc_curve() -> None:
    made = finished("moons")
    assert isinstance(made.predictions, ClassPredictions)
    one = replace(made.predictions, labels=np.zeros_like(made.predictions.labels))
    assert set(run_figures(made.trained, made.outcome, one)) == set(made.figures()) - {"roc"}
    with pytest.warns(RuntimeWarning, match="invalid value"):
        roc(one, "moons")


@pytest.mark.parametrize("name", ["triplets", "pairs", "pairs on a line"])
def test_the_embedding_shows_every_test_example_once(name: str) -> None:
    made = finished(name)
    assert isinstance(made.predictions, Embeddings)
    assert made.trained.data.labelled is not None
    shown = np.concatenate([line.get_xydata() for line in made.draw("embedding").axes[0].lines])
    points = made.predictions.points
    points = np.c_[points, np.zeros(len(points))][:, :2]
    assert len(shown) == len(made.trained.data.labelled.test)
    np.testing.assert_array_equal(shown[np.lexsort(shown.T)], points[np.lexsort(points.T)])


def test_the_fit_is_what_the_network_says() -> None:
    trained = finished("sine").trained
    (axes,) = finished("sine").draw("fit").axes
    x, y = axes.lines[1].get_data()
    scaled = (np.asarray(x) - trained.data.scaling.offset) / trained.data.scaling.factor
    np.testing.assert_allclose(np.asarray(y), trained.numbers(scaled[:, None])[:, 0], rtol=1e-9)
    points = np.asarray(axes.lines[0].get_xydata())
    np.testing.assert_allclose(points[:, 1], (np.sin(points[:, 0]) + 1) / 2, atol=1e-9)


def test_residuals_are_what_is_actual_less_what_is_predicted() -> None:
    predictions = finished("diabetes").predictions
    assert isinstance(predictions, NumberPredictions)
    left, right = finished("diabetes").draw("residuals").axes
    actual, predicted = np.asarray(left.lines[0].get_data())
    np.testing.assert_array_equal((actual, predicted), (predictions.targets[:, 0], predictions.predicted[:, 0]))
    np.testing.assert_array_equal(right.lines[0].get_data(), (predicted, actual - predicted))


def test_the_first_layer_is_drawn_unit_by_unit() -> None:
    made = finished("two digits")
    images = [np.asarray(image.get_array()) for image in made.draw("first_layer").axes[0].images]
    np.testing.assert_array_equal(np.reshape(images, (16, 64)).T, made.trained.parameters()["0.weight"])


@pytest.mark.parametrize("name", ["two digits", "eleven layers"])
def test_a_layer_has_one_colour_in_every_panel_and_in_the_legend(name: str) -> None:
    layers, figure = finished(name).outcome.layers, finished(name).draw("layers")
    assert layers is not None
    legend = [to_hex(line.get_color()) for line in figure.legends[0].get_lines()]
    alike = len(set(layers.layers)) < len(layers.layers)
    names = [f"{number}: {one}" if alike else one for number, one in enumerate(layers.layers, start=1)]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == names
    assert len(set(legend)) == len(layers.layers)
    for axes in figure.axes:
        assert [to_hex(line.get_color()) for line in axes.lines] == legend[: len(axes.lines)]
    np.testing.assert_array_equal(figure.axes[1].lines[1].get_ydata(), layers.gradients[:, 1])
