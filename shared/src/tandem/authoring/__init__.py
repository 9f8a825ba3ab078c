"""What both services do with an author's code: import it, see that it fits, hold what it returns against its word."""
