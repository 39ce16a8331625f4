"""Makes what is generated. Not deployed."""
