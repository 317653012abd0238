"""Results as files, figures and one HTML page."""
