evolve advance drop_products_legacy_code --old-code-gone
evolve upgrade
