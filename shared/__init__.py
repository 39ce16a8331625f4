"""What two functions or more need: the domain, the protocol, the services, and their adapters."""
