"""What a command shares with its terminal: output, signals, masked secrets, errors in words."""
