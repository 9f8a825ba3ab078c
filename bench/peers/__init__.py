"""The peers' side: small servers on their own SDKs, run by the interpreters of their own environments."""
