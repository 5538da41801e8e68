"""Release 3: a user also has a `locale`, and must have one."""
