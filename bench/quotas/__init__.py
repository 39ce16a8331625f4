"""Which AWS quota binds first, and how a fan-out to many keeps to them: docs/quotas.md."""
