evolve advance widen_products_id_to_bigint --purge-approved
evolve upgrade
