"""Models that come in the words of others: KServe's classes, and Triton's config.pbtxt, read and held to."""
