evolve advance many_to_many_products_category_id --purge-approved
evolve upgrade
