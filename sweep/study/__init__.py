"""Runs studies stage by stage: explore, certify, final."""
