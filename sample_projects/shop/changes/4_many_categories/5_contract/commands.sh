evolve advance many_to_many_products_category_id --old-code-gone
evolve upgrade
