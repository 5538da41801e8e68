evolve advance widen_products_id_to_bigint --old-code-gone
evolve upgrade
