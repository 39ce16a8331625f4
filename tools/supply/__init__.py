"""What comes from others: known vulnerabilities, licences, and a list of it all. Reads lockfiles, never installs."""
