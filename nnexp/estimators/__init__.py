"""The networks of nnexp as estimators of scikit-learn."""

from nnexp.estimators.network import NetworkClassifier, NetworkRegressor

__all__ = ["NetworkClassifier", "NetworkRegressor"]
