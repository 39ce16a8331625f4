"""Pure rules and values. Imports neither AWS, nor HTTP, nor the environment."""
