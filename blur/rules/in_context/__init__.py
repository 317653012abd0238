"""Rules that learn in context: attention, transformers."""
