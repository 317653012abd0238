"""How fast the engine is: against the machine's matrix products, a naive version of itself, and plain SGD."""
