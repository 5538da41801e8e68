"""Release 1: a user has a `name`."""
