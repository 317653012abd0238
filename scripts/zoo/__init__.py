"""Scripts that make the genomes that ship, and their cards."""
