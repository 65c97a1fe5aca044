"""What the stores and queues of one cloud share: requests with retries, credentials, signing."""
