"""The search space, the first arms, and the identity of studies and trials. Pure: no files, no clock, no chance."""
