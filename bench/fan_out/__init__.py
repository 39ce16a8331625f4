"""Fan-out, measured beside others: `report` has the benchmark, the other modules are programs that it runs."""
