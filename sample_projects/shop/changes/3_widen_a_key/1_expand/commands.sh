evolve plan widen-key products.id bigint --write
evolve upgrade
