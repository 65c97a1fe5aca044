"""The contracts of stores and queues as test suites, for the adapters here and for anyone else's.

Needs pytest. Subclass a suite in a test module, give it the fixtures that it names, and
every test of it runs over the adapter.
"""
