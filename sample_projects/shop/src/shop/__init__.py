"""A small shop: users place orders."""
