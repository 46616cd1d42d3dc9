"""What the lake relies on in a file system, also between two hosts, and the tests of it."""
