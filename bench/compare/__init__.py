"""The side-by-side: Tandem, its peers and the bare loop, started in turn on the same cores under the same load."""
