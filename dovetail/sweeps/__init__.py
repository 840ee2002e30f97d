"""What `dovetail sweep` is made of: specification, cells, where they run, what is kept and what is shown."""
