"""Coverage-guided fuzzing of whatever reads bytes of others: `make fuzz`. The tests run each target for a moment."""
