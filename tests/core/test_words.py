import pytest

from nnexp.core.words import meant, numbers_meant, one_of, some

OPTIMIZERS = ["adam", "adamw", "momentum", "nesterov", "rmsprop", "sgd"]
LOSSES = ["binary_cross_entropy", "huber", "mean_squared_error", "sparse_categorical_cross_entropy"]
MEANT: list[tuple[str, list[str], list[str]]] = [
    ("Adam", OPTIMIZERS, ["adam"]),
    ("torch.optim.AdamW", OPTIMIZERS, ["adamw"]),
    ("rms-prop", OPTIMIZERS, ["rmsprop"]),
    ("sdg", OPTIMIZERS, ["sgd"]),
    ("nag", OPTIMIZERS, ["nesterov"]),
    ("lbfgs", OPTIMIZERS, []),
    ("MSELoss", LOSSES, ["mean_squared_error"]),
    ("CrossEntropyLoss", LOSSES, ["binary_cross_entropy", "sparse_categorical_cross_entropy"]),
    ("xavier", ["glorot_normal", "glorot_uniform", "normal"], ["glorot_uniform", "glorot_normal"]),
    ("CosineAnnealingLR", ["constant", "cosine", "cosine_restarts"], ["cosine"]),
    ("max_epochs", ["epochs", "iterations"], ["epochs"]),
    ("lr", ["learning_rate", "rho"], ["learning_rate"]),
    ("load_iris", ["iris", "wine"], ["iris"]),
    ("test_accuracy", ["test/accuracy", "test/loss"], ["test/accuracy"]),
    ("learning_rate", ["digits", "improve/learning_rate"], ["improve/learning_rate"]),
    ("improve", ["digits", "improve/epochs", "improve/relu"], ["improve/epochs", "improve/relu"]),
]


@pytest.mark.parametrize(("word", "known", "expected"), MEANT)
def test_a_word_means_a_known_one(word: str, known: list[str], expected: list[str]) -> None:
    assert meant(word, known) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20%", [0.2]),
        ("1/4", [0.25]),
        ("10^-3", [0.001]),
        ("2**3", [8]),
        ("1k", [1000]),
        ("60s", [60]),
        ("\u22120.3", [-0.3]),
        ("\u201c0.3\u201d", [0.3]),
        ("\uff13", [3]),
        ("(32, 16)", [32, 16]),
        ("[32 16", [32, 16]),
        ("=5", [5]),
        ("auto", []),
        ("1e999", []),
        ("1/0", []),
        (".2.3", []),
        ("", []),
    ],
)
def test_a_number_is_found_however_it_is_written(text: str, expected: list[float]) -> None:
    assert numbers_meant(text) == pytest.approx(expected)


def test_at_most_eight_names_are_shown() -> None:
    names = [f"name{number}" for number in range(20)]
    assert some(names) == f"{', '.join(names[:8])}, 12 more"
    assert some(["x" * 60, "y" * 60]) == f"{'x' * 60}, 1 more"
    assert one_of("a", "b", ["c"]) == "a=b: must be one of c"
