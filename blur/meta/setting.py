"""The setting of a meta-step: a rule on a task, the number of inner steps, and the batch size."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
from jaxtyping import Array, Key

from blur.core.episode import Episode, Spec, Split, make_spec
from blur.core.genome import check_same_genome, genome_shapes
from blur.core.inner_loop import check_life
from blur.core.rule import UpdateRule
from blur.support.errors import check_sizes
from blur.support.renamed import renamed_fields
from blur.tasks.task import Task, episode_drawer

MOST_NUMBERS = 2**25
"""The largest support that is laid out as arrays, in numbers of its inputs: 128 MiB."""


@renamed_fields(unroll="steps")
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Setting:
    """A rule on a task. A pytree: the task's arrays are leaves, so that `jit` takes data as arguments.

    Attributes:
      rule: what learns.
      task: where its episodes come from.
      steps: inner steps per episode.
      batch_size: examples per inner step, and in the query.
      weight: how often this setting is drawn, relative to the others of a mixture.

    Raises:
      ValueError: `steps`, `batch_size` or `weight` is not positive, or the rule has no room for so many steps.

    Examples:
      >>> import jax
      >>> setting = blur.Setting(blur.Bidirectional(hidden=(8,)), blur.make_task("xor"), steps=5, batch_size=16)
      >>> setting.sample(jax.random.key(0)).support.inputs.shape
      (5, 16, 2)
    """

    rule: UpdateRule = dataclasses.field(metadata={"static": True})
    task: Task
    steps: int = dataclasses.field(default=10, metadata={"static": True})
    batch_size: int = dataclasses.field(default=128, metadata={"static": True})
    weight: float = dataclasses.field(default=1.0, metadata={"static": True})

    def __post_init__(self) -> None:
        check_sizes(steps=self.steps, batch_size=self.batch_size)
        if not self.weight > 0:
            raise ValueError(f"weight of a setting is {self.weight}; expected a positive number")
        if isinstance(self.rule, UpdateRule):
            check_life(self.rule, self.steps, f"steps is {self.steps}")

    @property
    def spec(self) -> Spec:
        """The shapes of this setting's batches and the length of a life: the argument of `init_state`."""
        return make_spec(self.task.inputs, self.task.outputs, self.batch_size, self.steps)

    def draw(self, key: Key[Array, ""], split: Split = "train") -> tuple[Key[Array, ""], Episode]:
        """The key of a fresh learner, and a random episode for it."""
        episode_key, learner_key = jax.random.split(key)
        return learner_key, self.sample(episode_key, split)

    def sample(self, key: Key[Array, ""], split: Split = "train") -> Episode:
        """A random episode of the task with this setting's sizes; a long support is a stream if the task offers one."""
        if self.steps * self.batch_size * self.task.inputs > MOST_NUMBERS:
            return self.stream(key, split)
        return episode_drawer(self.task.sample)(key, steps=self.steps, batch_size=self.batch_size, split=split)

    def stream(self, key: Key[Array, ""], split: Split = "train") -> Episode:
        """The same with a support that is a stream if the task offers one."""
        draw = episode_drawer(getattr(self.task, "stream", self.task.sample))
        return draw(key, steps=self.steps, batch_size=self.batch_size, split=split)


def check_settings(settings: Sequence[Setting]) -> None:
    """Raises ValueError unless there is a setting, and all of them share one genome's structure."""
    if not settings:
        raise ValueError("no setting was given; expected at least one Setting(rule, task)")
    shapes = [genome_shapes(setting.rule) for setting in settings]
    for number, other in enumerate(shapes[1:], start=1):
        check_same_genome(shapes[0], other, names=("setting 0", f"setting {number}"))
