"""A project that imports something large, for the benchmark of the executors."""

import gc
import time

import pandas

from ziet import Action


@Action(description="Tells when its first line was executed", retries=0)
def first_line() -> int:
    return time.monotonic_ns()


@Action(description="Collects garbage, and so touches every object that is not frozen", retries=0)
def collect() -> str:
    gc.collect()
    return pandas.__version__
