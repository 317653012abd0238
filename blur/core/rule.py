"""The interface of everything that learns.

Everything that learns is an `UpdateRule`: a BLUR network, SGD on the same engine, an optax optimiser on an MLP. A
rule's *genome* holds its meta-parameters, every number that a grid, a population or a meta-gradient may vary; its
*state* is what one life of learning changes. Rules themselves are static: frozen, hashable, compared by value.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

from jaxtyping import Array, Float, Key, PyTree

from blur.core.episode import Batch, Spec, Stream
from blur.core.fields import DefaultUntilSet, replace_field
from blur.support.renamed import tell_new_name

Genome: TypeAlias = PyTree
"""Meta-parameters of a rule: a pytree of floating-point arrays."""

Storage = Literal["auto", "dense", "dual"]
"""How a population's learners store the input's synapses: as they are (`dense`), in dual form (`dual`,
`blur.network.weights.dual`), or in the form that should be faster (`auto`)."""

StatisticsRule = Literal["support", "query"]
"""Statistics that normalise a prediction: those of the last support batch, or those of the query batch itself."""


class PopulationForm(NamedTuple):
    """The form of a rule that suits a population.

    Attributes:
      rule: the same rule, stored as suits a population; its genome is the same.
      at_once: members that a loop on a CPU should play together; None for the loop's own choice.
    """

    rule: UpdateRule
    at_once: int | None = None


class UpdateRule(abc.ABC):
    """The interface of everything that learns. Implementations are frozen dataclasses.

    The four abstract methods are pure and safe under `jit`, `vmap`, `grad` (in reverse mode alone) and `lax.scan`. A
    state keeps its structure, shapes and dtypes from `init_state` on.

    Attributes:
      inputs: the width of inputs, where it is fixed; None for any.
      outputs: the width of outputs, likewise.
      hidden: widths of the hidden layers; None for a rule that has none to set.
      statistics: what normalises a prediction; None for a rule without such statistics.
      steps_field: the field that sets `max_steps`, for error messages; None if there is no such field.

    Examples:
      >>> import dataclasses, jax, jax.numpy as jnp
      >>> @dataclasses.dataclass(frozen=True)
      ... class MeanTarget(blur.UpdateRule):
      ...     def init_genome(self, key):
      ...         return {"rate": jnp.asarray(0.5)}
      ...
      ...     def init_state(self, genome, key, spec):
      ...         return jnp.zeros(spec.targets.shape[-1])
      ...
      ...     def step(self, genome, state, batch):
      ...         return state + genome["rate"] * (jnp.average(batch.targets, axis=0, weights=batch.weight) - state)
      ...
      ...     def predict(self, genome, state, inputs):
      ...         return jnp.broadcast_to(state, (len(inputs), len(state)))
      >>> setting = blur.Setting(MeanTarget(), blur.make_task("sine"), steps=2, batch_size=8)
      >>> setting.steps
      2
    """

    inputs: int | None = DefaultUntilSet()  # type: ignore[assignment]
    outputs: int | None = DefaultUntilSet()  # type: ignore[assignment]
    hidden: tuple[int, ...] | None = DefaultUntilSet()  # type: ignore[assignment]
    statistics: StatisticsRule | None = DefaultUntilSet()  # type: ignore[assignment]
    steps_field: ClassVar[str | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        """Lets rules that declare `longest_life`, the old name of `max_steps`, keep it."""
        super().__init_subclass__(**options)
        if "longest_life" in vars(cls):
            tell_new_name(f"{cls.__name__}.longest_life", "max_steps")
            cls.max_steps = vars(cls)["longest_life"]  # type: ignore[method-assign]

    @property
    def max_steps(self) -> int | None:
        """The most inner steps that a state has room for; None for any number."""
        return None

    @property
    def in_context(self) -> bool:
        """Whether every inner step reads one and the same context."""
        return False

    @property
    def phase_names(self) -> tuple[str, ...]:
        """Names of the phases of an inner step, where it has any: profiles are divided by them."""
        return ()

    def genome_symbols(self) -> dict[str, str]:
        """The equations' symbols of genome leaves, by path (`hebbian/pre`); pictures show them."""
        return {}

    @abc.abstractmethod
    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """A random genome (the only one, where nothing is random)."""

    @abc.abstractmethod
    def init_state(self, genome: Genome, key: Key[Array, ""], spec: Spec | Batch) -> PyTree:
        """The state before any learning. `spec` gives static shapes and `spec.steps`, the length of the life."""

    @abc.abstractmethod
    def step(self, genome: Genome, state: PyTree, batch: Batch) -> PyTree:
        """The state after one inner step on `batch`."""

    @abc.abstractmethod
    def predict(
        self, genome: Genome, state: PyTree, inputs: Float[Array, "batch inputs"]
    ) -> Float[Array, "batch outputs"]:
        """Outputs for `inputs`, ready for the task's loss. The state does not change."""

    def predict_by_step(
        self,
        genome: Genome,
        state: PyTree,
        support: Batch | Stream,
        inputs: Float[Array, "batch inputs"],
        steps: int | None = None,
    ) -> Float[Array, "steps batch outputs"]:
        """Outputs for `inputs` after every inner step (after every layer, where one step is all layers).

        Args:
          genome: the meta-parameters.
          state: where the learner starts.
          support: see `blur.unroll`.
          inputs: to predict.
          steps: of one fixed batch; None for a stream.
        """
        from blur.core.inner_loop import unroll  # which stands on this module

        outputs: Array = unroll(
            self, genome, state, support, steps, observe=lambda learned: self.predict(genome, learned, inputs)
        )[1]
        return outputs

    def with_hidden(self, widths: tuple[int, ...]) -> UpdateRule:
        """The rule with hidden layers of these widths; a genome that serves any width stays as it is.

        Raises:
          ValueError: the rule has no hidden layers to set.
        """
        if self.hidden is None:
            raise ValueError(
                f"{type(self).__name__} has no field 'hidden', nor has one of its phases; expected a rule whose hidden "
                "layers can be set, such as Bidirectional or OptaxMLP"
            )
        changed = replace_field(self, "hidden", tuple(widths), tuple)
        if changed.hidden != tuple(widths):
            raise ValueError(
                f"{type(self).__name__} derives its hidden layers {self.hidden}; make another rule instead"
            )
        return changed

    def with_statistics(self, statistics: StatisticsRule) -> UpdateRule:
        """The rule predicting with these statistics; a rule without statistics stays as it is."""
        return self if self.statistics is None else replace_field(self, "statistics", statistics, str)

    def for_population(self, spec: Spec | Batch, storage: Storage) -> PopulationForm:
        """The form that a population wants; by default the rule itself.

        Args:
          spec: shapes of a batch, and the length of the lives that are lived.
          storage: how synapses should be stored.

        Raises:
          ValueError: `dual`, but the rule has no dual form.
        """
        if storage == "dual":
            raise ValueError(f"{type(self).__name__} has no dual form; use storage dense or auto")
        return PopulationForm(self)
