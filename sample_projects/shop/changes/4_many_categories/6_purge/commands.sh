evolve advance link_products_category_id --purge-approved
evolve upgrade
