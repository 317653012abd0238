"""What every room may use: error messages, atomic writing, compiler options, mapping, figures."""
