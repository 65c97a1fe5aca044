"""Real servers that tests talk to, started by the tests on free loopback ports."""
