"""Many instances in one process: the schedule of their passes, notifications, and HTTP."""
