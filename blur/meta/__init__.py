"""Meta-training: the outer loop, which improves genomes."""

from __future__ import annotations

from blur.meta.meta_training import MetaTraining, make_outer
from blur.meta.setting import Setting
from blur.meta.train import MetaTrainResult, meta_train

__all__ = ["MetaTrainResult", "MetaTraining", "Setting", "make_outer", "meta_train"]
