"""A claim, its checks and its record; figures of claims."""
