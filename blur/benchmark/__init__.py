"""The speed of the engine, beside the machine's matrix products, a naive version of the engine, and plain SGD."""
