"""Runs studies: asks Optuna for arms, has workers train them, tells what came of it. The only importer of Optuna."""
