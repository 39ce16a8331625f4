"""What docs/runbooks has one type: a stage's alarms and what they saw, its queues, its faults; and what mends them."""
