"""`data`: what a task's data is like, before anything is trained."""
