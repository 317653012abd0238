"""How data get in: a user's files, named data sets, arrays."""
