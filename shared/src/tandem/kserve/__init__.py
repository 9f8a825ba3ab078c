"""Classes written for KServe's SDK, run as they are. The SDK is the user's: the extra `kserve` installs it."""

PREFIX = "kserve:"  # of a reference to such a class
