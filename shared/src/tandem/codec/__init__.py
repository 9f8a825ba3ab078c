"""Pure translation between the wire and the values of tandem.inference: bytes or message in, value out."""
