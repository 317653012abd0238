"""Claims B3, B4, …: learned update rules and tuned optimisers."""
