"""The tandem command: start, try and watch a pair."""

__version__ = "0.1.0"
