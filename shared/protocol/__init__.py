"""The wire format: pydantic models of every frame, and bytes to frames and back. docs/protocol.md is its text."""
