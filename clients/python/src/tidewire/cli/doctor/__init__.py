"""``tidewire doctor``: step by step, what works of a deployment, and what to mend."""
