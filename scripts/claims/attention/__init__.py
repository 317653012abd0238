"""Claims A1, A2, …: attention and gradient descent."""
