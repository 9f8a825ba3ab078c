"""A model that a Triton repository describes: its config.pbtxt, read and held to."""
