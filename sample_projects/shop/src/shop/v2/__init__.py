"""Release 2: a user has a `full_name`; every order has a note."""
