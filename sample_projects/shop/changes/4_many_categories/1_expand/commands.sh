evolve plan many-to-many products.category_id products_categories --write
evolve upgrade
