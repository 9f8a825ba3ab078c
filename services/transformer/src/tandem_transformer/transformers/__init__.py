"""The built-in transformers."""
