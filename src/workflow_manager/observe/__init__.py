"""Events, and those who listen to them: logs and metrics."""
