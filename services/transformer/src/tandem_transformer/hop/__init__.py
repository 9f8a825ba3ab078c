"""The ways to the predictor: the channel, and what was negotiated over it."""
