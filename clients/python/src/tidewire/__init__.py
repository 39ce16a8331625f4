"""Client of Tidewire, a real-time backend for AWS."""
