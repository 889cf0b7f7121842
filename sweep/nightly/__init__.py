"""Studies that run unattended: what a night is, the ledger of nights, the morning note, and the page over all nights."""
