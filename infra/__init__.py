"""CDK only: what is deployed. Names handlers by string, imports none."""
