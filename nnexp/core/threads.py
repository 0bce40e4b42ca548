"""The number of threads of BLAS."""

from contextlib import AbstractContextManager

BLAS_THREADS = 1
"""Matrices are small, and a thread count that varies could change the last bits of a product."""


def one_thread() -> AbstractContextManager[object]:
    """Return a context in which BLAS works in one thread."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(BLAS_THREADS)
    return limits
