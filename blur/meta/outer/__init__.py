"""Outer optimisers: gradients and evolution strategies."""
