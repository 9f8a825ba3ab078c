"""The HTTP door: the protocol in its REST form, and KServe's V1."""
