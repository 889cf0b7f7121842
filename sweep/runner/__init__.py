"""One trial in this process: the setup loaded once, then trials trained, evaluated and stored on it."""
