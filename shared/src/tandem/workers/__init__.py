"""Several processes of one service behind the same two ports (--workers)."""
