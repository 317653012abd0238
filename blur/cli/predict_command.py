"""`blur predict`: predict with a trained network."""

import dataclasses
import io
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
from tyro.conf import Positional, arg

from blur.data.readers import read_examples
from blur.models.files import load_model
from blur.models.fit import describe_fit, predict
from blur.support.atomic import write_file


@dataclasses.dataclass(frozen=True)
class Predict:
    """Predict with a model that blur train made: one prediction per line, or an .npz file.

    For instance:
      blur predict model.safetensors --data new.npz
      blur predict model.safetensors --data new.npz --out predictions.npz

    Attributes:
      model: a model file.
      data: .npz file with the inputs of one or more examples. If the file has labels too, the fit is printed on stderr.
      out: .npz file for the array `predictions`; by default the predictions are printed.
    """

    model: Annotated[Positional[Path], arg(metavar="MODEL")]
    data: Path
    out: Path | None = None

    def run(self) -> None:
        """Predicts; writes or prints the predictions."""
        inputs, labels = read_examples(self.data)
        predictions = predict(load_model(self.model), inputs)
        if self.out is None:
            for row in np.atleast_1d(predictions):
                print(*np.atleast_1d(row))
        else:
            buffer = io.BytesIO()
            np.savez(buffer, predictions=predictions)
            write_file(self.out, buffer.getvalue())
        if labels is not None:
            print(describe_fit(predictions, labels), file=sys.stderr)
