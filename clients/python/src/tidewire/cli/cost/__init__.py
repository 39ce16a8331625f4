"""What a workload costs a month: what it does, what of it is billed, and what others would take for it."""
