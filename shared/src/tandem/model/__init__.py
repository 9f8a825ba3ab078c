"""What can be asked of a model beside inference: its configuration, its statistics, its place in the repository."""
