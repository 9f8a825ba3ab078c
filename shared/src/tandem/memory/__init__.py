"""Memory beyond NumPy's: what the allocator keeps, and what two processes share."""
