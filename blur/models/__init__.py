"""A genome at work on a user's own data."""
