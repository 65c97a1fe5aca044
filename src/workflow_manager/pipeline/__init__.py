"""List, find batches, plan, publish, mark: the work, over any store and queue."""
