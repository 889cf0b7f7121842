"""The configuration: typed schema, checks that find all problems at once, and the way from YAML to a `StudyPlan`."""
