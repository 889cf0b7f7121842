"""A soak: many simulated nights of real ticks, studies and databases, disturbed at random, and what must hold afterwards."""
