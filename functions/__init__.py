"""One folder per Lambda. Each handler parses its event, calls a service, maps the result."""
