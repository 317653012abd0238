"""Compiler options: the same numbers, and none where they are not known."""

import jax
import jax.numpy as jnp
import numpy as np

from blur.support import compiler
from blur.support.compiler import Program


def product(a, *, times):
    """A docstring."""
    return times * jnp.tanh(a) @ a


def test_a_program_without_gradient_computes_the_same():
    a = jax.random.normal(jax.random.key(0), (20, 20))
    program = Program(product, gradient=False, static_argnames="times")
    np.testing.assert_allclose(program(a, times=3), product(a, times=3), rtol=1e-5, atol=1e-5)
    assert program.__doc__ == product.__doc__
    assert program.jitted is program.jitted


def test_options_that_xla_does_not_know_are_left_out(monkeypatch):
    unknown = {"xla_cpu_no_such_option": "1"}
    monkeypatch.setattr(compiler, "FORWARD_ONLY", unknown)
    assert Program(lambda a: a + 1, gradient=False)(jnp.ones(())) == 2
    assert compiler.compiler_options(gradient=False) == compiler.ALWAYS


def test_programs_with_and_without_a_gradient_have_options_of_their_own(monkeypatch):
    asked = []
    monkeypatch.setattr(compiler, "_knows", lambda name, value: True)
    monkeypatch.setattr(jax, "jit", lambda function, compiler_options: asked.append(compiler_options))
    for gradient in (True, False):
        _ = Program(product, gradient=gradient).jitted
    assert asked == [compiler.ALWAYS, compiler.ALWAYS | compiler.FORWARD_ONLY]
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_prefer_vector_width=256")
    assert compiler.compiler_options(gradient=True) == {}
