"""Answers with the adapters that studies chose."""
