"""How alike two learners are."""
