"""What outlives a process: finished trials, trained adapters and their scores, each checked before it is trusted."""
