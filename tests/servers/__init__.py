"""Real servers for tests, and a proxy before them that makes every fault repeatable."""
