"""Use cases over the ports. Import neither AWS, nor HTTP, nor the environment; raise what handlers map."""
