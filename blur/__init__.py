"""blur: meta-learn update rules, ship them as small files, measure how far they generalise."""
