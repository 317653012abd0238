"""What changes genomes: gradients and evolution strategies."""
