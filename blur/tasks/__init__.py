"""Tasks: where episodes come from. `make_task(name)` makes the ones in the table `TASKS`, and any data set.

`ImageTask` serves data sets, `BooleanTask` functions of the plane, `LinearRegression`, `Sine` and `Polynomial`
regression; each can also be made directly, with all its options. `InContextRegression` and `GaussianRegression` show
every episode one context.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from difflib import get_close_matches

from blur.core.episode import Kind, Split
from blur.data.arrays import Dataset, from_arrays
from blur.data.datasets import load_dataset
from blur.data.tfds_source import UnknownDatasetError
from blur.tasks.boolean import FUNCTIONS, BooleanTask
from blur.tasks.contexts import GaussianRegression, InContextRegression
from blur.tasks.images import ImageTask, image_task, make_image_task
from blur.tasks.regression import LinearRegression, Polynomial, Sine
from blur.tasks.task import Task

__all__ = [
    "TASKS",
    "BooleanTask",
    "Dataset",
    "GaussianRegression",
    "ImageTask",
    "InContextRegression",
    "Kind",
    "LinearRegression",
    "NamedTask",
    "Polynomial",
    "Sine",
    "Split",
    "Task",
    "from_arrays",
    "image_task",
    "load_dataset",
    "make_image_task",
    "make_task",
]


@dataclasses.dataclass(frozen=True)
class NamedTask:
    """One line of the table: what the task is, and how it is made (None: by `make_image_task`)."""

    description: str
    make: Callable[[], Task] | None = None


def _boolean(name: str) -> Callable[[], BooleanTask]:
    return lambda: BooleanTask((name,))


def _in_context_regression() -> InContextRegression:
    """With 100 queries, so that losses can be compared; the published task has one query."""
    return InContextRegression(queries=100)


TASKS: dict[str, NamedTask] = {
    "digits": NamedTask("1,797 handwritten digits, 8×8, 10 classes (scikit-learn's; always there)"),
    "mnist": NamedTask("70,000 handwritten digits, 28×28, 10 classes"),
    "fashion_mnist": NamedTask("70,000 pieces of clothing, 28×28, 10 classes"),
    "linear_regression": NamedTask("y = wᵀx, 10 uniform inputs, new weights in every episode", LinearRegression),
    "in_context_regression": NamedTask(
        "y = wᵀx of 10 uniform inputs on (−½, ½), one context presented at every step", _in_context_regression
    ),
    "sine": NamedTask("y = A sin(5u + φ), new amplitude and phase in every episode", Sine),
    "polynomial": NamedTask("random polynomials of degree 3", Polynomial),
    "boolean": NamedTask("a function of the plane, drawn from those below in every episode", BooleanTask),
    **{name: NamedTask(f"true where: {where}", _boolean(name)) for name, (where, _) in FUNCTIONS.items()},
}
"""The tasks that have a name of their own. Any other image-classification set of tensorflow-datasets and any `.npz`
file is a task as well."""


def make_task(
    name: str,
    *,
    resolution: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> Task:
    """The task of this name.

    Args:
      name: a key of `TASKS`, a file that ends in `.npz`, or the name of an image-classification set of
        tensorflow-datasets.
      resolution: side of the images as the learner sees them; as they are by default.
      data_dir: see `load_dataset`; tasks without data ignore it.
      seed: of the assignment of training examples to pools; tasks without data ignore it.

    Raises:
      FileNotFoundError: the data are not there and cannot be fetched.
      ValueError: an unknown name, a resolution for a task without images, or data that do not fit together.

    Examples:
      >>> task = blur.make_task("xor")
      >>> task.inputs, task.outputs, task.kind
      (2, 1, 'classification')
    """
    known = TASKS.get(name)
    if known is not None and known.make is not None:
        if resolution is not None:
            raise ValueError(f"task {name!r} has no images, so it cannot have resolution {resolution}")
        return known.make()
    try:
        return make_image_task(name, resolution, data_dir, seed)
    except UnknownDatasetError as error:
        close = [*get_close_matches(name, TASKS), *(match for match in error.close if match not in TASKS)]
        hint = f"; did you mean {' or '.join(close)}?" if close else f"; there are {', '.join(TASKS)}"
        raise ValueError(
            f"there is no task {name!r}{hint} (an .npz file or an image-classification set of tensorflow-datasets will "
            "also do)"
        ) from None
