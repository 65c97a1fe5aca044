"""Task queues, one kind a file."""
