"""Everything at once against a real pair: see run.py."""
