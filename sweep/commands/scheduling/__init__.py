"""The parts of `schedule`: reading what is to be installed, running nights, showing them."""
