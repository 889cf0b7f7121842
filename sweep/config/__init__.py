"""The configuration: one typed definition of all keys, checks that report all problems at once, and the way from YAML to a `StudyPlan`."""
