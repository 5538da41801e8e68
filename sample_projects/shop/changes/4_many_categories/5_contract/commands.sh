evolve advance link_products_category_id --old-code-gone
evolve upgrade
