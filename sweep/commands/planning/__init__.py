"""What a study would cost before anything of it is trained: trials, sizes, memory, minutes, disk, and what its seeds can decide."""
