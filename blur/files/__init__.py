"""Files that hold genomes: tensors, configurations, cards."""
