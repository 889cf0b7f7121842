"""The five kinds of questions, a module each."""
