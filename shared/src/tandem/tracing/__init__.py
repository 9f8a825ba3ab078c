"""Spans of inference calls, for OpenTelemetry. Only `activation` may be imported where it is not installed."""
