"""Everything on disk: finished trials, trained adapters, example outcomes, databases, locks, and the identities they are kept by."""
