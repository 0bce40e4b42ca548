"""scikit-learn's MLP, which looks at no test part on its way, and ends a regression in a unit without a sigmoid."""

import warnings
from collections.abc import Callable

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from tests.programs.benchmarks.work import Setting, Work


def alone(work: Work, setting: Setting) -> Callable[[], float]:
    """Return a call that trains one run and returns its training loss."""
    x, y = work.part(work.data.train)

    def train() -> float:
        model = (MLPRegressor if work.squared else MLPClassifier)(
            hidden_layer_sizes=work.mlp.hidden,
            activation="relu" if work.relu else "logistic",
            solver="adam" if work.adam else "sgd",
            alpha=0.0,
            batch_size=work.batch_size or len(x),
            learning_rate_init=setting.learning_rate,
            max_iter=work.epochs,
            shuffle=work.shuffled,
            random_state=0,
            tol=0.0,
            momentum=0.0,
            nesterovs_momentum=False,
            n_iter_no_change=work.epochs + 1,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, y.ravel())
        return float(model.loss_)

    return train
