"""The kinds of questions, one module each."""
