"""What a person sees: progress while a study runs, and the table at its end."""
