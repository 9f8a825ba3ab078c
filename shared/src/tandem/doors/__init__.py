"""The two doors of both services: HTTP (rest) and gRPC (servicer), opening onto one Endpoint."""
