"""What the hop and the client share in calling a server."""
