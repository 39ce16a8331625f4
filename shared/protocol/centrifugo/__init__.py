"""Centrifugo's client protocol, bidirectional, JSON: github.com/centrifugal/protocol, definitions/client.proto."""
