"""The ports' implementations: AWS's services, JWT; and ``memory`` for tests."""
